/** Waiting with an end, on the monotonic clock. Never waits a fixed time for something to have happened. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs?: number;
  /** for the error: what was waited for */
  readonly what: string;
  /** between two looks; 20 ms unless given */
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What was waited for did not come; the cause is what the last look threw, if it did. */
export class WaitTimeout extends Error {
  readonly code = 'wait_timeout';
}

/**
 * Looks until there is something: neither undefined nor false. A look that throws counts as "not yet".
 * @throws WaitTimeout after `timeoutMs` (10 s unless given), the signal's reason if aborted
 */
export async function waitFor<T>(
  look: () => T | Promise<T>,
  { timeoutMs = 10_000, what, everyMs = 20, signal }: WaitOptions,
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) break;
    await sleep(everyMs);
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
