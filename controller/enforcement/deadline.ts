/**
 * Times that run out: how long a caller lets something be waited for. What waits is given a way to set them, so that tests run
 * them out themselves.
 */

export interface Deadline {
  /** aborts once the time is over */
  readonly signal: AbortSignal;
  /** It is no longer needed: the signal never aborts. */
  cancel(): void;
}

/** @param ms 0 and up, from now on */
export type SetDeadline = (ms: number) => Deadline;

export function setDeadline(ms: number): Deadline {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), ms);
  return { signal: over.signal, cancel: () => clearTimeout(timer) };
}
