/** What the store's users find wrong, as problems: a prefix that cannot be followed, a call that was refused. */
import { tenantOf } from '../model/kinds/all.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import type { Finding, ProblemBook } from '../model/problems.ts';
import type { FollowWatcher } from './follow.ts';
import { isAway } from './store.ts';

/** Keeps a book of the prefixes whose copy is behind. @param prefixes are told by these names */
export function followingProblems(book: ProblemBook): FollowWatcher {
  return {
    failed: (prefix, error) => book.note('not_followed', findingOf(prefix, error, tenantOf(prefix))),
    recovered: (prefix) => book.solved('not_followed', prefix),
  };
}

/**
 * What a call of the store came to, or what was made of its answer: nothing to tell while the store is merely away.
 * @param about what was being done, such as `registration`
 * @returns whether the store is away
 */
export function noteStoreError(book: ProblemBook, about: string, error: unknown, tenant?: string): boolean {
  if (isAway(error)) return true;
  book.note('store_refused', findingOf(about, error, tenant));
  return false;
}

/** What came of reading the record of a key: a problem while that cannot be done. */
export function noteReading(book: ProblemBook, key: string, found: unknown): void {
  if (found instanceof Unreadable) book.note('record_unreadable', unreadableFinding(found));
  else book.solved('record_unreadable', key);
}

export function unreadableFinding({ key, reason: text }: Unreadable): Finding {
  const tenant = tenantOf(key);
  return tenant === undefined ? { about: key, text } : { about: key, text, tenant };
}

function findingOf(about: string, error: unknown, tenant: string | undefined): Finding {
  const text = error instanceof Error ? error.message : String(error);
  return tenant === undefined ? { about, text } : { about, text, tenant };
}
