/** A limit to how long a call waits. */
import { Unavailable } from '../errors.ts';
import { pause } from './pause.ts';

/** @throws Unavailable when it takes longer than so many milliseconds; what was waited for goes on */
export async function within<T>(timeoutMs: number, what: Promise<T>): Promise<T> {
  const answered = new AbortController();
  const late = pause(timeoutMs, answered.signal).then(() => {
    if (!answered.signal.aborted) throw new Unavailable('store', `the store did not answer within ${timeoutMs} ms`);
    return what;
  });
  return await Promise.race([what, late]).finally(() => answered.abort());
}
