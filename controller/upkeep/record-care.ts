/**
 * Reads records all along that no other program reads before it needs them, or of which the key alone counts: that one of them cannot be
 * read is told by the leader, as their followers tell it of all others.
 */
import { readRecord } from '../model/kinds/all.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import { policyTurns } from '../model/kinds/policy.ts';
import type { ProblemBook } from '../model/problems.ts';
import { followingProblems } from '../store/findings.ts';
import { keys } from '../store/keys.ts';
import { Replica } from '../store/replica.ts';
import type { Entry, Store } from '../store/store.ts';

const READ_LATE = [keys.history, keys.lastBackup, keys.leader, keys.liveNodes, keys.wanted, policyTurns.prefix];

/** Reads until `signal` aborts: another leader goes on. */
export async function watchRecords(
  { store, book }: { readonly store: Store; readonly book: ProblemBook },
  signal: AbortSignal,
): Promise<void> {
  const read = (entry: Entry): true | Unreadable => {
    const found = readRecord(entry);
    return found instanceof Unreadable ? found : true;
  };
  const watch = (prefix: string) =>
    new Replica<true>({ book, read }).follow(store, prefix, signal, followingProblems(book));
  await Promise.all(READ_LATE.map(watch));
}
