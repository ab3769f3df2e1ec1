/**
 * Which nodes a change concerns: those with something of a tenant, and those that follow every tenant. It asks the store, and keeps
 * nothing but who the latter are.
 */
import { blocks } from '../model/kinds/block.ts';
import { followsAllTenants as followsAll, nodes } from '../model/kinds/node.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Store, WatchBatch } from '../store/store.ts';

/** Nodes that hold a block of any of the tenants. */
export async function findHolders(store: Store, tenants: readonly string[]): Promise<Set<string>> {
  const lists = await Promise.all(tenants.map((tenant) => store.list(keys.blocks(tenant))));
  return new Set(lists.flatMap(({ entries }) => entries.flatMap((entry) => blocks.find(entry)?.node ?? [])));
}

/** Is the node there, and does it follow every tenant, or can that not be read? As the store has it now. */
export async function followsAllTenants(store: Store, node: string): Promise<boolean> {
  const { entry } = await store.get(keys.node(node));
  return entry !== undefined && isFollowerOfAll(entry) !== false;
}

/** Gateways and manage nodes, followed. A few milliseconds behind the store: one that is newer begins with what is newer. */
export class Overseers {
  readonly #names = new Set<string>();
  /** Resolves when all nodes have been seen once. */
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => {};

  constructor() {
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Runs until `signal` aborts. */
  async follow(store: Store, signal: AbortSignal, watcher: FollowWatcher): Promise<void> {
    const learn = (entry: Entry) => {
      const follows = isFollowerOfAll(entry);
      if (follows === true) this.#names.add(nodeOf(entry.key));
      else if (follows === false) this.#names.delete(nodeOf(entry.key));
    };
    const sink = {
      snapshot: (entries: readonly Entry[]) => {
        const there = new Set(entries.map(({ key }) => nodeOf(key)));
        for (const name of this.#names) if (!there.has(name)) this.#names.delete(name);
        for (const entry of entries) learn(entry);
        this.#resolveSynced();
      },
      events: ({ events }: WatchBatch) => {
        for (const event of events) {
          if (event.kind === 'put') learn(event.entry);
          else this.#names.delete(nodeOf(event.key));
        }
      },
    };
    await follow(store, keys.nodes, sink, signal, watcher);
  }
}

/** @returns undefined for one that cannot be read: what it was before, it still is */
function isFollowerOfAll(entry: Entry): boolean | undefined {
  const node = nodes.find(entry);
  return node && followsAll(node);
}

function nodeOf(key: string): string {
  return nodes.place(key)?.name ?? key;
}
