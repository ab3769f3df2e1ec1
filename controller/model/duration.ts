/**
 * Durations as people write them, a part of Go's notation: `500ms`, `10s`, `1m30s`. Pure.
 */

const UNIT_MS = { ms: 1, s: 1000, m: 60_000 } as const;
const PART = /(?<count>\d{1,9}(?:\.\d{1,9})?)(?<unit>ms|s|m)/y;

/** @returns whole milliseconds, rounded up; undefined for what is no duration */
export function parseDurationMs(text: string): number | undefined {
  let sum = 0;
  PART.lastIndex = 0;
  do {
    const part = PART.exec(text)?.groups;
    if (part === undefined) return undefined;
    sum += Number(part.count) * UNIT_MS[part.unit as keyof typeof UNIT_MS];
  } while (PART.lastIndex < text.length);
  return Math.ceil(sum);
}

/** How long a write waits for nodes, milliseconds, where it does not say; and at most. */
export const DEFAULT_WAIT_MS = 10_000;
export const MAX_WAIT_MS = 300_000;

/** The same of a restore, for nodes to claim again what they hold: the leader waits 60 s for those that are dead. */
export const DEFAULT_RECOVERY_MS = 120_000;
