/**
 * What keeps a store alive for years, as far as anything but its administrator can do it: how full it is, whether it refuses writes, and
 * the end of its history. Types only; etcd-store.ts fulfils them.
 */
import type { Revision } from './store.ts';

/** One member of the store's cluster. */
export interface MemberState {
  /** such as `http://127.0.0.1:2379` */
  readonly endpoint: string;
  /** bytes of its database that hold something */
  readonly usedBytes: number;
  /** bytes of its file: what was used once stays allocated until it is defragmented */
  readonly fileBytes: number;
  /** bytes at which it refuses writes; undefined: it does not say */
  readonly quotaBytes: number | undefined;
}

export interface StoreState {
  readonly revision: Revision;
  /** those that answer */
  readonly members: readonly MemberState[];
  /** such as `NOSPACE` (writes are refused) and `CORRUPT` */
  readonly alarms: readonly string[];
}

/** Calls reject with Unavailable when no member answers. */
export interface StoreKeeper {
  look(): Promise<StoreState>;
  /** Is what the store held at this revision gone already? */
  isCompacted(revision: Revision): Promise<boolean>;
  /** Drops history before the revision. */
  compact(revision: Revision): Promise<void>;
  close(): void;
}
