/**
 * What this node knows of the cluster, folded from store entries: the same entries give the same snapshot, in whatever order
 * they came. A record it cannot read counts as absent, and absence denies; a policy that it cannot read allows nothing to its
 * whole namespace. One that was good before an update that cannot be read stays as it was. Pure.
 */
import {
  type Found,
  locate,
  type Place,
  rangeOf,
  readRecord,
  tenantIn,
  tenantOf,
} from '../../../controller/model/kinds/all.ts';
import { Unreadable } from '../../../controller/model/kinds/kind.ts';
import { unreadablePolicy } from '../../../controller/model/kinds/policy.ts';
import type {
  Block,
  ClusterConfig,
  Endpoint,
  Labels,
  Node,
  Policy,
  Tenant,
} from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Entry, Revision, WatchEvent } from '../../../controller/store/store.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import { drop, getOrMake, keysIn } from './by-tenant.ts';

/** A tenant as read, with what a guarded write about it must name. */
export interface KnownTenant {
  readonly tenant: Tenant;
  readonly modRevision: Revision;
}

/** A policy as far as rules need it. */
export type KnownPolicy = Pick<Policy, 'namespace' | 'name' | 'spec'>;

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
  /** revision of its creation, of each key whose record is here: tells an update from another object under the same name */
  readonly #born = new Map<string, Revision>();
  readonly #unreadable = new Map<string, Unreadable>();
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

  /** Records that cannot be read, by key; where there was a good one before, it is in force. */
  get unreadable(): ReadonlyMap<string, Unreadable> {
    return this.#unreadable;
  }

  /** Tenants of which an older record is in force, for an update of it cannot be read. */
  tenantsBehind(): ReadonlySet<string> {
    const tenants = new Set<string>();
    for (const key of this.#unreadable.keys()) {
      const tenant = this.#born.has(key) ? tenantOf(key) : undefined;
      if (tenant !== undefined) tenants.add(tenant);
    }
    return tenants;
  }

  /** Is a record of the object that this entry is of in force, be it an older one? */
  has({ key, createRevision }: Pick<Entry, 'key' | 'createRevision'>): boolean {
    return this.#born.get(key) === createRevision;
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
    return this.#blocks.get(tenantIn(key))?.get(key);
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
    return this.#endpoints.get(tenantIn(key))?.get(key);
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
    const found = readRecord(entry);
    if (found === undefined) return;
    if (found instanceof Unreadable) {
      this.#putUnreadable(entry, found);
      return;
    }
    this.#unreadable.delete(entry.key);
    this.#born.set(entry.key, entry.createRevision);
    this.#set(entry, found);
    this.#onChange(entry.key);
  }

  /** An update of what was good leaves that in force: programs of two versions work side by side while a cluster is upgraded. */
  #putUnreadable(entry: Entry, unreadable: Unreadable): void {
    const { key } = entry;
    this.#unreadable.set(key, unreadable);
    if (this.has(entry)) return;
    this.#drop(key);
    const place = locate(key);
    if (place?.kind === 'policy') this.#setPolicy(key, unreadablePolicy(place.at));
    this.#onChange(key);
  }

  #set({ key, modRevision }: Entry, found: Found): void {
    switch (found.kind) {
      case 'cluster':
        this.#cluster = found.record;
        break;
      case 'node':
        this.#nodes.set(found.at.name, found.record);
        break;
      case 'tenant':
        this.#tenants.set(found.at.name, { tenant: found.record, modRevision });
        break;
      case 'block':
        getOrMake(this.#blocks, found.at.tenant, () => new Map()).set(key, found.record);
        break;
      case 'namespace':
        getOrMake(this.#namespaces, found.at.tenant, () => new Map()).set(found.at.name, found.record.labels);
        break;
      case 'policy':
        this.#setPolicy(key, found.record);
        break;
      case 'endpoint':
        getOrMake(this.#endpoints, found.at.tenant, () => new Map()).set(key, found.record);
        break;
      case 'peering':
        getOrMake(this.#peerings, found.at.tenant, () => new Set()).add(found.at.peer);
    }
  }

  #setPolicy(key: string, { tenant, namespace, name, spec }: Policy): void {
    getOrMake(this.#policies, tenant, () => new Map()).set(key, { namespace, name, spec });
  }

  remove(key: string): void {
    this.#unreadable.delete(key);
    this.#drop(key);
    this.#onChange(key);
  }

  #drop(key: string): void {
    this.#born.delete(key);
    const place = locate(key);
    switch (place?.kind) {
      case 'cluster':
        this.#cluster = undefined;
        break;
      case 'node':
        this.#nodes.delete(place.at.name);
        break;
      case 'tenant':
        this.#tenants.delete(place.at.name);
        break;
      case 'block':
        drop(this.#blocks, place.at.tenant, key);
        break;
      case 'namespace':
        drop(this.#namespaces, place.at.tenant, place.at.name);
        break;
      case 'policy':
        drop(this.#policies, place.at.tenant, key);
        break;
      case 'endpoint':
        drop(this.#endpoints, place.at.tenant, key);
        break;
      case 'peering':
        drop(this.#peerings, place.at.tenant, place.at.peer);
    }
  }

  *#keysUnder(prefix: string): Generator<string> {
    // Copies: what is removed while they are gone through must not disturb it.
    for (const key of [...this.#keysOfKind(prefix)]) if (key.startsWith(prefix)) yield key;
    for (const key of [...this.#unreadable.keys()]) if (key.startsWith(prefix)) yield key;
  }

  /** @param prefix narrows it where that is cheap: there may be thousands of tenants */
  *#keysOfKind(prefix: string): Generator<string> {
    const range = rangeOf(prefix);
    const isMeant = (kind: Place['kind']) => range === undefined || range.kind === kind;
    const tenant = range?.tenant ?? '';
    if (isMeant('cluster') && this.#cluster !== undefined) yield keys.cluster;
    if (isMeant('node')) for (const node of this.#nodes.keys()) yield keys.node(node);
    if (isMeant('tenant')) for (const name of this.#tenants.keys()) yield keys.tenant(name);
    if (isMeant('block')) yield* keysIn(this.#blocks, tenant);
    if (isMeant('policy')) yield* keysIn(this.#policies, tenant);
    if (isMeant('endpoint')) yield* keysIn(this.#endpoints, tenant);
    if (isMeant('namespace')) {
      for (const owner of tenant === '' ? this.#namespaces.keys() : [tenant]) {
        for (const name of this.#namespaces.get(owner)?.keys() ?? []) yield keys.namespace(owner, name);
      }
    }
    if (isMeant('peering')) {
      for (const asker of tenant === '' ? this.#peerings.keys() : [tenant]) {
        for (const peer of this.askedBy(asker)) yield keys.peering(asker, peer);
      }
    }
  }
}

const NO_POLICIES: ReadonlyMap<string, KnownPolicy> = new Map();
