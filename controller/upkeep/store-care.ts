/**
 * Care for the store: every controller looks at how full it is and what it refuses, and warns before that hurts; the leader drops history
 * that is old, unless etcd or another program already does. It never defragments, and never disarms an alarm: those are for people.
 */

import type { Finding, ProblemBook } from '../model/problems.ts';
import { noteStoreError } from '../store/findings.ts';
import type { MemberState, StoreKeeper, StoreState } from '../store/keeper.ts';
import { pause } from '../store/pause.ts';
import type { Revision } from '../store/store.ts';

/** Of its quota: a member this full is warned of. */
const FILLING = 0.75;
/** etcd's own quota where a member does not say, bytes. @see etcd, server/storage/quota.go, DefaultQuotaBytes */
const DEFAULT_QUOTA = 2 * 1024 ** 3;
/** What problems of it are about. */
const LOOK = 'state of etcd';
const COMPACTION = 'compaction of etcd’s history';
const MEBIBYTE = 1024 ** 2;

export interface CareOptions {
  readonly keeper: StoreKeeper;
  readonly book: ProblemBook;
  /** between two looks, milliseconds; 5 s unless given */
  readonly everyMs?: number;
}

/** Looks until `signal` aborts. @param onState told of each look; undefined: nothing is known */
export async function watchStore(
  { keeper, book, everyMs = 5_000 }: CareOptions,
  signal: AbortSignal,
  onState: (state: StoreState | undefined) => void = () => undefined,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const state = await keeper.look();
      book.replace('store_full', fullOf(state));
      book.replace('store_filling', state.members.flatMap(fillingOf));
      book.solved('store_refused', LOOK);
      onState(state);
    } catch (error) {
      // What was found last stands while the store is away.
      noteStoreError(book, LOOK, error);
      onState(undefined);
    }
    await pause(everyMs, signal);
  }
}

function fullOf({ alarms }: StoreState): Finding[] {
  const meanings: Readonly<Record<string, string>> = {
    NOSPACE: 'its database space is used up: it refuses writes',
    CORRUPT: 'its members’ data differ: it refuses writes',
  };
  return alarms.map((alarm) => ({ about: `alarm ${alarm}`, text: meanings[alarm] ?? 'etcd has raised this alarm' }));
}

function fillingOf({ endpoint, fileBytes, quotaBytes = DEFAULT_QUOTA }: MemberState): Finding[] {
  if (fileBytes < FILLING * quotaBytes) return [];
  // In steps, or the text would change with every look.
  const percent = Math.min(100, Math.floor((20 * fileBytes) / quotaBytes) * 5);
  const quota = `${Math.round(quotaBytes / MEBIBYTE)} MiB`;
  return [{ about: `etcd ${endpoint}`, text: `its file has reached ${percent} % of its quota of ${quota}` }];
}

export interface CompactionOptions extends CareOptions {
  readonly log: { info(fields: object, message: string): void };
  /** history older than this is dropped, milliseconds; 30 minutes unless given */
  readonly keepMs?: number;
  /** a monotonic clock, `performance.now` unless given */
  readonly nowMs?: () => number;
}

/** The leader's part; until `signal` aborts. History is kept for `keepMs` and a tenth of that more. */
export async function keepCompacted(
  {
    keeper,
    book,
    log,
    keepMs = 30 * 60_000,
    everyMs = keepMs / 10,
    nowMs = () => performance.now(),
  }: CompactionOptions,
  signal: AbortSignal,
): Promise<void> {
  const seen: { readonly atMs: number; readonly revision: Revision }[] = [];
  while (!signal.aborted) {
    try {
      const { revision } = await keeper.look();
      // The store was put back to an older copy: revisions that were seen are yet to come.
      if (revision < (seen.at(-1)?.revision ?? 0)) seen.length = 0;
      seen.push({ atMs: nowMs(), revision });
      let old: Revision | undefined;
      while (seen[0] !== undefined && nowMs() - seen[0].atMs >= keepMs) old = seen.shift()?.revision;
      if (old !== undefined && !(await keeper.isCompacted(old - 1))) {
        await keeper.compact(old);
        log.info({ op: 'compact', revision: old }, 'history of the store before this revision is dropped');
      }
      book.solved('store_refused', COMPACTION);
    } catch (error) {
      noteStoreError(book, COMPACTION, error);
    }
    await pause(everyMs, signal);
  }
}
