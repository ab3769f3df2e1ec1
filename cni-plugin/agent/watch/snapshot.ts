/**
 * What this node knows of the cluster, folded from store entries: the same entries give the same snapshot, in whatever order
 * they came. A record it cannot read counts as absent, and absence denies; a policy that it cannot read allows nothing to its
 * whole namespace. Pure.
 */
import type {
  Block,
  ClusterConfig,
  Endpoint,
  Labels,
  Node,
  Policy,
  PolicySpec,
  Tenant,
} from '../../../controller/model/records.ts';
import { keys, parsePrefixKey } from '../../../controller/store/keys.ts';
import { parseRecord, RecordError } from '../../../controller/store/records.ts';
import type { Entry, Revision, WatchEvent } from '../../../controller/store/store.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import { checkCluster, checkEndpoint, checkLabels, checkNode, checkPolicySpec, checkTenant } from './shape.ts';

/** A tenant as read, with what a guarded write about it must name. */
export interface KnownTenant {
  readonly tenant: Tenant;
  readonly modRevision: Revision;
}

/** A policy as far as rules need it. */
export type KnownPolicy = Pick<Policy, 'namespace' | 'name' | 'spec'>;

/** Stands for a policy that this agent cannot read: denies all. */
const NOTHING: PolicySpec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };

export class Snapshot {
  #cluster: ClusterConfig | undefined;
  readonly #nodes = new Map<string, Node>();
  readonly #tenants = new Map<string, KnownTenant>();
  /** by tenant, then by store key */
  readonly #blocks = new Map<string, Map<string, Block>>();
  /** labels, by tenant, then by namespace */
  readonly #namespaces = new Map<string, Map<string, Labels>>();
  /** by tenant, then by store key */
  readonly #policies = new Map<string, Map<string, KnownPolicy>>();
  readonly #endpoints = new Map<string, Map<string, Endpoint>>();
  /** by the tenant that asked: those it asked for */
  readonly #peerings = new Map<string, Set<string>>();
  readonly #unreadable = new Map<string, string>();
  readonly #onChange: (key: string) => void;

  /** @param onChange told of each key whose record came, changed or went */
  constructor(onChange: (key: string) => void = () => undefined) {
    this.#onChange = onChange;
  }

  get cluster(): ClusterConfig | undefined {
    return this.#cluster;
  }

  get nodes(): ReadonlyMap<string, Node> {
    return this.#nodes;
  }

  get tenants(): ReadonlyMap<string, KnownTenant> {
    return this.#tenants;
  }

  /** Keys whose value could not be read, and why. */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

  tenant(name: string): Tenant | undefined {
    return this.#tenants.get(name)?.tenant;
  }

