/**
 * The fake store: etcd's semantics in one process, for tests of everything above the store. It never touches a network or
 * a disk. Where it lies: every call is answered within one turn of the event loop, watches deliver one revision a batch and
 * see no breaks, and a lease lives until a test ends it. Hooks below make it fail, compact, and lose leases on demand.
 */
import { Unavailable } from '../errors.ts';
import { BatchQueue } from './batch-queue.ts';
import { checkCommit } from './commit-rules.ts';
import {
  type CommitResult,
  Compacted,
  type ConnectedStore,
  type Connection,
  type Entry,
  type Found,
  type GetOptions,
  type Guard,
  IndeterminateCommit,
  type Lease,
  type Listing,
  type ListOptions,
  type Revision,
  type WatchBatch,
  type WatchEvent,
  type Write,
} from './store.ts';

/** How the next call fails: not done; done or not done, but in either case the caller cannot tell. */
export type Failure = 'unavailable' | 'indeterminate-applied' | 'indeterminate-not-applied';

/** Calls that can be made to fail; only `commit` can be indeterminate. */
export type Operation = 'get' | 'list' | 'commit' | 'lease';

interface Stored extends Entry {
  readonly leaseId: string | undefined;
}

interface Watcher {
  readonly prefix: string;
  readonly queue: BatchQueue;
  /** what it was told of last; it is told of nothing before that */
  seen: Revision;
}

/** All that a store holds at a revision. */
interface Copy {
  readonly revision: Revision;
  readonly entries: ReadonlyMap<string, Stored>;
  readonly batches: readonly WatchBatch[];
  /** so many revisions of changes of other keys have come since */
  readonly ahead?: number;
}

/** A store in memory. Its methods may be called without `new`ing anything else; the hooks are for tests alone. */
export class MemoryStore implements ConnectedStore {
  #revision: Revision = 1;
  #compacted: Revision = 0;
  #history: WatchBatch[] = [];
  #closed = false;
  #nextLease = 1;
  readonly #entries = new Map<string, Stored>();
  readonly #watchers = new Set<Watcher>();
  readonly #leases = new Map<string, MemoryLease>();
  readonly #failures = new Map<Operation, Failure[]>();
  readonly #listeners: ((now: Connection) => void)[] = [];

  onConnection(listener: (now: Connection) => void): void {
    this.#listeners.push(listener);
  }

