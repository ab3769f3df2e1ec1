/**
 * How tenetctl shows objects: aligned columns for people, JSON and YAML exactly as REST gave it, names for scripts.
 * Pure text in, text out; which columns an object has is columns.ts's to say.
 */
import Table from 'cli-table3';
import { stringify } from 'yaml';
import type { Json } from './connection.ts';

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type Format = (typeof FORMATS)[number];

/** One column of a kind's table. */
export interface Column {
  readonly title: string;
  readonly value: (object: Json, nowMs: number) => string;
  /** only with `-o wide` */
  readonly wide?: true;
}

/** How one kind is shown. */
export interface View {
  readonly columns: readonly Column[];
  /** what `-o name` prints, such as `tenant/blue` */
  readonly reference: (object: Json) => string;
}

const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '   ',
};

/**
 * @param body what REST gave, printed whole by json and yaml
 * @param objects the objects in it, a row each
 * @returns text that ends in a newline, or nothing where there is nothing to show
 */
export function formatObjects(
  format: Format,
  body: unknown,
  objects: readonly Json[],
  view: View,
  nowMs: number,
): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(body, null, 2)}\n`;
    case 'yaml':
      return stringify(body, { lineWidth: 0 });
    case 'name':
      return objects.map((object) => `${view.reference(object)}\n`).join('');
    case 'table':
    case 'wide':
      return formatTable(
        view.columns.filter((column) => format === 'wide' || column.wide !== true),
        objects,
        nowMs,
      );
  }
}

function formatTable(columns: readonly Column[], objects: readonly Json[], nowMs: number): string {
  const table = new Table({
    head: columns.map(({ title }) => title),
    chars: BORDERLESS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...objects.map((object) => columns.map(({ value }) => value(object, nowMs) || '-')));
  return `${table.toString().replace(/[ \t]+$/gm, '')}\n`;
}

/** As short as still tells: `45s`, `12m`, `5h`, `3d4h`, `87d`. @param since RFC 3339 */
export function formatAge(since: unknown, nowMs: number): string {
  const thenMs = typeof since === 'string' ? Date.parse(since) : Number.NaN;
  if (Number.isNaN(thenMs)) return '';
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (minutes < 2) return `${seconds}s`;
  if (hours < 2) return `${minutes}m`;
  if (days < 2) return `${hours}h`;
  if (days < 8) return `${days}d${hours % 24 === 0 ? '' : `${hours % 24}h`}`;
  return `${days}d`;
}
