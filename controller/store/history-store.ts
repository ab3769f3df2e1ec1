/**
 * A store that knows which history it is in. history-keeper.ts is the real one. Types alone.
 */
import type { Logger } from 'pino';
import type { Remembered } from './evidence.ts';
import type { FollowWatcher } from './follow.ts';
import type { ConnectedStore, Store } from './store.ts';

/** @param now id of the history that the store is in, @param before of the one that it was in: what was seen since is void */
export type HistoryListener = (now: string, before: string | undefined) => void;

export interface HistoryStore extends Store {
  /** id of the history that the store is in, as far as this process knows; undefined before it has seen one */
  readonly history: string | undefined;
  /** Told each time this process has moved on to another history, when all watches have ended. Not told of the first one. */
  onHistory(listener: HistoryListener): void;
  /**
   * Begins a history with what `write` writes. From before its first write until it has ended every program keeps what it has: calls of
   * theirs are refused as Unavailable.
   * @param by the controller that does it
   * @param check reads the store before its history ends, also one that an earlier restore left unfinished; what it throws changes nothing
   * @throws what `write` throws; the store is then as it was left, and of use to none until a restore succeeds
   */
  restore(
    by: string,
    write: (store: Store) => Promise<void>,
    check?: (store: Pick<Store, 'get' | 'list'>) => Promise<void>,
  ): Promise<void>;
}

export interface HistoryKeeperOptions {
  readonly store: ConnectedStore;
  /** the controller or node that this is */
  readonly name: string;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Hears when the record of the history cannot be followed. */
  readonly watcher: FollowWatcher;
  readonly remembered?: Remembered | undefined;
}
