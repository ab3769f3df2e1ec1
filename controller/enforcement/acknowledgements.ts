/**
 * What every node said last of what is in its kernel, followed in the store, and listeners that are told as soon as a node
 * says something new. It judges nothing.
 */

import { enforcedBy } from '../model/kinds/enforced.ts';
import type { ProblemBook } from '../model/problems.ts';
import { noteReading } from '../store/findings.ts';
import type { FollowWatcher } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { Replica } from '../store/replica.ts';
import type { Entry, Store } from '../store/store.ts';
import { Acknowledgement, type Change } from './change.ts';

/** Told of a node's new acknowledgement; undefined: the node has been forgotten. */
export type Listener = (node: string, now: Acknowledgement | undefined, before: Acknowledgement | undefined) => void;

export class Acknowledgements {
  readonly #latest: Replica<Acknowledgement>;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #nowMs: () => number;
  readonly #book: ProblemBook;

  /** @param nowMs a monotonic clock */
  constructor(nowMs: () => number, book: ProblemBook) {
    this.#nowMs = nowMs;
    this.#book = book;
    this.#latest = new Replica({
      book,
      read: (entry, before) => this.#read(entry, before),
      onChange: (key, now, before) => this.#tell(key, now, before),
    });
  }

  /** Resolves when all there are have been seen once. */
  get synced(): Promise<void> {
    return this.#latest.synced;
  }

  of(node: string): Acknowledgement | undefined {
    return this.#latest.get(keys.enforced(node));
  }

  /** Nodes that say anything of what a change is about. */
  speakersOf(change: Change): string[] {
    return [...this.#latest.values()].flatMap((said) => (said.speaksOf(change) ? said.node : []));
  }

  listen(node: string, listener: Listener): void {
    const listeners = this.#listeners.get(node) ?? new Set();
    this.#listeners.set(node, listeners.add(listener));
  }

  unlisten(node: string, listener: Listener): void {
    const listeners = this.#listeners.get(node);
    if (listeners?.delete(listener) && listeners.size === 0) this.#listeners.delete(node);
  }

  /** Runs until `signal` aborts. */
  async follow(store: Store, signal: AbortSignal, watcher: FollowWatcher): Promise<void> {
    await this.#latest.follow(store, keys.allEnforced, signal, watcher);
  }

  /** What a listing after a break repeats is old news. One that cannot be read says nothing, and no older one in its stead. */
  #read(entry: Entry, before: Acknowledgement | undefined): Acknowledgement | undefined {
    if (before?.isOf(entry)) return before;
    const place = enforcedBy.place(entry.key);
    return place && new Acknowledgement(entry, this.#nowMs(), (found) => noteReading(this.#book, entry.key, found));
  }

  #tell(key: string, now: Acknowledgement | undefined, before: Acknowledgement | undefined): void {
    if (before?.isUnreadable) {
      if (now === undefined) this.#book.solved('record_unreadable', key);
      else now.read();
    }
    const node = enforcedBy.place(key)?.node ?? key;
    for (const listener of [...(this.#listeners.get(node) ?? [])]) listener(node, now, before);
  }
}
