/**
 * Keeps a caller's copy of all keys under a prefix up to date: list, watch from there, list again when history was lost.
 * It owns the order of things, never the copy itself.
 */
import { Unavailable } from '../errors.ts';
import { Backoff } from './backoff.ts';
import { Compacted, type Entry, type Revision, type Store, type WatchBatch } from './store.ts';

/** The keeper of the copy. Each call is awaited before the next; revisions never go back. An error thrown ends the following. */
export interface FollowSink {
  /** All there is at `revision`. What an earlier snapshot or event gave and this one lacks has been deleted. */
  snapshot(entries: readonly Entry[], revision: Revision): void | Promise<void>;
  /** What came after; without events when only the revision advanced. */
  events(batch: WatchBatch): void | Promise<void>;
  /** The store did not answer and will be asked again, with back-off; for the log. */
  unavailable?(error: Unavailable): void;
}

/**
 * Follows `prefix` (relative to the store's own) until `signal` aborts, however often the store goes away and comes back.
 * @throws whatever the sink throws, and store errors other than Unavailable and Compacted
 */
export async function follow(store: Store, prefix: string, sink: FollowSink, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff();
  let delivered: Revision = 0;
  while (!signal.aborted) {
    const listing = await listOrPause(store, prefix, sink, backoff, signal);
    if (!listing) continue;
    // A store behind what was delivered has been replaced by an older copy; wait for it to catch up rather than go back.
    if (listing.revision < delivered) {
      await backoff.wait(signal);
      continue;
    }
    backoff.reset();
    if (signal.aborted) return;
    await sink.snapshot(listing.entries, listing.revision);
    delivered = await followFrom(store, prefix, listing.revision, sink, signal);
    await backoff.wait(signal); // nothing ends a watch often, but if something does it must not become a busy loop
  }
}

async function listOrPause(
  store: Store,
  prefix: string,
  sink: FollowSink,
  backoff: Backoff,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly Entry[]; readonly revision: Revision } | undefined> {
  try {
    return await store.list(prefix);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    sink.unavailable?.(error);
    await backoff.wait(signal);
    return undefined;
  }
}

/** Passes events on until history is lost or the signal aborts; the last revision passed on. */
async function followFrom(
  store: Store,
  prefix: string,
  start: Revision,
  sink: FollowSink,
  signal: AbortSignal,
): Promise<Revision> {
  let delivered = start;
  const batches = store.watch(prefix, start, signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await nextOrCompacted(batches);
      if (next.done || signal.aborted) return delivered;
      await sink.events(next.value);
      delivered = next.value.revision;
    }
  } finally {
    await batches.return?.();
  }
}

/** Only the watch's own Compacted counts as its end, not one that a sink might throw. */
async function nextOrCompacted(batches: AsyncIterator<WatchBatch>): Promise<IteratorResult<WatchBatch>> {
  try {
    return await batches.next();
  } catch (error) {
    if (error instanceof Compacted) return { done: true, value: undefined };
    throw error;
  }
}
