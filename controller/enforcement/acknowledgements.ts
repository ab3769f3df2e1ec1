/**
 * What every node said last of what is in its kernel, followed in the store, and listeners that are told as soon as a node
 * says something new. It judges nothing.
 */

import { enforcedBy } from '../model/kinds/enforced.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Store, WatchBatch } from '../store/store.ts';
import { Acknowledgement } from './change.ts';

/** Told of a node's new acknowledgement; undefined: the node has been forgotten. */
export type Listener = (node: string, now: Acknowledgement | undefined, before: Acknowledgement | undefined) => void;

export class Acknowledgements {
  readonly #latest = new Map<string, Acknowledgement>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #nowMs: () => number;
  /** Resolves when all there are have been seen once. */
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => {};

  /** @param nowMs a monotonic clock */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  of(node: string): Acknowledgement | undefined {
    return this.#latest.get(node);
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
    const sink = {
      snapshot: (entries: readonly Entry[]) => {
        const gone = new Set(this.#latest.keys());
        for (const entry of entries) {
          gone.delete(nodeOf(entry.key));
          this.#learn(entry);
        }
        for (const node of gone) this.#tell(node, undefined);
        this.#resolveSynced();
      },
      events: ({ events }: WatchBatch) => {
        for (const event of events) {
          if (event.kind === 'put') this.#learn(event.entry);
          else this.#tell(nodeOf(event.key), undefined);
        }
      },
    };
    await follow(store, keys.allEnforced, sink, signal, watcher);
  }

  /** What a listing after a break repeats is old news. */
  #learn(entry: Entry): void {
    if (this.#latest.get(nodeOf(entry.key))?.isOf(entry)) return;
    this.#tell(nodeOf(entry.key), new Acknowledgement(entry, this.#nowMs()));
  }

  #tell(node: string, now: Acknowledgement | undefined): void {
    const before = this.#latest.get(node);
    if (now === undefined) this.#latest.delete(node);
    else this.#latest.set(node, now);
    for (const listener of [...(this.#listeners.get(node) ?? [])]) listener(node, now, before);
  }
}

function nodeOf(key: string): string {
  return enforcedBy.place(key)?.node ?? key;
}
