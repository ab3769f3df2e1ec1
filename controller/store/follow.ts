/**
 * Keeps a caller's copy of all keys under a prefix up to date: list, watch from there, list again when history was lost or the copy
 * could not take what came. It owns the order of things, never the copy itself.
 */
import { Unavailable } from '../errors.ts';
import { Backoff } from './backoff.ts';
import {
  Compacted,
  type Entry,
  type Listing,
  OtherHistory,
  type Revision,
  type Store,
  StoreRefusal,
  type WatchBatch,
} from './store.ts';

/** What keeps the copy. Each call is awaited before the next; revisions go back only where the store is in another history. */
export interface FollowSink {
  /**
   * All there is at `revision`. What an earlier snapshot or event gave and this one lacks has been deleted. An error thrown here or by
   * `events` leaves the copy behind: it gets another snapshot, with back-off, until it takes one.
   */
  snapshot(entries: readonly Entry[], revision: Revision): void | Promise<void>;
  /** What came after; without events when only the revision advanced. */
  events(batch: WatchBatch): void | Promise<void>;
  /** The store did not answer and will be asked again, with back-off; for the log. */
  unavailable?(error: Unavailable): void;
}

/** Hears that a copy is behind though the store answers: a bug, or a record that its keeper stumbles over. */
export interface FollowWatcher {
  /** @param error what the sink threw, or the store other than Unavailable and Compacted; called at each try */
  failed(prefix: string, error: unknown): void;
  /** The copy is up to date again. */
  recovered(prefix: string): void;
}

/** Follows `prefix` (relative to the store's own) until `signal` aborts, whatever happens; never rejects. */
export async function follow(
  store: Store,
  prefix: string,
  sink: FollowSink,
  signal: AbortSignal,
  watcher: FollowWatcher,
): Promise<void> {
  const backoff = new Backoff();
  let hasFailed = false;
  while (!signal.aborted) {
    try {
      const listing = await listOrPause(store, prefix, sink, backoff, signal);
      if (!listing) continue;
      if (signal.aborted) return;
      await sink.snapshot(listing.entries, listing.revision);
      if (hasFailed) watcher.recovered(prefix);
      else backoff.reset();
      hasFailed = false;
      for await (const batch of batchesOrEnd(store, prefix, listing, signal)) {
        if (signal.aborted) return;
        await sink.events(batch);
        backoff.reset();
      }
    } catch (error) {
      if (signal.aborted) return;
      hasFailed = true;
      watcher.failed(prefix, error);
    }
    await backoff.wait(signal); // nothing ends a watch often, but if something does it must not become a busy loop
  }
}

async function listOrPause(
  store: Store,
  prefix: string,
  sink: FollowSink,
  backoff: Backoff,
  signal: AbortSignal,
): Promise<Listing | undefined> {
  try {
    return await store.list(prefix);
  } catch (error) {
    if (!(error instanceof Unavailable) || error instanceof StoreRefusal) throw error;
    sink.unavailable?.(error);
    await backoff.wait(signal);
    return undefined;
  }
}

/** Ends when the watch says that it takes a new listing, or the signal aborts; the same error of a sink is none of the watch's. */
async function* batchesOrEnd(
  store: Store,
  prefix: string,
  { revision, era }: Listing,
  signal: AbortSignal,
): AsyncGenerator<WatchBatch, void, undefined> {
  try {
    yield* store.watch(prefix, revision, signal, era);
  } catch (error) {
    if (!(error instanceof Compacted || error instanceof OtherHistory)) throw error;
  }
}
