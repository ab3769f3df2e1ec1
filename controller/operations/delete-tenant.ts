/**
 * Taking a tenant away: mark it, so that nothing new begins in it; wait until its nodes have given back their blocks; remove all of
 * it in one commit. The caller waits a while, the leader's upkeep goes on for as long as it takes.
 */
import type { EnforcementStatus } from '../enforcement/enforcement.ts';
import { Conflict, NotFound } from '../errors.ts';
import { blocks as blockKind } from '../model/kinds/block.ts';
import { clusters } from '../model/kinds/cluster.ts';
import { endpoints as endpointKind } from '../model/kinds/endpoint.ts';
import { peerings } from '../model/kinds/peering.ts';
import { SYSTEM_TENANT, type Tenant, tenants } from '../model/kinds/tenant.ts';
import { keys } from '../store/keys.ts';
import { Compacted, type Guard, type Revision, rangeEnd, type Store, type Write } from '../store/store.ts';
import type { Registry } from './registry.ts';
import {
  checkPrecondition,
  commitSurely,
  findRecord,
  type Precondition,
  retryLost,
  type Stored,
  toStored,
} from './stored.ts';
import { commitTenant } from './tenants.ts';

/** How long a caller waits for nodes to give back their blocks. */
export const GIVE_BACK_MS = 5000;

/** Namespaces removed in one commit, two writes each. */
const NAMESPACES_AT_ONCE = 25;

/** Peerings that others have asked of the tenant, removed in one commit. */
const PEERINGS_AT_ONCE = 90;

/** Nodes that still hold a block or an endpoint of the tenant, in order; none: it is gone. */
export type Remaining = readonly string[];

/** How far a deletion has come. */
export interface Deletion {
  readonly remaining: Remaining;
  /** when it was marked */
  readonly marked: Revision;
  /** when it was removed; absent while something remains, or where another controller did it */
  readonly removed?: Revision;
}

/**
 * @param waitMs at most this long for the nodes
 * @throws NotFound, PreconditionFailed, Conflict while it has endpoints or is needed, Unavailable
 */
export async function deleteTenant(
  registry: Registry,
  name: string,
  precondition: Precondition,
  waitMs: number = GIVE_BACK_MS,
): Promise<Deletion> {
  const marked = await retryLost(() => tryToMark(registry, name, precondition));
  const { signal, cancel } = registry.setDeadline(waitMs);
  try {
    for (;;) {
      const { remaining, revision, removed } = await finishDeletion(registry.store, name);
      if (remaining.length === 0 || signal.aborted)
        return { remaining, marked, ...(removed === undefined ? {} : { removed }) };
      await untilChanged(registry.store, keys.blocks(name), revision, signal);
    }
  } finally {
    cancel();
  }
}

/**
 * Waits until gateways and manage nodes have forgotten the tenant as well. Other nodes have nothing left to forget: a node gives
 * back its blocks once it has nothing of the tenant.
 * @param timeoutMs at most this long
 */
export async function awaitDeletion(
  registry: Registry,
  tenant: string,
  { remaining, marked, removed }: Deletion,
  timeoutMs: number,
): Promise<EnforcementStatus> {
  const { enforcement } = registry;
  if (remaining.length > 0) return await enforcement.describeLate(marked, remaining);
  const startedMs = performance.now();
  const revision = removed ?? (await findRemoval(registry, tenant, marked, timeoutMs));
  if (revision === undefined) return await enforcement.describeLate(marked, []);
  const leftMs = remainingMs(timeoutMs, startedMs);
  return await enforcement.wait({ tenant, kinds: ['tenant'], revision, holders: [] }, leftMs);
}

/** What is left of a time that began at `startedMs` on the monotonic clock: whole milliseconds, none at least. */
export function remainingMs(timeoutMs: number, startedMs: number): number {
  return Math.max(0, Math.ceil(timeoutMs - (performance.now() - startedMs)));
}

/**
 * When a tenant that was marked and is gone was removed, by whichever controller; undefined when history does not go back so far,
 * or does not tell before the time is over.
 */
