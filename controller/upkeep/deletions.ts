/**
 * The leader's part in deleting tenants: goes on where the caller has stopped waiting, for as long as nodes take to give back
 * their blocks. It frees no address that a node still holds: blocks and endpoints of dead nodes stay until an operator deletes the
 * node, for containers outlive their agent.
 */

import type { Logger } from 'pino';
import { Unreadable } from '../model/kinds/kind.ts';
import { tenants } from '../model/kinds/tenant.ts';
import type { ProblemBook } from '../model/problems.ts';
import { finishDeletion } from '../operations/delete-tenant.ts';
import { followingProblems, noteStoreError } from '../store/findings.ts';
import { keys } from '../store/keys.ts';
import { pause } from '../store/pause.ts';
import { Replica } from '../store/replica.ts';
import type { Entry, Store } from '../store/store.ts';
import type { LeaderGuard } from './election.ts';

export interface DeletionsOptions {
  readonly store: Store;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly book: ProblemBook;
  /** how often what remains is looked at, 1000 unless given */
  readonly intervalMs?: number;
}

/** Finishes deletions until `signal` aborts. Every write is fenced by `guard`. */
export async function finishDeletions(
  { store, log, book, intervalMs = 1000 }: DeletionsOptions,
  signal: AbortSignal,
  guard: LeaderGuard,
): Promise<void> {
  const deleting = new Replica<string>({ book, read: nameIfDeleting });
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const following = deleting.follow(store, keys.tenants, both, followingProblems(book));
  const working = (async () => {
    while (!both.aborted) {
      for (const tenant of [...deleting.values()]) await tryToFinish({ store, log, book }, tenant, guard);
      await pause(intervalMs, both);
    }
  })();
  try {
    await Promise.race([following, working]);
  } finally {
    over.abort();
    await Promise.allSettled([following, working]);
  }
}

/** A record that cannot be read is left alone, unless its deletion had begun before. */
function nameIfDeleting(entry: Entry): string | Unreadable | undefined {
  const tenant = tenants.read(entry);
  if (tenant instanceof Unreadable) return tenant;
  return tenant.phase === 'deleting' ? tenant.name : undefined;
}

/** What one tenant's deletion stumbles over ends neither the others' nor the leadership. */
async function tryToFinish({ store, log, book }: DeletionsOptions, tenant: string, guard: LeaderGuard): Promise<void> {
  const about = `deletion of tenant ${tenant}`;
  try {
    const { remaining } = await finishDeletion(store, tenant, [guard]);
    book.solved('store_refused', about);
    if (remaining.length === 0) log.info({ op: 'delete', tenant }, 'tenant is gone');
  } catch (error) {
    if (noteStoreError(book, about, error, tenant))
      log.warn({ op: 'delete', tenant, err: error }, 'cannot finish the deletion yet');
  }
}
