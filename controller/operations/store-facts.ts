/** What is known of the store itself: its history, how full it is, what it refuses, when the cluster was last backed up. Reads only. */
import { type History, histories } from '../model/kinds/history.ts';
import { type LastBackup, lastBackups } from '../model/kinds/last-backup.ts';
import type { StoreState } from '../store/keeper.ts';
import { keys } from '../store/keys.ts';
import type { Revision, Store } from '../store/store.ts';
import type { Registry } from './registry.ts';

export interface StoreFacts {
  readonly revision: Revision;
  /** absent: there is none, or it cannot be read */
  readonly history: History | undefined;
  /** nodes claim again what they hold, and nothing new is given out */
  readonly isRecovering: boolean;
  /** absent: none was made, or the note of it cannot be read */
  readonly lastBackup: LastBackup | undefined;
  /** what etcd said of itself at the last look; absent: nothing is known */
  readonly state: StoreState | undefined;
}

/** @throws Unavailable */
export async function readStoreFacts({ store, storeState }: Registry): Promise<StoreFacts> {
  const [history, recovery, backup] = await Promise.all(
    [keys.history, keys.recovery, keys.lastBackup].map((key) => store.get(key)),
  );
  return {
    revision: backup?.revision ?? 0,
    history: history?.entry && histories.find(history.entry),
    isRecovering: recovery?.entry !== undefined,
    lastBackup: backup?.entry && lastBackups.find(backup.entry),
    state: storeState,
  };
}

/** When the cluster was last backed up. @returns undefined where it never was, or the note of it cannot be read @throws Unavailable */
export async function readLastBackup(store: Pick<Store, 'get'>): Promise<LastBackup | undefined> {
  const { entry } = await store.get(keys.lastBackup);
  return entry && lastBackups.find(entry);
}
