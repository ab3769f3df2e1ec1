/**
 * How many endpoints each tenant and each node has, counted along with a watch instead of by reading them all for every list.
 * A few milliseconds behind the store: nothing is decided by it.
 */
import { Unavailable } from '../errors.ts';
import { endpoints } from '../model/kinds/endpoint.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Store, WatchBatch } from '../store/store.ts';

/** tenant → node → endpoints, none of them zero */
type Counts = Map<string, Map<string, number>>;

export class Census {
  readonly #store: Store;
  #counts: Counts | undefined;
  /** Resolves when everything has been counted once. */
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => {};

  constructor(store: Store) {
    this.#store = store;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  /** Runs until `signal` aborts. */
  async follow(signal: AbortSignal, watcher: FollowWatcher): Promise<void> {
    const sink = {
      snapshot: (entries: readonly Entry[]) => {
        const counts: Counts = new Map();
        for (const { key } of entries) add(counts, key, 1);
        this.#counts = counts;
        this.#resolveSynced();
      },
      events: ({ events }: WatchBatch) => {
        for (const event of events) {
          if (event.kind === 'delete') add(this.#counted(), event.key, -1);
          else if (event.entry.createRevision === event.entry.modRevision) add(this.#counted(), event.entry.key, 1);
        }
      },
    };
    await follow(this.#store, keys.allEndpoints, sink, signal, watcher);
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
    return [...(this.#counts?.get(tenant)?.keys() ?? [])];
  }

  #counted(): Counts {
    if (this.#counts === undefined) throw new Unavailable('store', 'endpoints have not been counted yet');
    return this.#counts;
  }
}

function add(counts: Counts, key: string, change: 1 | -1): void {
  const at = endpoints.place(key);
  if (at === undefined) return;
  const { tenant, node } = at;
  const nodes = counts.get(tenant) ?? new Map<string, number>();
  counts.set(tenant, nodes);
  const count = (nodes.get(node) ?? 0) + change;
  if (count > 0) nodes.set(node, count);
  else nodes.delete(node);
  if (nodes.size === 0) counts.delete(tenant);
}