  async get(key: string, { at }: GetOptions = {}): Promise<Found> {
    this.#answer('get');
    const stored = this.#entries.get(key);
    const entry = at === undefined ? stored && toEntry(stored) : this.#entryAt(key, at);
    return { entry, revision: this.#revision };
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    this.#answer('list');
    const after = options.after ?? '';
    const all: ReadonlyMap<string, Entry> = options.at === undefined ? this.#entries : this.#entriesAt(options.at);
    const found = [...all.values()].filter(({ key }) => key.startsWith(prefix) && key > after).sort(byKey);
    const entries = found.slice(0, options.limit || found.length).map(toEntry);
    return { entries, revision: this.#revision, more: entries.length < found.length };
  }

  async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<CommitResult> {
    checkCommit(guards, writes);
    const failure = this.#answer('commit');
    if (failure === 'indeterminate-not-applied') throw new IndeterminateCommit();
    const result = this.#judge(guards, writes);
    if (failure === 'indeterminate-applied') throw new IndeterminateCommit();
    return result;
  }

  async *watch(prefix: string, after: Revision, signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    if (this.#closed || signal.aborted) return;
    if (after < this.#compacted) throw new Compacted(this.#compacted);
    const watcher: Watcher = { prefix, queue: new BatchQueue(), seen: after };
    for (const batch of this.#history) deliver(watcher, batch);
    this.#watchers.add(watcher);
    try {
      yield* watcher.queue.drain(signal);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  async lease(ttlSeconds: number): Promise<Lease> {
    this.#answer('lease');
    const id = String(this.#nextLease++);
    const lease = new MemoryLease(id, ttlSeconds, () => this.#dropLease(id));
    this.#leases.set(id, lease);
    return lease;
  }

  async close(): Promise<void> {
    for (const lease of this.#leases.values()) await lease.close();
    this.#closed = true;
    for (const { queue } of this.#watchers) queue.end();
  }

  /** Test hook: the next call of `operation` that has no failure queued before it fails this way. */
  failNext(failure: Failure, operation: Operation = 'commit'): void {
    if (failure !== 'unavailable' && operation !== 'commit')
      throw new RangeError(`only a commit can be indeterminate, not ${operation}`);
    this.#failures.set(operation, [...(this.#failures.get(operation) ?? []), failure]);
  }

  /** Test hook: forgets history up to `revision`; watches that have yet to start from before it throw Compacted. */
  compact(revision: Revision): void {
    if (revision > this.#revision) throw new RangeError(`revision ${revision} has not happened yet`);
    this.#compacted = Math.max(this.#compacted, revision);
  }

  /** Test hook: what an administrator keeps of it, for `rollBack`. */
  copy(): Copy {
    return { revision: this.#revision, entries: new Map(this.#entries), batches: [...this.#history] };
  }

  /** Test hook: the store goes on from the copy, as etcd restored from a snapshot: watches that are ahead of it are silent. */
  rollBack({ revision, entries, batches, ahead = 0 }: Copy): void {
    for (const listener of this.#listeners) listener('lost');
    this.#revision = revision + ahead;
    this.#history = [...batches];
    this.#entries.clear();
    for (const [key, stored] of entries) this.#entries.set(key, stored);
    for (const listener of this.#listeners) listener('back');
  }

  /** Test hook: what etcd does now and then on idle watches, an empty batch at the current revision. */
  progress(): void {
    for (const { queue } of this.#watchers) queue.push({ revision: this.#revision, events: [] });
  }

  /** Test hook: keepalives get no answer from now on: `lost` after 0.8 × TTL, keys gone after TTL, by setTimeout. */
  stopKeepalives(): void {
    for (const lease of this.#leases.values()) lease.stopKeepalives();
  }

  /** Test hook: every lease expires now. */
  async expireLeases(): Promise<void> {
    for (const lease of this.#leases.values()) await lease.close();
  }

  /** @throws Unavailable if closed or told to; else the failure the commit must feign */
  #answer(operation: Operation): Failure | undefined {
    if (this.#closed) throw new Unavailable('store', 'the store is closed');
    const failure = this.#failures.get(operation)?.shift();
    if (failure === 'unavailable') throw new Unavailable('store', 'the store does not answer (injected by a test)');
    return failure;
  }

  #judge(guards: readonly Guard[], writes: readonly Write[]): CommitResult {
    for (const write of writes)
      if (write.kind === 'put' && write.lease && !this.#leases.has(write.lease.id))
        throw new Unavailable('store', `lease ${write.lease.id} has expired`);
    if (!guards.every((guard) => this.#holds(guard))) return { committed: false, revision: this.#revision };
    this.#apply(writes);
    return { committed: true, revision: this.#revision };
  }

  /** What the history says of a key. */
  #entryAt(key: string, at: Revision): Entry | undefined {
    return this.#entriesAt(at).get(key);
  }

  #entriesAt(at: Revision): ReadonlyMap<string, Entry> {
    if (at < this.#compacted) throw new Compacted(this.#compacted);
    const entries = new Map<string, Entry>();
    for (const { revision, events } of this.#history) {
      if (revision > at) break;
      for (const event of events) {
        if (event.kind === 'put') entries.set(event.entry.key, event.entry);
        else entries.delete(event.key);
      }
    }
    return entries;
  }

  #holds(guard: Guard): boolean {
    switch (guard.kind) {
      case 'absent':
        return !this.#entries.has(guard.key);
      case 'present':
        return this.#entries.has(guard.key);
      case 'unchanged':
        return this.#entries.get(guard.key)?.modRevision === guard.modRevision;
      case 'sameIncarnation':
        return this.#entries.get(guard.key)?.createRevision === guard.createRevision;
      case 'emptyRange':
        return this.#keysIn(guard.from, guard.to).length === 0;
    }
  }

  /** One revision, unless nothing changes. */
  #apply(writes: readonly Write[]): void {
    const revision = this.#revision + 1;
    const events = writes.flatMap((write) => this.#effects(write, revision));
    if (events.length === 0) return;
    this.#revision = revision;
    const batch: WatchBatch = { revision, events };
    this.#history.push(batch);
    for (const watcher of this.#watchers) deliver(watcher, batch);
  }

  #effects(write: Write, revision: Revision): WatchEvent[] {
    if (write.kind === 'put') {
      const { key, value } = write;
      const createRevision = this.#entries.get(key)?.createRevision ?? revision;
      const stored: Stored = { key, value, createRevision, modRevision: revision, leaseId: write.lease?.id };
      this.#entries.set(key, stored);
      return [{ kind: 'put', entry: toEntry(stored) }];
    }
    const keys = write.kind === 'delete' ? [write.key] : this.#keysIn(write.from, write.to);
    return keys
      .filter((key) => this.#entries.delete(key))
      .map((key) => ({ kind: 'delete', key, modRevision: revision }));
  }

  #keysIn(from: string, to: string): string[] {
    return [...this.#entries.keys()].filter((key) => key >= from && key < to).sort();
  }

  #dropLease(id: string): void {
    if (!this.#leases.delete(id)) return;
    const held = [...this.#entries.values()].filter(({ leaseId }) => leaseId === id).sort(byKey);
    this.#apply(held.map(({ key }) => ({ kind: 'delete', key })));
  }
}

/** A lease whose keepalives succeed until told otherwise. */
class MemoryLease implements Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly lost: Promise<void>;
  readonly #drop: () => void;
  readonly #timers: NodeJS.Timeout[] = [];
  #lose: () => void = () => {};

  constructor(id: string, ttlSeconds: number, drop: () => void) {
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.#drop = drop;
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
  }

  stopKeepalives(): void {
    const ttlMs = this.ttlSeconds * 1000;
    this.#timers.push(setTimeout(this.#lose, ttlMs * 0.8), setTimeout(this.#drop, ttlMs));
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#lose();
    this.#drop();
  }
}

function deliver(watcher: Watcher, batch: WatchBatch): void {
  if (batch.revision <= watcher.seen) return;
  const events = batch.events.filter((event) => keyOf(event).startsWith(watcher.prefix));
  if (events.length === 0) return;
  watcher.seen = batch.revision;
  watcher.queue.push({ revision: batch.revision, events });
}

function keyOf(event: WatchEvent): string {
  return event.kind === 'put' ? event.entry.key : event.key;
}

function toEntry({ key, value, createRevision, modRevision }: Entry): Entry {
  return { key, value, createRevision, modRevision };
}

function byKey(a: Entry, b: Entry): number {
  return a.key < b.key ? -1 : 1;
}
