/**
 * Knows which history the store is in, and lets no call pass while that is in doubt. A store that was put back to an older copy of
 * itself (etcd restored from a snapshot) gives revisions a second time, so a process that only counts them goes on as if nothing had
 * happened: deaf until the count has passed its own, and then to what it missed. So the keeper remembers evidence, and asks for it
 * again at the first call and after each break of the connection. Where the store does not have it, a new history has begun: the first
 * process to find that writes its id, with a recovery record that holds back new claims. All others move on to it.
 */
import { Unavailable } from '../errors.ts';
import { Backoff } from './backoff.ts';
import { type Evidence, evidenceOf, newestOf, type Remembered, Seen } from './evidence.ts';
import { beginHistory, idOf, refuseHalf, writeRestored } from './history-records.ts';
import type { HistoryKeeperOptions, HistoryListener, HistoryStore } from './history-store.ts';
import { keys } from './keys.ts';
import {
  type CallOptions,
  type CommitResult,
  Compacted,
  type ConnectedStore,
  type Entry,
  type Found,
  type GetOptions,
  type Guard,
  IndeterminateCommit,
  isAway,
  type Lease,
  type Listing,
  type ListOptions,
  OtherHistory,
  type Revision,
  type WatchBatch,
  type Write,
} from './store.ts';
import { within } from './within.ts';

/** A watch of this process. */
interface Watching {
  /** everything up to here has been handed on */
  seen: Revision;
  /** ends it, so that its follower lists again */
  readonly unproven: AbortController;
}

export class HistoryKeeper implements HistoryStore {
  readonly #options: HistoryKeeperOptions;
  readonly #store: ConnectedStore;
  readonly #closing = new AbortController();
  readonly #watches = new Set<Watching>();
  readonly #listeners: HistoryListener[] = [];
  readonly #seen: Seen;
  /** aborted when the process moves on; counted, so that what was listed before is told from what was listed since */
  #era = { number: 1, over: new AbortController() };
  /** why the evidence is void, once that is known */
  #otherBecause: string | undefined;
  #isSettled = false;
  /** breaks of the connection so far */
  #breaks = 0;
  #settling: Promise<void> | undefined;
  readonly #following: Promise<void>;

