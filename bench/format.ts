/** Figures as people read them: three digits, in the unit that suits. Pure. */
import type { Unit } from './result.ts';

/** `4.12 µs`, `−13.0 ms`, `1,520 /s`, `0.94 ×`, `12 elements` */
export function formatValue(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return '–';
  if (value < 0) return `−${formatValue(-value, unit)}`;
  if (unit === 'elements') return `${formatCount(Math.round(value))} ${Math.round(value) === 1 ? 'element' : unit}`;
  if (unit !== 'µs') return `${digits(value)} ${unit}`;
  // Rounded first: 999.96 µs are 1.00 ms.
  if (value < 999.5) return `${digits(value)} µs`;
  return value < 999_500 ? `${digits(value / 1e3)} ms` : `${digits(value / 1e6)} s`;
}

/** `1`, `0.85`, `15,300` */
export function formatRatio(ratio: number): string {
  return ratio === 1 ? '1' : digits(ratio);
}

/** `10,000` */
export function formatCount(count: number): string {
  return count.toLocaleString('en');
}

function digits(value: number): string {
  if (value >= 99.95) return Math.round(value).toLocaleString('en');
  if (value >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}