  /** The tenant that has claimed a namespace, among those known here. */
  ownerOf(namespace: string): Tenant | undefined {
    for (const { tenant } of this.#tenants.values()) if (tenant.namespaces.includes(namespace)) return tenant;
    return undefined;
  }

  blocksOf(tenant: string): Iterable<Block> {
    return this.#blocks.get(tenant)?.values() ?? [];
  }

  /** A block by its store key. */
  block(key: string): Block | undefined {
    return this.#blocks.get(tenantOfKey(key))?.get(key);
  }

  blockKeys(tenant: string): Iterable<string> {
    return this.#blocks.get(tenant)?.keys() ?? [];
  }

  /** @returns undefined for a namespace that is not known here */
  namespaceLabels(tenant: string, namespace: string): Labels | undefined {
    return this.#namespaces.get(tenant)?.get(namespace);
  }

  /** A tenant's policies by store key. */
  policiesOf(tenant: string): ReadonlyMap<string, KnownPolicy> {
    return this.#policies.get(tenant) ?? NO_POLICIES;
  }

  /** An endpoint, of this node or another, by its store key. */
  endpoint(key: string): Endpoint | undefined {
    return this.#endpoints.get(tenantOfKey(key))?.get(key);
  }

  allEndpointKeys(): Iterable<string> {
    return keysIn(this.#endpoints, '');
  }

  /** Tenants that this one has asked to peer with, whether or not they have asked too. */
  askedBy(tenant: string): Iterable<string> {
    return this.#peerings.get(tenant) ?? [];
  }

  /** Tenants whose endpoints and this one's may talk: both have asked, and both are known here. */
  *peersOf(tenant: string): Generator<Tenant> {
    for (const peer of this.askedBy(tenant)) {
      const known = this.tenant(peer);
      if (known !== undefined && this.#peerings.get(peer)?.has(tenant) === true) yield known;
    }
  }

  /** The node that holds a block, as far as is known here. */
  holderOf(tenant: string, block: IpPrefix): string | undefined {
    return this.#blocks.get(tenant)?.get(keys.block(tenant, block))?.node;
  }

  *allBlocks(): Generator<Block> {
    for (const blocks of this.#blocks.values()) yield* blocks.values();
  }

  apply(event: WatchEvent): void {
    if (event.kind === 'put') this.put(event.entry);
    else this.remove(event.key);
  }

  /** Replaces everything known under a prefix, as after a list. */
  replace(prefix: string, entries: readonly Entry[]): void {
    const present = new Set(entries.map((entry) => entry.key));
    for (const key of this.#keysUnder(prefix)) if (!present.has(key)) this.remove(key);
    for (const entry of entries) this.put(entry);
  }

  put(entry: Entry): void {
    const { key, value } = entry;
    this.#unreadable.delete(key);
    try {
      const [kind, first = '', second = ''] = key.split('/');
      if (key === keys.cluster) this.#cluster = checkCluster(parseRecord(key, value));
      else if (kind === 'nodes') this.#nodes.set(first, checkNode(parseRecord(key, value)));
      else if (kind === 'tenants') {
        this.#tenants.set(first, { tenant: checkTenant(parseRecord(key, value)), modRevision: entry.modRevision });
      } else if (kind === 'blocks') {
        const { node } = parseRecord<{ node: string }>(key, value);
        if (typeof node !== 'string') throw new RecordError(key, 'names no node');
        getOrMake(this.#blocks, first, () => new Map()).set(key, { tenant: first, prefix: parsePrefixKey(key), node });
      } else if (kind === 'namespaces') {
        const { labels } = parseRecord<{ labels: Labels }>(key, value);
        getOrMake(this.#namespaces, first, () => new Map()).set(second, checkLabels(labels));
      } else if (kind === 'policies') {
        getOrMake(this.#policies, first, () => new Map()).set(key, readPolicy(key, value));
      } else if (kind === 'endpoints') {
        getOrMake(this.#endpoints, first, () => new Map()).set(key, checkEndpoint(parseRecord(key, value)));
      } else if (kind === 'peerings') {
        parseRecord(key, value);
        getOrMake(this.#peerings, first, () => new Set()).add(second);
      }
      this.#onChange(key);
    } catch (error) {
      this.remove(key);
      this.#unreadable.set(key, error instanceof RecordError ? error.message : String(error));
      const [kind, tenant = '', namespace = '', name = ''] = key.split('/');
      if (kind !== 'policies') return;
      getOrMake(this.#policies, tenant, () => new Map()).set(key, { namespace, name, spec: NOTHING });
      this.#onChange(key);
    }
  }

  remove(key: string): void {
    this.#unreadable.delete(key);
    const [kind, first = '', second = ''] = key.split('/');
    if (key === keys.cluster) this.#cluster = undefined;
    else if (kind === 'nodes') this.#nodes.delete(first);
    else if (kind === 'tenants') this.#tenants.delete(first);
    else if (kind === 'blocks') drop(this.#blocks, first, key);
    else if (kind === 'namespaces') drop(this.#namespaces, first, second);
    else if (kind === 'policies') drop(this.#policies, first, key);
    else if (kind === 'endpoints') drop(this.#endpoints, first, key);
    else if (kind === 'peerings') drop(this.#peerings, first, second);
    this.#onChange(key);
  }

  *#keysUnder(prefix: string): Generator<string> {
    // Copies: what is removed while they are gone through must not disturb it.
    for (const key of [...this.#keysOfKind(prefix)]) if (key.startsWith(prefix)) yield key;
    for (const key of [...this.#unreadable.keys()]) if (key.startsWith(prefix)) yield key;
  }

  /** @param prefix narrows it where that is cheap: there may be thousands of tenants */
  *#keysOfKind(prefix: string): Generator<string> {
    const [kind, first = ''] = prefix.split('/');
    const all = kind === '';
    if ((all || kind === keys.cluster) && this.#cluster !== undefined) yield keys.cluster;
    if (all || kind === 'nodes') for (const node of this.#nodes.keys()) yield keys.node(node);
    if (all || kind === 'tenants') for (const tenant of this.#tenants.keys()) yield keys.tenant(tenant);
    if (all || kind === 'blocks') yield* keysIn(this.#blocks, first);
    if (all || kind === 'policies') yield* keysIn(this.#policies, first);
    if (all || kind === 'endpoints') yield* keysIn(this.#endpoints, first);
    if (all || kind === 'namespaces') {
      for (const tenant of first === '' ? this.#namespaces.keys() : [first]) {
        for (const name of this.#namespaces.get(tenant)?.keys() ?? []) yield keys.namespace(tenant, name);
      }
    }
    if (all || kind === 'peerings') {
      for (const tenant of first === '' ? this.#peerings.keys() : [first]) {
        for (const peer of this.askedBy(tenant)) yield keys.peering(tenant, peer);
      }
    }
  }
}

const NO_POLICIES: ReadonlyMap<string, KnownPolicy> = new Map();

function readPolicy(key: string, value: string): KnownPolicy {
  const [, , namespace = '', name = ''] = key.split('/');
  return { namespace, name, spec: checkPolicySpec(parseRecord<Policy>(key, value).spec) };
}

function tenantOfKey(key: string): string {
  return key.split('/')[1] ?? '';
}

/** @param tenant '': of all */
function* keysIn(map: ReadonlyMap<string, ReadonlyMap<string, unknown>>, tenant: string): Generator<string> {
  for (const each of tenant === '' ? map.keys() : [tenant]) yield* map.get(each)?.keys() ?? [];
}

function drop(
  map: Map<string, { delete(key: string): boolean; readonly size: number }>,
  first: string,
  key: string,
): void {
  const inner = map.get(first);
  if (inner?.delete(key) === true && inner.size === 0) map.delete(first);
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
