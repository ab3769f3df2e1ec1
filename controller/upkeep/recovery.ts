/**
 * The leader's part when the store is in a new history: waits until every node has claimed again what it holds, which it says by
 * acknowledging in that history, and ends the recovery. Until then no new claim is granted.
 */
import type { Logger } from 'pino';
import { type Recovery, recoveries } from '../model/kinds/history.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import type { ProblemBook } from '../model/problems.ts';
import { unclaimedNodes } from '../operations/recovery.ts';
import { followingProblems, noteReading, noteStoreError } from '../store/findings.ts';
import { follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { pause } from '../store/pause.ts';
import type { Entry, Store, WatchBatch } from '../store/store.ts';
import type { LeaderGuard } from './election.ts';

/** What problems of it are about. */
const ABOUT = 'recovery of the store';

export interface RecoveryOptions {
  readonly store: Store;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly book: ProblemBook;
  /** so long nodes have at least, ms: of some the store may have lost the record; 12 s unless given, for leases of nodes last 10 s */
  readonly leastMs?: number;
  /** so long those are waited for that are not alive, ms; 60 s unless given */
  readonly mostMs?: number;
  /** between two looks, ms; 1 s unless given */
  readonly everyMs?: number;
}

/** Ends recoveries until `signal` aborts. Every write is fenced by `guard`. */
export async function endRecoveries(
  { store, log, book, leastMs = 12_000, mostMs = 60_000, everyMs = 1000 }: RecoveryOptions,
  signal: AbortSignal,
  guard: LeaderGuard,
): Promise<void> {
  let current: { readonly entry: Entry; readonly recovery: Recovery; readonly sinceMs: number } | undefined;
  const learn = (entry: Entry | undefined) => {
    const found = entry && recoveries.read(entry);
    noteReading(book, keys.recovery, found);
    const recovery = found instanceof Unreadable ? undefined : found;
    if (entry === undefined || recovery?.phase !== 'claiming') current = undefined;
    else if (entry.modRevision !== current?.entry.modRevision || recovery.history !== current.recovery.history)
      current = { entry, recovery, sinceMs: performance.now() };
    if (recovery === undefined) book.replace('store_replaced', []);
    else book.note('store_replaced', { about: recovery.history, text: describe(recovery) });
  };
  const sink = {
    snapshot: (entries: readonly Entry[]) => learn(entries.find(({ key }) => key === keys.recovery)),
    events: ({ events }: WatchBatch) => {
      for (const event of events) learn(event.kind === 'put' ? event.entry : undefined);
    },
  };
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const following = follow(store, keys.recovery, sink, both, followingProblems(book));
  const look = async () => {
    if (current === undefined) return;
    const { entry, recovery, sinceMs } = current;
    const passedMs = performance.now() - sinceMs;
    if (passedMs < leastMs) return;
    const waitedFor = await unclaimedNodes(store, recovery.history, passedMs >= mostMs);
    if (waitedFor.length > 0) return;
    const unchanged = { kind: 'unchanged', key: keys.recovery, modRevision: entry.modRevision } as const;
    const { committed } = await store.commit([guard, unchanged], [{ kind: 'delete', key: keys.recovery }]);
    if (committed) log.info({ op: 'recovery', history: recovery.history }, 'nodes have claimed again what they hold');
  };
  try {
    while (!both.aborted) {
      try {
        await look();
        book.solved('store_refused', ABOUT);
      } catch (error) {
        if (noteStoreError(book, ABOUT, error)) log.warn({ op: 'recovery', err: error }, 'cannot end the recovery yet');
      }
      await pause(everyMs, both);
    }
  } finally {
    over.abort();
    await following;
    book.replace('store_replaced', []);
  }
}

function describe({ begunAt, phase }: Recovery): string {
  if (phase === 'restoring') return `a backup is being written since ${begunAt}: if that has failed, restore it again`;
  return `put back to an older copy, as was found at ${begunAt}: nodes are claiming again what they hold`;
}