async function findRemoval(
  { store, setDeadline }: Registry,
  name: string,
  marked: Revision,
  timeoutMs: number,
): Promise<Revision | undefined> {
  const key = keys.tenant(name);
  const { signal, cancel } = setDeadline(timeoutMs);
  try {
    for await (const { events } of store.watch(key, marked, signal))
      for (const event of events) if (event.kind === 'delete' && event.key === key) return event.modRevision;
  } catch (error) {
    if (!(error instanceof Compacted)) throw error;
  } finally {
    cancel();
  }
  return undefined;
}

/** @returns the mark's revision; undefined when the tenant changed meanwhile */
async function tryToMark(registry: Registry, name: string, precondition: Precondition): Promise<Revision | undefined> {
  const { store } = registry;
  const { entry } = await store.get(keys.tenant(name));
  if (entry === undefined) throw new NotFound('tenant', name);
  checkPrecondition(entry, precondition);
  if (name === SYSTEM_TENANT)
    throw new Conflict(`tenant "${SYSTEM_TENANT}" is the platform's own and cannot be deleted`);
  const found = toStored(tenants, entry);
  if (found.record.phase === 'deleting') return found.revision;
  const cluster = await findRecord(store, clusters, keys.cluster);
  if (cluster?.record.defaultTenant === name)
    throw new Conflict(`tenant ${JSON.stringify(name)} is the cluster's default tenant: PATCH /v1/cluster first`);
  const prefix = keys.endpoints(name);
  const marked = await commitTenant(
    registry,
    found,
    { ...found.record, phase: 'deleting' },
    {
      guards: [
        { kind: 'emptyRange', from: prefix, to: rangeEnd(prefix) },
        ...(cluster ? [{ kind: 'unchanged', key: keys.cluster, modRevision: cluster.revision } as const] : []),
      ],
    },
  );
  if (marked !== undefined) return marked.revision;
  await refuseEndpoints(store, name);
  return undefined;
}

async function refuseEndpoints(store: Store, tenant: string): Promise<void> {
  const { entries } = await store.list(keys.endpoints(tenant));
  const [first] = entries;
  if (first === undefined) return;
  const at = endpointKind.place(first.key);
  const name = endpointKind.find(first)?.name ?? 'of which no more can be read';
  const count = entries.length === 1 ? '1 endpoint' : `${entries.length} endpoints`;
  const example = at === undefined ? first.key : `${at.id} (${name} on node ${at.node})`;
  throw new Conflict(`tenant ${JSON.stringify(tenant)} has ${count}, such as ${example}`, {
    holder: at?.id ?? first.key,
  });
}

/**
 * Removes a tenant that is being deleted, if nothing of it is left on any node. Its namespaces and the peerings that others asked
 * of it go first where there are many; nothing can be added to either any more.
 * @param extra guards besides, such as a leader's
 * @returns what is left on nodes, none: the tenant is gone; as of `revision`. `removed` when this very call removed it
 */
export async function finishDeletion(
  store: Store,
  name: string,
  extra: readonly Guard[] = [],
): Promise<{ readonly remaining: Remaining; readonly revision: Revision; readonly removed?: Revision }> {
  return await retryLost(async () => {
    const found = await findRecord(store, tenants, keys.tenant(name));
    const { nodes, revision } = await holders(store, name);
    if (found?.record.phase !== 'deleting') return { remaining: [], revision };
    if (nodes.length > 0) return { remaining: nodes, revision };
    const { namespaces } = found.record;
    if (namespaces.length > NAMESPACES_AT_ONCE) {
      await removeNamespaces(store, found, namespaces.slice(0, NAMESPACES_AT_ONCE), extra);
      return undefined;
    }
    // Read after the mark was: since then no tenant can ask for a peering with it, so these are all there will ever be.
    const isWithout = await removePeerings(store, found, await peeringsAskedOf(store, name), extra);
    const removed = isWithout ? await removeTenant(store, found, extra) : undefined;
    return removed === undefined ? undefined : { remaining: [], revision, removed };
  });
}

