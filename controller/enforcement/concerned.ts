/**
 * Which nodes a change concerns: those with something of a tenant, and those that follow every tenant. It asks the store, and keeps
 * nothing but who the latter are.
 */
import { blocks } from '../model/kinds/block.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import { followsAllTenants as followsAll, nodes } from '../model/kinds/node.ts';
import { peerings } from '../model/kinds/peering.ts';
import type { ProblemBook } from '../model/problems.ts';
import type { FollowWatcher } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { Replica } from '../store/replica.ts';
import type { Entry, Store } from '../store/store.ts';

/** What records say, and whether all of them could be read: nodes may have an older record of those that could not in force. */
export interface Found {
  readonly names: readonly string[];
  readonly isWhole: boolean;
}

/** Nodes that hold a block of any of the tenants. @throws Unavailable */
export async function findHolders(store: Store, tenants: readonly string[]): Promise<Found> {
  const lists = await Promise.all(tenants.map((tenant) => store.list(keys.blocks(tenant))));
  // One of another form is no block, and never was.
  const all = lists.flatMap(({ entries }) => entries).filter(({ key }) => blocks.place(key) !== undefined);
  const nodes = all.map((entry) => blocks.find(entry)?.node);
  return { names: nodes.filter((node) => node !== undefined), isWhole: !nodes.includes(undefined) };
}

/** Tenants that this one has a peering in force with: both ask. @throws Unavailable */
export async function findPeers(store: Store, tenant: string): Promise<Found> {
  const { entries } = await store.list(keys.peerings(tenant));
  const pairs = await Promise.all(
    entries.map(async (entry) => {
      const peer = peerings.place(entry.key)?.peer;
      const other = peer === undefined ? undefined : (await store.get(keys.peering(peer, tenant))).entry;
      return peer === undefined || other === undefined ? [] : [{ peer, isRead: isRead(entry) && isRead(other) }];
    }),
  );
  const both = pairs.flat();
  const names = both.filter((pair) => pair.isRead).map(({ peer }) => peer);
  return { names, isWhole: names.length === both.length };
}

function isRead(entry: Entry): boolean {
  return peerings.find(entry) !== undefined;
}

/** Is the node there, and does it follow every tenant, or can that not be read? As the store has it now. */
export async function followsAllTenants(store: Store, node: string): Promise<boolean> {
  const { entry } = await store.get(keys.node(node));
  return entry !== undefined && followsAllOf(entry) !== false;
}

/** Gateways and manage nodes, followed. A few milliseconds behind the store: one that is newer begins with what is newer. */
export class Overseers {
  readonly #names = new Set<string>();
  readonly #nodes: Replica<boolean>;

  /** @param book told of nodes that cannot be read: what such a node was before, it still is */
  constructor(book: ProblemBook) {
    this.#nodes = new Replica({
      book,
      read: (entry) => followsAllOf(entry),
      onChange: (key, isOverseer) => {
        const node = nodes.place(key)?.name ?? key;
        if (isOverseer === true) this.#names.add(node);
        else this.#names.delete(node);
      },
    });
  }

  /** Resolves when all nodes have been seen once. */
  get synced(): Promise<void> {
    return this.#nodes.synced;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Runs until `signal` aborts. */
  async follow(store: Store, signal: AbortSignal, watcher: FollowWatcher): Promise<void> {
    await this.#nodes.follow(store, keys.nodes, signal, watcher);
  }
}

function followsAllOf(entry: Entry): boolean | Unreadable {
  const node = nodes.read(entry);
  return node instanceof Unreadable ? node : followsAll(node);
}
