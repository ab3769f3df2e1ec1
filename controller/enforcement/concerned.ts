/**
 * Which nodes a change concerns: those with something of a tenant, and those that follow every tenant. It asks the store, and keeps
 * nothing but who the latter are.
 */
import type { Node } from '../model/records.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { parseRecord, RecordError } from '../store/records.ts';
import type { Entry, Store, WatchBatch } from '../store/store.ts';

/** Nodes that hold a block of any of the tenants. */
export async function findHolders(store: Store, tenants: readonly string[]): Promise<Set<string>> {
  const lists = await Promise.all(tenants.map((tenant) => store.list(keys.blocks(tenant))));
  const nodes = lists.flatMap(({ entries }) =>
    entries.map((entry) => readOrIgnore<{ readonly node: string }>(entry)?.node),
  );
  return new Set(nodes.filter((node) => node !== undefined));
}

/** Is the node there, and does it follow every tenant? As the store has it now. */
export async function followsAllTenants(store: Store, node: string): Promise<boolean> {
  const { entry } = await store.get(keys.node(node));
  return entry !== undefined && isFollowerOfAll(entry);
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
      if (isFollowerOfAll(entry)) this.#names.add(nodeOf(entry.key));
      else this.#names.delete(nodeOf(entry.key));
    };
    const sink = {
      snapshot: (entries: readonly Entry[]) => {
        this.#names.clear();
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

function isFollowerOfAll(entry: Entry): boolean {
  const roles = readOrIgnore<Node>(entry)?.roles ?? [];
  return roles.some((role) => role === 'gateway' || role === 'manage');
}

function nodeOf(key: string): string {
  return key.slice(keys.nodes.length);
}

/** A record that cannot be read concerns no node. */
function readOrIgnore<T extends object>({ key, value }: Entry): T | undefined {
  try {
    return parseRecord<T>(key, value);
  } catch (error) {
    if (error instanceof RecordError) return undefined;
    throw error;
  }
}
