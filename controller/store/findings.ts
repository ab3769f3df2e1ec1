/** What the store's users find wrong, as problems: a prefix that cannot be followed, a call that was refused. */
import type { Finding, ProblemBook } from '../model/problems.ts';
import type { FollowWatcher } from './follow.ts';
import { tenantOfKey } from './keys.ts';
import { isAway } from './store.ts';

/** Keeps a book of the prefixes whose copy is behind. @param prefixes are told by these names */
export function followingProblems(book: ProblemBook): FollowWatcher {
  return {
    failed: (prefix, error) => book.note('not_followed', findingOf(prefix, error, tenantOfKey(prefix))),
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

function findingOf(about: string, error: unknown, tenant: string | undefined): Finding {
  const text = error instanceof Error ? error.message : String(error);
  return tenant === undefined ? { about, text } : { about, text, tenant };
}