  constructor(options: HistoryKeeperOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#seen = new Seen(options.remembered);
    this.#store.onConnection((now) => {
      this.#breaks++;
      this.#isSettled = false;
      // Watches of a revision that is yet to come would be silent: it must not take a call to find that out.
      if (now === 'back') void this.#settleSurely(this.#closing.signal);
    });
    this.#following = this.#follow();
  }

  get history(): string | undefined {
    return this.#seen.history;
  }

  /** To be kept with the copy of the store that it belongs to. */
  get remembered(): Remembered {
    return this.#seen.remembered;
  }

  onHistory(listener: HistoryListener): void {
    this.#listeners.push(listener);
  }

  async get(key: string, options?: GetOptions): Promise<Found> {
    const newest = ({ entry }: Found) => (options?.at === undefined ? entry && evidenceOf(entry) : undefined);
    return await this.#ask(() => this.#store.get(key, options), newest, options);
  }

  async list(prefix: string, options?: ListOptions): Promise<Listing> {
    return await this.#ask(
      () => this.#store.list(prefix, options),
      ({ entries }) => newestOf(entries),
    );
  }

  async commit(guards: readonly Guard[], writes: readonly Write[], options?: CallOptions): Promise<CommitResult> {
    await this.#settleWithin(options);
    const era = this.#era.number;
    const before = this.#seen.revision;
    const result = await this.#store.commit(guards, writes, options);
    if (result.revision < before) this.#leave(`it answers at revision ${result.revision}, after ${before}`);
    // The connection broke while it was under way: it may have been carried out by another copy than the one that was judged.
    if (era === this.#era.number && !this.#isSettled) await this.#settleWithin(options).catch(throwIndeterminate);
    if (era !== this.#era.number) throw new IndeterminateCommit('the store has become an older copy of itself');
    const put = result.committed ? writes.find((write) => write.kind === 'put') : undefined;
    this.#seen.learn(put && { key: put.key, revision: result.revision, value: put.value });
    return result;
  }

  async *watch(
    prefix: string,
    after: Revision,
    signal: AbortSignal,
    era = this.#era.number,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (era !== this.#era.number) throw new OtherHistory(`${prefix} was listed in another history of the store`);
    const watching: Watching = { seen: after, unproven: new AbortController() };
    const over = this.#era.over.signal;
    const ends = AbortSignal.any([signal, over, watching.unproven.signal, this.#closing.signal]);
    this.#watches.add(watching);
    try {
      for await (const batch of this.#store.watch(prefix, after, ends)) {
        await this.#settleSurely(ends);
        if (ends.aborted) break;
        const last = batch.events.at(-1);
        this.#seen.learn(last && evidenceOf(last));
        watching.seen = batch.revision;
        yield batch;
      }
    } finally {
      this.#watches.delete(watching);
    }
    if (signal.aborted || this.#closing.signal.aborted) return;
    if (over.aborted) throw new OtherHistory(`${prefix} is followed in another history of the store`);
    if (watching.unproven.signal.aborted) throw new Compacted(watching.seen);
  }

  async lease(ttlSeconds: number): Promise<Lease> {
    await this.#settle();
    return await this.#store.lease(ttlSeconds);
  }

  async restore(...[by, write, check]: Parameters<HistoryStore['restore']>): Promise<void> {
    await check?.(this.#store);
    const { entry } = await this.#store.get(keys.history);
    const id = await beginHistory(this.#store, entry, { cause: 'restore', by });
    if (id === undefined) throw new Unavailable('store', 'another history of the store has begun meanwhile');
    this.#leave(`a backup is restored as history ${id}`);
    await writeRestored(this.#store, id, write);
    await this.#settle();
  }

  /** Ends what it does by itself, and watches; the store below stays open, it is its opener's. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#following;
  }

  /**
   * @param newest of what is answered, to be remembered
   * @returns the answer, with the era that it is of
   * @throws Unavailable when the store is away, or being restored
   */
  async #ask<T extends { readonly revision: Revision }>(
    call: () => Promise<T>,
    newest: (answer: T) => Evidence | undefined,
    options?: CallOptions,
  ): Promise<T & { readonly era: number }> {
    await this.#settleWithin(options);
    const era = this.#era.number;
    const before = this.#seen.revision;
    const answer = await call();
    if (era !== this.#era.number) throw new OtherHistory('the store has become an older copy of itself meanwhile');
    if (answer.revision < before) {
      this.#leave(`it answers at revision ${answer.revision}, after ${before}`);
      throw new OtherHistory('the store has become an older copy of itself');
    }
    this.#seen.learn(newest(answer));
    return { ...answer, era };
  }

  /** What this process has seen never happened in the history that the store is in now. */
  #leave(because: string): void {
    if (this.#otherBecause !== undefined) return;
    this.#otherBecause = because;
    this.#isSettled = false;
    this.#seen.forget();
    const before = this.#era;
    this.#era = { number: before.number + 1, over: new AbortController() };
    before.over.abort();
    void this.#settleSurely(this.#closing.signal);
  }

  /** Resolves when it is known that the store is in the history that this process has seen. @throws Unavailable */
  async #settle(): Promise<void> {
    while (!this.#isSettled) {
      this.#settling ??= this.#settleOnce().finally(() => {
        this.#settling = undefined;
      });
      await this.#settling;
    }
  }

  /** @throws Unavailable, at the latest when a call's time is over */
  async #settleWithin({ timeoutMs }: CallOptions = {}): Promise<void> {
    if (!this.#isSettled) await (timeoutMs === undefined ? this.#settle() : within(timeoutMs, this.#settle()));
  }

  /** Tries until it is known, or until `signal` aborts. */
  async #settleSurely(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        return await this.#settle();
      } catch (error) {
        if (!(error instanceof Unavailable || error instanceof IndeterminateCommit)) throw error;
        await backoff.wait(signal);
      }
    }
  }

  async #settleOnce(): Promise<void> {
    const breaks = this.#breaks;
    const { entry, cluster } = await this.#store.get(keys.history);
    const id = idOf(entry);
    if (this.#otherBecause === undefined) await this.#judge(id, cluster);
    await refuseHalf(this.#store);
    if (this.#otherBecause !== undefined) {
      const isBegun = id !== undefined && id !== this.#seen.history;
      const next = isBegun ? id : await beginHistory(this.#store, entry, { cause: 'rollback', by: this.#options.name });
      if (next !== undefined) this.#moveOn(next);
    } else if (breaks === this.#breaks) {
      this.#seen.history ??= id;
      this.#isSettled = true;
    }
  }

  /** Looks whether the store has the history that this process knows, and has watches start anew where that cannot be told. */
  async #judge(id: string | undefined, cluster: string | undefined): Promise<void> {
    const { other, proven } = await this.#seen.judge(this.#store, id, cluster);
    if (other !== undefined) return this.#leave(other);
    for (const { seen, unproven } of this.#watches) if (seen > proven) unproven.abort();
  }

  #moveOn(id: string): void {
    const [before, reason] = [this.#seen.history, this.#otherBecause];
    this.#seen.history = id;
    this.#otherBecause = undefined;
    const fields = { op: 'history', history: id, before, reason };
    this.#options.log.error(fields, 'the store has another history: reading everything again');
    for (const listener of this.#listeners) listener(id, before);
  }

  /**
   * Holds a watch open always, so that each break of the connection is heard of, and hears of histories that others begin: before any
   * other watch hands on what was written after.
   */
  async #follow(): Promise<void> {
    const { watcher } = this.#options;
    const closing = this.#closing.signal;
    const backoff = new Backoff();
    const learn = (entry: Entry | undefined) => {
      const id = idOf(entry);
      if (id === undefined || id === this.#seen.history) return;
      if (this.#seen.history === undefined) this.#seen.history = id;
      else this.#leave(`history ${id} has begun`);
    };
    for (; !closing.aborted; await backoff.wait(closing)) {
      let watching: Watching | undefined;
      try {
        await this.#settle();
        const unproven = new AbortController();
        const over = AbortSignal.any([closing, this.#era.over.signal, unproven.signal]);
        const { entry, revision } = await this.#store.get(keys.history);
        watching = { seen: revision, unproven };
        this.#watches.add(watching);
        learn(entry);
        this.#seen.learn(entry && evidenceOf(entry));
        watcher.recovered(keys.history);
        for await (const { events, revision: seen } of this.#store.watch(keys.history, revision, over)) {
          backoff.reset();
          watching.seen = seen;
          for (const event of events) if (event.kind === 'put') learn(event.entry);
        }
      } catch (error) {
        if (!(error instanceof Compacted || isAway(error))) watcher.failed(keys.history, error);
      } finally {
        if (watching !== undefined) this.#watches.delete(watching);
      }
    }
  }
}

function throwIndeterminate(error: unknown): never {
  if (!(error instanceof Unavailable)) throw error;
  throw new IndeterminateCommit(error.message, { cause: error });
}
