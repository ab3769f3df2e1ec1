/**
 * Warns before a cluster without a recent backup is lost: the leader looks when the last one was taken. What other programs copy of etcd it
 * cannot know.
 */
import { histories } from '../model/kinds/history.ts';
import { lastBackups } from '../model/kinds/last-backup.ts';
import type { Finding, ProblemBook } from '../model/problems.ts';
import { noteStoreError } from '../store/findings.ts';
import { keys } from '../store/keys.ts';
import { pause } from '../store/pause.ts';
import type { Store } from '../store/store.ts';

const LOOK = 'date of the last backup';
const DAY_MS = 86_400_000;

export interface BackupCareOptions {
  readonly store: Store;
  readonly book: ProblemBook;
  /** a backup older than this is warned of, days */
  readonly days: number;
  readonly now?: () => Date;
  /** between two looks, milliseconds; a minute unless given */
  readonly everyMs?: number;
}

/** Looks until `signal` aborts: another leader goes on. */
export async function watchBackups(
  { store, book, days, now = () => new Date(), everyMs = 60_000 }: BackupCareOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      book.replace('backup_old', await findOld(store, days, now().getTime()));
      book.solved('store_refused', LOOK);
    } catch (error) {
      noteStoreError(book, LOOK, error);
    }
    await pause(everyMs, signal);
  }
  book.replace('backup_old', []);
}

/** A cluster that never had one is as old as its history. */
async function findOld(store: Store, days: number, nowMs: number): Promise<Finding[]> {
  const [last, history] = await Promise.all([store.get(keys.lastBackup), store.get(keys.history)]);
  const backup = last.entry && lastBackups.find(last.entry);
  const since = backup?.at ?? (history.entry && histories.find(history.entry)?.begunAt);
  if (since === undefined || nowMs - Date.parse(since) < days * DAY_MS) return [];
  const text = backup !== undefined ? `the last backup is of ${since}` : `no backup has been taken since ${since}`;
  return [{ about: 'backup of the cluster', text: `${text}, more than ${days} ${days === 1 ? 'day' : 'days'} ago` }];
}
