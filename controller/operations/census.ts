/**
 * How many endpoints each tenant and each node has, counted along with a watch instead of by reading them all for every list.
 * A few milliseconds behind the store: nothing is decided by it.
 */
import { Unavailable } from '../errors.ts';
import { endpoints } from '../model/kinds/endpoint.ts';
import type { ProblemBook } from '../model/problems.ts';
import type { FollowWatcher } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { Replica } from '../store/replica.ts';
import type { Store } from '../store/store.ts';

/** tenant → node → endpoints, none of them zero */
type Counts = Map<string, Map<string, number>>;

type Place = NonNullable<ReturnType<typeof endpoints.place>>;

export class Census {
  readonly #store: Store;
  readonly #counts: Counts = new Map();
  /** where each endpoint is, by its key alone: one whose record cannot be read has its address all the same */
  readonly #places: Replica<Place>;

  constructor(store: Store, book: ProblemBook) {
    this.#store = store;
    this.#places = new Replica({
      book,
      read: ({ key }, before) => before ?? endpoints.place(key),
      onChange: (_, now, before) => {
        if (before !== undefined) add(this.#counts, before, -1);
        if (now !== undefined) add(this.#counts, now, 1);
      },
    });
  }

  /** Resolves when everything has been counted once. */
  get synced(): Promise<void> {
    return this.#places.synced;
  }

  /** Runs until `signal` aborts. */
  async follow(signal: AbortSignal, watcher: FollowWatcher): Promise<void> {
    await this.#places.follow(this.#store, keys.allEndpoints, signal, watcher);
  }

  /** @throws Unavailable before the first count is done */
  ofTenant(tenant: string): number {
    let sum = 0;
    for (const count of this.#counted().get(tenant)?.values() ?? []) sum += count;
    return sum;
  }

  /** By node. @throws Unavailable before the first count is done */
  ofNodes(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const nodes of this.#counted().values())
      for (const [node, count] of nodes) sums.set(node, (sums.get(node) ?? 0) + count);
    return sums;
  }

  /** Tenants with an endpoint on the node. @throws Unavailable before the first count is done */
  tenantsOn(node: string): string[] {
    return [...this.#counted()].filter(([, nodes]) => nodes.has(node)).map(([tenant]) => tenant);
  }

  /** Nodes with an endpoint of the tenant; none before the first count is done. */
  nodesOf(tenant: string): string[] {
    return [...(this.#counts.get(tenant)?.keys() ?? [])];
  }

  #counted(): Counts {
    if (!this.#places.isSynced) throw new Unavailable('store', 'endpoints have not been counted yet');
    return this.#counts;
  }
}

function add(counts: Counts, { tenant, node }: Place, change: 1 | -1): void {
  const nodes = counts.get(tenant) ?? new Map<string, number>();
  counts.set(tenant, nodes);
  const count = (nodes.get(node) ?? 0) + change;
  if (count > 0) nodes.set(node, count);
  else nodes.delete(node);
  if (nodes.size === 0) counts.delete(tenant);
}
