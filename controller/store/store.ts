/**
 * What Tenet asks of its store: a flat, revisioned key space with guarded multi-key writes, ordered watches and leases.
 * etcd-store.ts is the real one, memory-store.ts the fake; one contract suite holds both to this page. Types, and what errors mean.
 */
import { Unavailable } from '../errors.ts';

/** The store's logical clock: every commit raises it by one. Starts at 1. */
export type Revision = number;

/** A key as stored. Values are UTF-8 text, JSON by records.ts. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** revision at which this incarnation of the key was created */
  readonly createRevision: Revision;
  /** revision of its last change */
  readonly modRevision: Revision;
}

/** A condition of a commit; all are judged at one revision. */
export type Guard =
  | { readonly kind: 'absent'; readonly key: string }
  | { readonly kind: 'present'; readonly key: string }
  /** still exactly what was read */
  | { readonly kind: 'unchanged'; readonly key: string; readonly modRevision: Revision }
  /** the same incarnation: fences off a leader or tenant that was replaced */
  | { readonly kind: 'sameIncarnation'; readonly key: string; readonly createRevision: Revision }
  /** no key in [from, to) */
  | { readonly kind: 'emptyRange'; readonly from: string; readonly to: string };

/** One effect of a commit. No key may be written twice in one commit. */
export type Write =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease?: Lease }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'deleteRange'; readonly from: string; readonly to: string };

/** `committed: false` means nothing was written; `revision` is when the guards were judged. */
export type CommitResult = { readonly committed: boolean; readonly revision: Revision };

export type WatchEvent =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: Revision };

/** All events of one or more whole revisions, in order. After it, everything up to `revision` has been seen. */
export interface WatchBatch {
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
}

/** Kept alive by the store until closed or lost. */
export interface Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  /** Settles when the lease can no longer be trusted to be alive (0.8 × TTL after the last keepalive SENT and answered), or was closed. */
  readonly lost: Promise<void>;
  /** Revokes it: its keys are deleted at once. Never throws. */
  close(): Promise<void>;
}

export interface CallOptions {
  /** milliseconds after which the call is given up, where the store would wait longer */
  readonly timeoutMs?: number;
}

export interface GetOptions extends CallOptions {
  /** as the key was at this revision, which must have been reached; absent: as it is now */
  readonly at?: Revision;
}

export interface Found {
  readonly entry: Entry | undefined;
  /** the store's own now, also where the entry is an older one */
  readonly revision: Revision;
  /** which cluster of servers answered, where the store knows */
  readonly cluster?: string;
}

export interface Listing {
  readonly entries: readonly Entry[];
  readonly revision: Revision;
  readonly more: boolean;
  /** which of the histories it is of that this process has gone through; to be handed to the watch that goes on from it */
  readonly era?: number;
}

export interface ListOptions {
  /** at most this many entries, in key order; 0 or absent: all */
  readonly limit?: number;
  /** only keys after this one */
  readonly after?: string;
  /** as they were at this revision, which must have been reached; absent: as they are now */
  readonly at?: Revision;
}

/**
 * Every method rejects with Unavailable when the store does not answer within its deadline, and with
 * {@link IndeterminateCommit} when a write's fate is unknown. Keys are given WITHOUT the store's prefix (`/tenet/v1/`).
 */
export interface Store {
  /** @throws Compacted when `at` is before what the store still has */
  get(key: string, options?: GetOptions): Promise<Found>;
  /**
   * Entries whose key starts with `prefix`, in key order, all at `revision`; where `at` is given all at that, and `revision` is the
   * store's own now.
   * @throws Compacted when `at` is before what the store still has
   */
  list(prefix: string, options?: ListOptions): Promise<Listing>;
  /** All writes or none, if every guard holds. At most 100 guards and writes together. */
  commit(guards: readonly Guard[], writes: readonly Write[], options?: CallOptions): Promise<CommitResult>;
  /**
   * Every event under `prefix` with modRevision > `after`, each once, in order, over reconnects, until `signal` aborts.
   * @param era of the listing that it goes on from
   * @throws Compacted when history before `compactRevision` is gone, OtherHistory when the store has become an older copy of itself: list
   * again in both cases
   */
  watch(prefix: string, after: Revision, signal: AbortSignal, era?: number): AsyncIterable<WatchBatch>;
  lease(ttlSeconds: number): Promise<Lease>;
  /** Ends watches and leases and the connection. */
  close(): Promise<void>;
}

/**
 * What a store tells of its connection, so that what it holds can be looked at again: `lost` at once when watches hear nothing for a
 * while, `back` when they hear again, before the first event.
 */
export type Connection = 'lost' | 'back';

/** A store that can be another one after each break of its connection: an older copy that was put in its place. */
export interface ConnectedStore extends Store {
  onConnection(listener: (now: Connection) => void): void;
}

/** The store has become an older copy of itself, in which what was seen since has never happened. */
export class OtherHistory extends Unavailable {
  constructor(message: string) {
    super('store', message);
  }
}

/** The watch's starting point has been compacted away. */
export class Compacted extends Error {
  readonly code = 'compacted';
  readonly compactRevision: Revision;
  constructor(compactRevision: Revision) {
    super(`history before revision ${compactRevision} has been compacted`);
    this.compactRevision = compactRevision;
  }
}

/** A commit was sent and its answer lost: it may or may not have happened. Read back before doing it again. */
export class IndeterminateCommit extends Error {
  readonly code = 'indeterminate';
  /** @param why what became of the call, for people */
  constructor(why?: string, options?: ErrorOptions) {
    super(`the store did not say whether the write happened${why === undefined ? '' : `: ${why}`}`, options);
  }
}

/**
 * Does it only mean that the store is away, or did not answer? Then the same may succeed later. Any other error of a call is an answer:
 * it does not go away by itself, and a person must know.
 */
export function isAway(error: unknown): boolean {
  return error instanceof IndeterminateCommit || (error instanceof Unavailable && !(error instanceof StoreRefusal));
}

/** The store is there and says no: to callers as good as one that is away, but it will say so until a person acts. */
export class StoreRefusal extends Unavailable {}

/** The first key after every key that starts with `prefix`. */
export function rangeEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