async function holders(store: Store, tenant: string): Promise<{ nodes: string[]; revision: Revision }> {
  const [blocks, endpoints] = await Promise.all([store.list(keys.blocks(tenant)), store.list(keys.endpoints(tenant))]);
  const nodes = [
    ...blocks.entries.map((entry) => blockKind.find(entry)?.node ?? entry.key),
    ...endpoints.entries.map(({ key }) => endpointKind.place(key)?.node ?? key),
  ];
  return { nodes: [...new Set(nodes)].sort(), revision: Math.min(blocks.revision, endpoints.revision) };
}

async function removeTenant(
  store: Store,
  { record, revision }: Stored<Tenant>,
  extra: readonly Guard[],
): Promise<Revision | undefined> {
  const { name, vni, subnets, namespaces } = record;
  const key = keys.tenant(name);
  const empty = [keys.endpoints(name), keys.blocks(name)].map(
    (prefix): Guard => ({ kind: 'emptyRange', from: prefix, to: rangeEnd(prefix) }),
  );
  const own = [
    key,
    keys.policyTurn(name),
    keys.vniClaim(vni),
    ...subnets.map(keys.subnetClaim),
    ...namespaces.map(keys.namespaceClaim),
  ];
  const everything = [keys.namespaces(name), keys.policies(name), keys.peerings(name), keys.denials(name)].map(
    (prefix): Write => ({ kind: 'deleteRange', from: prefix, to: rangeEnd(prefix) }),
  );
  const result = await commitSurely(
    store,
    [{ kind: 'unchanged', key, modRevision: revision }, ...empty, ...extra],
    [...own.map((each): Write => ({ kind: 'delete', key: each })), ...everything],
    { key, value: undefined },
  );
  return result.committed ? result.revision : undefined;
}

/** Keys of every `peerings/<other>/<tenant>`. Reads all peerings there are, by pages: deletions are rare, an index would not be. */
async function peeringsAskedOf(store: Store, tenant: string): Promise<string[]> {
  const { entries } = await store.list(keys.allPeerings);
  return entries.map(({ key }) => key).filter((key) => peerings.place(key)?.peer === tenant);
}

/**
 * What others asked of a tenant that is going away, so that a later one of its name does not inherit it.
 * @returns false when the tenant has changed, or is gone already
 */
async function removePeerings(
  store: Store,
  { record, revision }: Stored<Tenant>,
  asked: readonly string[],
  extra: readonly Guard[],
): Promise<boolean> {
  const guards: Guard[] = [{ kind: 'unchanged', key: keys.tenant(record.name), modRevision: revision }, ...extra];
  for (let start = 0; start < asked.length; start += PEERINGS_AT_ONCE) {
    const some = asked.slice(start, start + PEERINGS_AT_ONCE);
    const writes = some.map((key): Write => ({ kind: 'delete', key }));
    const { committed } = await commitSurely(store, guards, writes, { key: some[0] ?? '', value: undefined });
    if (!committed) return false;
  }
  return true;
}

/** A tenant with many namespaces loses them by degrees: they do not fit into one commit. */
async function removeNamespaces(
  store: Store,
  { record, revision }: Stored<Tenant>,
  some: readonly string[],
  extra: readonly Guard[],
): Promise<void> {
  const key = keys.tenant(record.name);
  const rest = { ...record, namespaces: record.namespaces.filter((namespace) => !some.includes(namespace)) };
  const value = tenants.format(rest);
  await commitSurely(
    store,
    [{ kind: 'unchanged', key, modRevision: revision }, ...extra],
    [
      { kind: 'put', key, value },
      ...some.flatMap((namespace): Write[] => [
        { kind: 'delete', key: keys.namespaceClaim(namespace) },
        { kind: 'delete', key: keys.namespace(record.name, namespace) },
      ]),
    ],
    { key, value },
  );
}

/** Resolves at the first change under `prefix` after `revision`, or when `signal` aborts. */
async function untilChanged(store: Store, prefix: string, revision: Revision, signal: AbortSignal): Promise<void> {
  try {
    for await (const { events } of store.watch(prefix, revision, signal)) if (events.length > 0) return;
  } catch (error) {
    if (!(error instanceof Compacted)) throw error;
  }
}
