/**
 * Nodes as REST sees them: agents write them, people read them and forget the dead. Nothing here frees an address of a node on its
 * own: a dead agent's containers may well live on, so only an operator may say that a node is gone.
 */
import { Conflict, NotFound } from '../errors.ts';
import { blocks as blockKind } from '../model/kinds/block.ts';
import { enforcedBy } from '../model/kinds/enforced.ts';
import { type Node, nodes } from '../model/kinds/node.ts';
import { tenants as tenantKind } from '../model/kinds/tenant.ts';
import type { Problem } from '../model/problems.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Guard, Revision, Store, Write } from '../store/store.ts';
import { listPage, type Page, type PageRequest } from './paging.ts';
import { nodeProblems, readProblems } from './problems.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, commitSurely, type Precondition, type Stored, toStored } from './stored.ts';

/** A node with what only others know of it. */
export interface NodeState extends Stored<Node> {
  /** its agent holds its lease */
  readonly live: boolean;
  readonly endpoints: number;
  /** what its kernel holds, by its agent's last word; absent before the first */
  readonly enforced?: { readonly at: string; readonly revision: Revision };
  /** what it tells of itself */
  readonly problems: readonly Problem[];
}

/** Records removed by one commit: a guard and a write each. */
const AT_ONCE = 45;

/** Keys removed by one commit unseen: a write each, and one guard. */
const UNSEEN_AT_ONCE = 95;

/** @throws Unavailable */
export async function listNodes(registry: Registry, page: PageRequest): Promise<Page<NodeState>> {
  const { store, census, now } = registry;
  const counts = census.ofNodes();
  const [{ entries }, problems] = await Promise.all([store.list(keys.liveNodes), nodeProblems(store, now())]);
  const live = new Set(entries.map(({ key }) => key));
  const { items, ...rest } = await listPage(registry, nodes, keys.nodes, page);
  const withState = items.map(async (stored): Promise<NodeState> => {
    const { name } = stored.record;
    const enforced = await readAcknowledged(store, name);
    const own = { endpoints: counts.get(name) ?? 0, ...enforced, problems: problems.get(name) ?? [] };
    return { ...stored, live: live.has(keys.liveNode(name)), ...own };
  });
  return { ...rest, items: await Promise.all(withState) };
}

/** @throws NotFound, Unavailable */
export async function getNode({ store, census, now }: Registry, name: string): Promise<NodeState> {
  const [node, live, enforced, told] = await Promise.all([
    store.get(keys.node(name)),
    store.get(keys.liveNode(name)),
    readAcknowledged(store, name),
    store.get(keys.problems(name)),
  ]);
  if (node.entry === undefined) throw new NotFound('node', name);
  const endpoints = census.ofNodes().get(name) ?? 0;
  const problems = readProblems(told.entry, now());
  return { ...toStored(nodes, node.entry), live: live.entry !== undefined, endpoints, ...enforced, problems };
}

/** The highest revision of any kind: how far the node has come. A record that cannot be read is as good as none. */
async function readAcknowledged(store: Store, node: string): Promise<Pick<NodeState, 'enforced'>> {
  const { entry } = await store.get(keys.enforced(node));
  if (entry === undefined) return {};
  const record = enforcedBy.find(entry);
  if (record === undefined) return {};
  const { at, all, allBut, tenants } = record;
  const revisions = [all, allBut, ...Object.values(tenants)].flatMap((kinds) =>
    Object.values<unknown>({ ...kinds }).filter(isRevision),
  );
  return { enforced: { at, revision: Math.max(0, ...revisions) } };
}

function isRevision(value: unknown): value is Revision {
  return Number.isSafeInteger(value);
}

/**
 * Forgets a node: its endpoints, blocks and what it refused by degrees, then the node. Repeating what was cut short finishes it.
 * @throws NotFound, PreconditionFailed, Conflict while its agent is alive, Unavailable
 */
export async function deleteNode(registry: Registry, name: string, precondition: Precondition): Promise<void> {
  const { store } = registry;
  const { entry } = await store.get(keys.node(name));
  if (entry === undefined) throw new NotFound('node', name);
  checkPrecondition(entry, precondition);
  const blocks = await blocksOf(store, name);
  const tenants = new Set([...blocks.map((entry) => blockKind.get(entry).tenant), ...registry.census.tenantsOn(name)]);
  for (const tenant of tenants) {
    const { entries } = await store.list(keys.nodeEndpoints(tenant, name));
    await removeAll(store, name, entries);
  }
  await removeDenials(store, name);
  const said = [keys.enforced(name), keys.traffic(name), keys.problems(name)].map((key) => store.get(key));
  const told = (await Promise.all(said)).flatMap(({ entry: each }) => each ?? []);
  await removeAll(store, name, [...blocks, ...told, entry]);
}

/** Of whichever tenant it refused something; without reading, for deleting what is not there does nothing. */
async function removeDenials(store: Store, node: string): Promise<void> {
  const { entries } = await store.list(keys.tenants);
  const all = entries.flatMap(({ key }) => {
    const at = tenantKind.place(key);
    return at === undefined ? [] : [keys.nodeDenials(at.name, node)];
  });
  for (let start = 0; start < all.length; start += UNSEEN_AT_ONCE) {
    const some = all.slice(start, start + UNSEEN_AT_ONCE);
    await commitWhileDead(store, node, [], some);
  }
}

async function blocksOf(store: Store, node: string): Promise<Entry[]> {
  const { entries } = await store.list(keys.allBlocks);
  return entries.filter((entry) => blockKind.find(entry)?.node === node);
}

/** @throws Conflict when the node comes alive, or any of it changes, which only a live node does */
async function removeAll(store: Store, node: string, entries: readonly Entry[]): Promise<void> {
  for (let start = 0; start < entries.length; start += AT_ONCE) {
    const batch = entries.slice(start, start + AT_ONCE);
    const same = batch.map(({ key, modRevision }): Guard => ({ kind: 'unchanged', key, modRevision }));
    const some = batch.map(({ key }) => key);
    await commitWhileDead(store, node, same, some);
  }
}

/** Deletes keys, at least one. @throws Conflict when the node comes alive, or a guard does not hold */
async function commitWhileDead(
  store: Store,
  node: string,
  guards: readonly Guard[],
  removed: readonly string[],
): Promise<void> {
  const dead: Guard = { kind: 'absent', key: keys.liveNode(node) };
  const writes = removed.map((key): Write => ({ kind: 'delete', key }));
  const proof = { key: removed[0] ?? '', value: undefined };
  const { committed } = await commitSurely(store, [dead, ...guards], writes, proof);
  if (!committed)
    throw new Conflict(`node ${JSON.stringify(node)} is alive, or was a moment ago: stop its agent first`, {
      holder: node,
    });
}
