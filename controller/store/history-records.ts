/** The records of a store's history, as they are written and read while one ends and another begins. */
import { randomUUID } from 'node:crypto';
import { Unavailable } from '../errors.ts';
import { BIRTH, type History, histories, type Recovery, recoveries } from '../model/kinds/history.ts';
import { keys } from './keys.ts';
import type { CommitResult, Entry, Guard, Store, Write } from './store.ts';

/** What fences off a restore that another one has overtaken. */
const OVERTAKEN = 'another history of the store has begun meanwhile';

/** One that cannot be read is another than any that was read. */
export function idOf(entry: Entry | undefined): string | undefined {
  return entry && (histories.find(entry)?.id ?? `at revision ${entry.modRevision}`);
}

/**
 * Gives what follows an id of its own, with a recovery record beside it: of a restore, one that says that the store is not whole yet.
 * @param last record of the history that ends
 * @returns the id; undefined when another process has begun one meanwhile
 * @throws Unavailable, IndeterminateCommit
 */
export async function beginHistory(
  store: Store,
  last: Entry | undefined,
  { cause, by }: Pick<History, 'cause' | 'by'>,
): Promise<string | undefined> {
  const id = randomUUID();
  const value = histories.format({ id, begunAt: new Date().toISOString(), cause, by });
  const phase = cause === 'restore' ? 'restoring' : 'claiming';
  const writes: Write[] = [{ kind: 'put', key: keys.history, value }, putRecovery(id, phase)];
  const { committed } = await store.commit([unchanged(last)], writes);
  return committed ? id : undefined;
}

/** Gives a cluster that has no history one, where nothing of it has been lost. @throws Unavailable */
export async function ensureHistory(store: Store, by: string): Promise<void> {
  const value = histories.format({ id: BIRTH, begunAt: new Date().toISOString(), cause: 'birth', by });
  await store.commit([unchanged(undefined)], [{ kind: 'put', key: keys.history, value }]);
}

/** @throws Unavailable while a backup is being written: what there is is not whole */
export async function refuseHalf(store: Store): Promise<void> {
  const { entry } = await store.get(keys.recovery);
  if (entry !== undefined && recoveries.find(entry)?.phase === 'restoring')
    throw new Unavailable('store', 'a backup is being restored: the store is not whole until that has ended');
}

/**
 * Has a backup written, and then says that the store is whole. Each commit is fenced by the history's record.
 * @param id of the history that has begun for it
 * @throws Unavailable once another history has begun; what `write` throws
 */
export async function writeRestored(store: Store, id: string, write: (store: Store) => Promise<void>): Promise<void> {
  const { entry } = await store.get(keys.history);
  if (idOf(entry) !== id) throw new Unavailable('store', OVERTAKEN);
  const fence = unchanged(entry);
  const commit: Store['commit'] = async (guards, writes, options): Promise<CommitResult> => {
    const result = await store.commit([fence, ...guards], writes, options);
    if (!result.committed && guards.length === 0) throw new Unavailable('store', OVERTAKEN);
    return result;
  };
  await write({
    commit,
    get: (key, options) => store.get(key, options),
    list: (prefix, options) => store.list(prefix, options),
    watch: (prefix, after, signal) => store.watch(prefix, after, signal),
    lease: (ttlSeconds) => store.lease(ttlSeconds),
    close: () => store.close(),
  });
  await commit([], [putRecovery(id, 'claiming')]);
}

function unchanged(entry: Entry | undefined): Guard {
  if (entry === undefined) return { kind: 'absent', key: keys.history };
  return { kind: 'unchanged', key: keys.history, modRevision: entry.modRevision };
}

function putRecovery(history: string, phase: Recovery['phase']): Write {
  const value = recoveries.format({ history, begunAt: new Date().toISOString(), phase });
  return { kind: 'put', key: keys.recovery, value };
}
