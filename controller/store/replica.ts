/**
 * A copy of what lies under one prefix of the store, kept up by a watch, and the one rule for a record that cannot be read: an update of
 * what was good leaves that in force, anything else counts as absent, and a problem names it. What is kept of a record its owner says.
 */
import { Unreadable } from '../model/kinds/kind.ts';
import type { ProblemBook } from '../model/problems.ts';
import { noteReading } from './findings.ts';
import { type FollowSink, type FollowWatcher, follow } from './follow.ts';
import type { Entry, Revision, Store } from './store.ts';

export interface ReplicaOptions<V> {
  /**
   * What the copy keeps of an entry; undefined: it is none of the copy's.
   * @param before what it kept of the same record so far: given back, nothing has changed
   */
  readonly read: (entry: Entry, before: V | undefined) => V | Unreadable | undefined;
  /** The copy has changed, or has lost what it kept (`now` undefined). */
  readonly onChange?: (key: string, now: V | undefined, before: V | undefined) => void;
  /** told of records that cannot be read, for as long as that is so and they are followed */
  readonly book: ProblemBook;
}

interface Kept<V> {
  /** tells an update from another object under the same name */
  readonly createRevision: Revision;
  readonly value: V;
}

export class Replica<V> {
  readonly #options: ReplicaOptions<V>;
  readonly #kept = new Map<string, Kept<V>>();
  readonly #unreadable = new Set<string>();
  /** Resolves when all there is has been seen once. */
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => {};
  #isSynced = false;

  constructor(options: ReplicaOptions<V>) {
    this.#options = options;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  get(key: string): V | undefined {
    return this.#kept.get(key)?.value;
  }

  *values(): Generator<V> {
    for (const { value } of this.#kept.values()) yield value;
  }

  /** Runs until `signal` aborts; the copy then stays as it is. @param prefix relative to the store's own */
  async follow(
    store: Store,
    prefix: string,
    signal: AbortSignal,
    watcher: FollowWatcher,
    onUnavailable?: FollowSink['unavailable'],
  ): Promise<void> {
    const sink: FollowSink = {
      snapshot: (entries) => this.#replace(entries),
      events: ({ events }) => {
        for (const event of events) {
          if (event.kind === 'put') this.#put(event.entry);
          else this.#remove(event.key);
        }
      },
      ...(onUnavailable === undefined ? {} : { unavailable: onUnavailable }),
    };
    await follow(store, prefix, sink, signal, watcher);
    for (const key of this.#unreadable) this.#options.book.solved('record_unreadable', key);
    this.#unreadable.clear();
  }

  #replace(entries: readonly Entry[]): void {
    const present = new Set(entries.map(({ key }) => key));
    for (const key of [...this.#kept.keys(), ...this.#unreadable]) if (!present.has(key)) this.#remove(key);
    for (const entry of entries) this.#put(entry);
    this.#isSynced = true;
    this.#resolveSynced();
  }

  #put(entry: Entry): void {
    const { key, createRevision } = entry;
    const known = this.#kept.get(key);
    const before = known?.createRevision === createRevision ? known.value : undefined;
    const found = this.#options.read(entry, before);
    if (found instanceof Unreadable || this.#unreadable.has(key)) this.#tell(key, found);
    if (found instanceof Unreadable && before !== undefined) return;
    const now = found instanceof Unreadable ? undefined : found;
    if (now === undefined) this.#kept.delete(key);
    else this.#kept.set(key, { createRevision, value: now });
    if (now !== known?.value) this.#options.onChange?.(key, now, known?.value);
  }

  #tell(key: string, found: unknown): void {
    noteReading(this.#options.book, key, found);
    if (found instanceof Unreadable) this.#unreadable.add(key);
    else this.#unreadable.delete(key);
  }

  #remove(key: string): void {
    const known = this.#kept.get(key);
    if (this.#unreadable.delete(key)) this.#options.book.solved('record_unreadable', key);
    if (known === undefined) return;
    this.#kept.delete(key);
    this.#options.onChange?.(key, undefined, known.value);
  }
}
