/**
 * Questions about which endpoint may call which: reads what the store has of the tenants concerned and asks the evaluator.
 * What is read of one question may be of several moments; `revision` is the oldest of them, so everything written up to it is in
 * the answer.
 */
import { type IpAddress, prefixContains, prefixLength, prefixOf } from '../../dataplane/address.ts';
import { NotFound } from '../errors.ts';
import { type EndName, parseEndIp } from '../evaluation/ends.ts';
import { checkTraffic, evaluate, type Question, type Verdict } from '../evaluation/evaluate.ts';
import { computeFlips, type Flips, type PolicyChange } from '../evaluation/flips.ts';
import { compareEndpoints, evaluateRow, sortKey } from '../evaluation/matrix.ts';
import type { Traffic } from '../evaluation/policies.ts';
import { type World, WorldIndex } from '../evaluation/world.ts';
import { blocks as blockKind } from '../model/kinds/block.ts';
import { claimant } from '../model/kinds/claim.ts';
import { endpoints as endpointKind } from '../model/kinds/endpoint.ts';
import type { Reader } from '../model/kinds/kind.ts';
import { namespaces as namespaceKind } from '../model/kinds/namespace.ts';
import { nodes as nodeKind } from '../model/kinds/node.ts';
import { peerings as peeringKind } from '../model/kinds/peering.ts';
import { policyInForce } from '../model/kinds/policy.ts';
import { tenants as tenantKind } from '../model/kinds/tenant.ts';
import { type ClusterConfig, type Endpoint, SYSTEM_TENANT } from '../model/records.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Revision, Store } from '../store/store.ts';
import { getCluster } from './clusters.ts';
import { getNamespace } from './namespaces.ts';
import { checkQuota } from './policies.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, type Precondition } from './stored.ts';
import { getTenant, readChangeable } from './tenants.ts';

export interface Answered {
  readonly revision: Revision;
}

/** @throws NotFound, InvalidInput: fields as in the question; Unavailable */
export async function explainReachability(store: Store, question: Question): Promise<Verdict & Answered> {
  checkTraffic(question);
  const { record: cluster } = await getCluster(store);
  const tenants = await Promise.all([
    tenantOf(store, cluster, question.from, 'from'),
    tenantOf(store, cluster, question.to, 'to'),
  ]);
  const { world, revision } = await readWorld(store, tenants.flat());
  return { ...evaluate(world, question), revision };
}

/** Rows of a tenant's matrix, as many as fit. */
export interface MatrixPage extends Answered {
  /** all of them, in the order of a row's characters */
  readonly endpoints: readonly Endpoint[];
  readonly rows: readonly { readonly from: Endpoint; readonly allowed: string }[];
  /** where the next page begins; absent on the last one */
  readonly next?: string;
}

/** Questions one page answers at most: some tenths of a second. */
const MAX_CELLS = 200_000;

/** @param after a page's `next` @throws NotFound, InvalidInput, Unavailable */
export async function computeMatrix(
  store: Store,
  tenant: string,
  traffic: Traffic,
  { limit, after }: { readonly limit: number; readonly after?: string },
): Promise<MatrixPage> {
  checkTraffic(traffic);
  await getTenant(store, tenant);
  const { world, revision } = await readWorld(store, [tenant]);
  const index = new WorldIndex(world);
  const endpoints = world.endpoints.toSorted(compareEndpoints);
  const left = after === undefined ? endpoints : endpoints.filter((each) => sortKey(each) > after);
  const count = Math.min(limit, Math.max(1, Math.floor(MAX_CELLS / Math.max(1, endpoints.length))));
  const sources = left.slice(0, count);
  const rows = sources.map((from) => ({ from, allowed: evaluateRow(index, from, endpoints, traffic) }));
  const last = sources.at(-1);
  return { revision, endpoints, rows, ...(last && left.length > count ? { next: sortKey(last) } : {}) };
}

/**
 * What the change of a policy would open and close; nothing is written. Refuses what the write would refuse, but for a quota.
 * @throws NotFound for the tenant, the namespace, or the policy that is to be deleted; Conflict for a tenant that cannot be changed;
 * PreconditionFailed, Unavailable
 */
