/**
 * A store that knows which history it is in. Types alone; history-keeper.ts is the real one.
 */
import type { Store } from './store.ts';

/** The history that the store is in has changed; all watches have ended with OtherHistory, so that followers list again. */
export type HistoryListener = (now: string, before: string) => void;

export interface HistoryStore extends Store {
  /** id of the history that this process knows the store to be in; undefined before it has seen one */
  readonly history: string | undefined;
  /** Told after this process has moved on to another history. Not told of the first one. */
  onHistory(listener: HistoryListener): void;
  /**
   * Begins a history with what `write` writes: from before its first write until it has ended every other program keeps what it has.
   * @param by the controller that does it
   * @throws what `write` throws; the store is then left for the next restore, and no program takes it up
   */
  restore(by: string, write: (store: Store) => Promise<void>): Promise<void>;
}
