/** Waiting with an end, on the monotonic clock. Never waits a fixed time for something to have happened. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Sentinel } from './sentinel.ts';

export interface WaitOptions {
  readonly timeoutMs?: number;
  /** for the error: what was waited for */
  readonly what: string;
  /** between two looks at least, 20 ms unless given; a look that takes long is made less often */
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What was waited for did not come; the cause is what the last look threw, if it did. */
export class WaitTimeout extends Error {
  readonly code = 'wait_timeout';
}

/**
 * Looks until there is something: neither undefined nor false. A look that throws counts as "not yet".
 * @throws WaitTimeout after `timeoutMs` (30 s unless given), the signal's reason if aborted
 */
export async function waitFor<T>(
  look: () => T | Promise<T>,
  { timeoutMs = 30_000, what, everyMs = 20, signal }: WaitOptions,
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    signal?.throwIfAborted();
    const began = performance.now();
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    const now = performance.now();
    if (now >= deadline) break;
    // What is waited for needs the processor too.
    await sleep(Math.max(everyMs, now - began));
  }
  const because = cause instanceof Error ? `: ${cause.message}` : '';
  throw new WaitTimeout(`${what}: not within ${timeoutMs} ms${because}`, { cause });
}

/**
 * Ends a wait for packets: calls back once time is up AND what had arrived by then has been delivered. A busy event loop runs
 * timers before sockets, and a late timer must not make an answered probe look silent.
 * @returns how to call it off
 */
export function atDeadline(timeoutMs: number, callback: () => void): () => void {
  let cancelled = false;
  const timer = setTimeout(() => {
    void nextTurn()
      .then(() => nextTurn())
      .then(() => {
        if (!cancelled) callback();
      });
  }, timeoutMs);
  return () => {
    cancelled = true;
    clearTimeout(timer);
  };
}

/** How long a probe waits for an answer. */
export interface Patience {
  /** milliseconds; absent: until the sentinel is back, or ten seconds where there is none */
  readonly timeoutMs?: number;
}

const PATIENCE_MS = 10_000;

/**
 * Calls back when a probe that has been sent has waited long enough. Behind a sentinel that is no matter of time: an answer would be there.
 * @param onLost the sentinel did not come back @returns how to call it off
 */
export function whenPatienceEnds(
  { timeoutMs }: Patience,
  sentinel: Sentinel | undefined,
  callback: () => void,
  onLost: (error: Error) => void,
): () => void {
  if (sentinel === undefined || timeoutMs !== undefined) return atDeadline(timeoutMs ?? PATIENCE_MS, callback);
  let cancelled = false;
  sentinel.pass().then(() => {
    if (!cancelled) callback();
  }, onLost);
  return () => {
    cancelled = true;
  };
}