export async function previewPolicy(
  registry: Registry,
  change: PolicyChange,
  precondition: Precondition,
): Promise<Flips & Answered> {
  const { store } = registry;
  const { tenant, namespace, name } = change.policy;
  const changeable = change.kind === 'put' ? await readChangeable(registry, tenant) : undefined;
  await getNamespace(store, tenant, namespace);
  const { entry } = await store.get(keys.policy(tenant, namespace, name));
  if (change.kind === 'delete' && entry === undefined) throw new NotFound('policy', name);
  checkPrecondition(entry, precondition);
  const limit = changeable?.record.quota.policies;
  if (limit !== undefined && entry === undefined) await checkQuota(store, tenant, limit);
  const asked = await store.list(keys.peerings(tenant));
  const peers = asked.entries.flatMap((each) => peeringKind.find(each)?.peer ?? []);
  const { world, revision } = await readWorld(store, [tenant, ...peers]);
  return { ...computeFlips(world, change), revision: Math.min(revision, asked.revision) };
}

/** The tenant an end belongs to, if to any: of an address, the tenant that has claimed a subnet around it. @throws InvalidInput */
async function tenantOf(store: Store, cluster: ClusterConfig, end: EndName, field: string): Promise<string[]> {
  if (!('ip' in end)) return [end.tenant];
  const address = parseEndIp(end.ip, `${field}.ip`);
  const claims = await Promise.all(enclosing(cluster, address).map((key) => store.get(key)));
  return claims.flatMap(({ entry }) => (entry && claimant(entry)) ?? []);
}

/** Keys of all claims that could hold the address. */
function enclosing({ pools }: ClusterConfig, address: IpAddress): string[] {
  const pool = pools.find((each) => prefixContains(each, address));
  if (pool === undefined) return [];
  const longest = address.includes(':') ? 128 : 32;
  const lengths = Array.from({ length: longest - prefixLength(pool) + 1 }, (_, i) => prefixLength(pool) + i);
  return lengths.map((length) => keys.subnetClaim(prefixOf(address, length)));
}

/** All that reachability depends on between the endpoints of these tenants and whatever is no endpoint. */
async function readWorld(store: Store, names: readonly string[]): Promise<{ world: World } & Answered> {
  const tenants = [...new Set(names)];
  const revisions: Revision[] = [];
  const list = async (prefix: string): Promise<readonly Entry[]> => {
    const { entries, revision } = await store.list(prefix);
    revisions.push(revision);
    return entries;
  };
  const listAll = async (prefixOfTenant: (tenant: string) => string): Promise<Entry[]> =>
    (await Promise.all(tenants.map((tenant) => list(prefixOfTenant(tenant))))).flat();
  const [cluster, nodes, blocks, found, namespaces, endpoints, policies, peerings] = await Promise.all([
    getCluster(store),
    list(keys.nodes),
    list(keys.blocks(SYSTEM_TENANT)),
    Promise.all(tenants.map((tenant) => store.get(keys.tenant(tenant)))),
    listAll(keys.namespaces),
    listAll(keys.endpoints),
    listAll(keys.policies),
    listAll(keys.peerings),
  ]);
  const world: World = {
    cluster: cluster.record,
    nodes: readable(nodeKind, nodes),
    blocks: readable(blockKind, blocks),
    tenants: readable(
      tenantKind,
      found.flatMap(({ entry }) => entry ?? []),
    ),
    namespaces: readable(namespaceKind, namespaces),
    endpoints: readable(endpointKind, endpoints),
    policies: policies.flatMap((entry) => policyInForce(entry) ?? []),
    peerings: readable(peeringKind, peerings),
  };
  return { world, revision: Math.min(...revisions, ...found.map(({ revision }) => revision)) };
}

/** What cannot be read is to nodes as if it were not there, policies aside. */
function readable<R>(kind: Reader<R>, entries: readonly Entry[]): R[] {
  return entries.flatMap((entry) => kind.find(entry) ?? []);
}
