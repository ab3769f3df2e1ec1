/**
 * Reading and writing single records: what was read with the revision it had, preconditions of callers, commits whose answer was
 * lost, and starting over when another request was faster. It knows no kind of record.
 */
import { PreconditionFailed, Unavailable } from '../errors.ts';
import type { Reader } from '../model/kinds/kind.ts';
import {
  type CommitResult,
  type Entry,
  type Guard,
  IndeterminateCommit,
  type Revision,
  type Store,
  type Write,
} from '../store/store.ts';

/** A record as read or written, and the revision of its last change. */
export interface Stored<T> {
  readonly record: T;
  readonly revision: Revision;
}

/** What a caller demands of the object it is about to change; `any`: that there is one. */
export interface Precondition {
  readonly ifMatch?: 'any' | readonly Revision[];
  /** that there is none */
  readonly ifAbsent?: boolean;
}

/** @param entry what is there now @throws PreconditionFailed */
export function checkPrecondition(entry: Entry | undefined, { ifMatch, ifAbsent }: Precondition): void {
  const revision = entry?.modRevision;
  if (ifAbsent === true && entry !== undefined) throw new PreconditionFailed('the object exists already', revision);
  if (ifMatch === undefined) return;
  if (revision === undefined) throw new PreconditionFailed('the object does not exist');
  if (ifMatch !== 'any' && !ifMatch.includes(revision))
    throw new PreconditionFailed(`the object has changed: its revision is now ${revision}`, revision);
}

/** @returns undefined when there is none @throws Unavailable, RecordError */
export async function findRecord<R>(store: Store, kind: Reader<R>, key: string): Promise<Stored<R> | undefined> {
  const { entry } = await store.get(key);
  return entry && toStored(kind, entry);
}

export function toStored<R>(kind: Reader<R>, entry: Entry): Stored<R> {
  return { record: kind.get(entry), revision: entry.modRevision };
}

/** Tells whether a commit happened: then `key` has this value, or (undefined) is gone. */
export interface Proof {
  readonly key: string;
  readonly value: string | undefined;
}

/**
 * A commit; when its answer is lost, reads back whether it happened.
 * @throws Unavailable also when that does not tell: it may still happen then
 */
export async function commitSurely(
  store: Store,
  guards: readonly Guard[],
  writes: readonly Write[],
  proof: Proof,
): Promise<CommitResult> {
  try {
    return await store.commit(guards, writes);
  } catch (cause) {
    if (!(cause instanceof IndeterminateCommit)) throw cause;
    const { entry, revision } = await store.get(proof.key);
    if (entry?.value === proof.value) return { committed: true, revision: entry?.modRevision ?? revision };
    throw new Unavailable('store', 'the store did not confirm the change: read the object before you repeat it', {
      cause,
    });
  }
}

const TRIES = 32;

/**
 * Tries again for as long as the answer is undefined: a guard did not hold, so what was read is out of date.
 * @throws Unavailable when others are faster every time
 */
export async function retryLost<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < TRIES; tries++) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  throw new Unavailable('store', 'other requests keep changing the same objects: try again');
}
