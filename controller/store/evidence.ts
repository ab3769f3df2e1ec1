/**
 * Evidence of what a process has seen of a store: the newest change it knows of, with its revision. Revisions alone prove nothing: a
 * store that was put back to an older copy gives the same numbers again, to other changes.
 */
import { Compacted, type Entry, type Found, type Revision, type Store, type WatchEvent } from './store.ts';

/** What a process knows of the store's history, for its next life. */
export interface Remembered {
  readonly history?: string;
  readonly cluster?: string;
  readonly evidence?: Evidence;
}

/** A key as it was made by the change of a revision. */
export interface Evidence {
  readonly key: string;
  readonly revision: Revision;
  /** undefined: the change deleted it */
  readonly value: string | undefined;
}

export function evidenceOf(of: Entry | WatchEvent): Evidence {
  if ('value' in of) return { key: of.key, revision: of.modRevision, value: of.value };
  if (of.kind === 'put') return evidenceOf(of.entry);
  return { key: of.key, revision: of.modRevision, value: undefined };
}

/** Of what was listed. */
export function newestOf(entries: readonly Entry[]): Evidence | undefined {
  let newest: Entry | undefined;
  for (const entry of entries) if (entry.modRevision > (newest?.modRevision ?? 0)) newest = entry;
  return newest && evidenceOf(newest);
}

/**
 * Does the store still have the history in which the change was made? `unknown`: it does not have that revision any more.
 * @throws Unavailable
 */
export async function prove(
  store: Pick<Store, 'get'>,
  { key, revision, value }: Evidence,
): Promise<'same' | 'other' | 'unknown'> {
  const now = await store.get(key);
  if (now.revision < revision) return 'other';
  if (now.entry?.modRevision === revision) return now.entry.value === value ? 'same' : 'other';
  const isThere = ({ entry }: Found) => entry?.modRevision === revision && entry.value === value;
  try {
    const then = await store.get(key, { at: revision });
    if (value !== undefined) return isThere(then) ? 'same' : 'other';
    if (then.entry !== undefined) return 'other';
    // Deleted by that very change, and not before.
    const before = await store.get(key, { at: revision - 1 });
    return before.entry === undefined ? 'other' : 'same';
  } catch (error) {
    if (error instanceof Compacted) return 'unknown';
    throw error;
  }
}

/** What a process knows of a store's history: enough to tell it from another one. */
export class Seen {
  /** the history's id, once one has been seen */
  history: string | undefined;
  #cluster: string | undefined;
  #evidence: Evidence | undefined;

  constructor({ history, cluster, evidence }: Remembered = {}) {
    this.history = history;
    this.#cluster = cluster;
    this.#evidence = evidence;
  }

  get remembered(): Remembered {
    const [history, cluster, evidence] = [this.history, this.#cluster, this.#evidence];
    return { ...(history && { history }), ...(cluster && { cluster }), ...(evidence && { evidence }) };
  }

  /** of the newest change; 0: none is known */
  get revision(): Revision {
    return this.#evidence?.revision ?? 0;
  }

  learn(evidence: Evidence | undefined): void {
    if (evidence !== undefined && evidence.revision > this.revision) this.#evidence = evidence;
  }

  /** All of it but the id is of a history that has ended. */
  forget(): void {
    this.#cluster = undefined;
    this.#evidence = undefined;
  }

  /**
   * Holds it against the store.
   * @param id of the history that the store says it is in, @param cluster that answered
   * @returns why it is another history, or up to which revision it is surely the same
   * @throws Unavailable
   */
  async judge(
    store: Pick<Store, 'get'>,
    id: string | undefined,
    cluster: string | undefined,
  ): Promise<{ readonly other?: string; readonly proven: Revision }> {
    if (this.history !== undefined && id !== this.history) return { other: `history ${id} has begun`, proven: 0 };
    if (this.#cluster !== undefined && cluster !== this.#cluster)
      return { other: `another cluster of etcd answers, ${cluster} instead of ${this.#cluster}`, proven: 0 };
    const evidence = this.#evidence;
    const verdict = evidence === undefined ? 'unknown' : await prove(store, evidence);
    if (evidence !== undefined && verdict === 'other')
      return { other: `the change of ${evidence.key} at revision ${evidence.revision} is not in it`, proven: 0 };
    // What is not proven now never will be.
    if (verdict === 'unknown' && evidence === this.#evidence) this.#evidence = undefined;
    this.#cluster = cluster;
    return { proven: verdict === 'same' ? (evidence?.revision ?? 0) : 0 };
  }
}
