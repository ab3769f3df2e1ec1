/**
 * Evidence of what a process has seen of a store: the newest change it knows of, with its revision. Revisions alone prove nothing: a
 * store that was put back to an older copy gives the same numbers again, to other changes.
 */
import { Compacted, type Entry, type Found, type Revision, type Store, type WatchEvent } from './store.ts';

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
