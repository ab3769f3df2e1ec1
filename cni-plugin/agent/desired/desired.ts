/**
 * The desired state of a node, kept up to date: what it knows of the cluster and its own endpoints in, kernel items out. It is the union
 * of pure parts, so the order of events means nothing; an event makes anew only those that it can have changed. Pure, and no I/O.
 *
 *   cluster, nodes  ─► cluster.ts     rules, nodes and their MACs, exceptions, pools
 *   tenants, blocks ─► overlays.ts    system overlay, tenants' and peers' overlays, remote blocks
 *   endpoints       ─► endpoints.ts   pod links, addresses
 *   policies, other nodes' endpoints ─► policy/   which identity each has, and which may call which
 */
import { locate } from '../../../controller/model/kinds/all.ts';
import { type Block, type Endpoint, SYSTEM_TENANT } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { IpAddress, IpPrefix } from '../../../dataplane/address.ts';
import type { Item, NodeState } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { clusterItems, neighbourItems, nodeItems } from './cluster.ts';
import { endpointItems } from './endpoints.ts';
import type { NodeFacts } from './node-facts.ts';
import { NodePlaces } from './node-places.ts';
import { blockItems, ownBlockItems, systemItems, tenantItems } from './overlays.ts';
import { PartedState } from './parted-state.ts';
import { PolicyState } from './policy/policy-state.ts';
import { gatewayAddress, type World } from './world.ts';

/** What is wanted, and where it can differ from what was wanted at the last look. */
export interface Wanted {
  readonly state: NodeState;
  /** keys of items; `all` when it is unknown which */
  readonly changed: ReadonlySet<string> | 'all';
}

const NONE: ReadonlySet<string> = new Set();

export class Desired {
  readonly #snapshot: Snapshot;
  readonly #world: { -readonly [K in keyof World]: World[K] };
  readonly #parts = new PartedState();
  readonly #policy: PolicyState;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #idsByTenant = new Map<string, Set<string>>();
  readonly #ownBlocks = new Map<IpPrefix, Block>();
  /** node that each block's part was made with, and the blocks of each */
  readonly #holderOf = new Map<string, string>();
  readonly #blocksOn = new Map<string, Set<string>>();
  readonly #places = new NodePlaces();
  /** of each tenant, as its blocks' parts were made with it */
  readonly #vniOf = new Map<string, number>();
  #gatewayAddress: IpAddress | undefined;
  /** names of parts to be made anew */
  readonly #stale = new Set<string>();
  #allStale = true;

  /** @param snapshot to be followed by {@link touch} */
  constructor(snapshot: Snapshot, facts: NodeFacts) {
    this.#snapshot = snapshot;
    this.#world = {
      snapshot,
      facts,
      isCrowded: false,
      endpoints: this.#endpoints,
      endpointsOf: (tenant) => this.#idsByTenant.get(tenant) ?? NONE,
    };
    this.#policy = new PolicyState({
      snapshot,
      node: facts.name,
      local: this.#endpoints,
      idsOf: this.#world.endpointsOf,
      stale: (part) => this.#stale.add(part),
    });
  }

  /** The machine itself has changed. */
  setFacts(facts: NodeFacts): void {
    if (JSON.stringify(facts) !== JSON.stringify(this.#world.facts)) this.#allStale = true;
    this.#world.facts = facts;
  }

  /** Are new flows rationed? */
  setCrowded(isCrowded: boolean): void {
    this.#world.isCrowded = isCrowded;
    this.#stale.add('cluster');
  }

  /** An endpoint whose link exists here has come; the same id may come again changed. */
  setEndpoint(endpoint: Endpoint): void {
    this.removeEndpoint(endpoint.id);
    const { id, tenant } = endpoint;
    const ids = this.#idsByTenant.get(tenant) ?? new Set();
    this.#endpoints.set(id, endpoint);
    this.#idsByTenant.set(tenant, ids.add(id));
    if (ids.size === 1) this.#touchReach(tenant);
    this.#stale.add(`endpoint ${id}`);
    this.#policy.touchEndpoint(this.#keyOf(endpoint));
  }

  /** Is the endpoint's link part of what is wanted? */
  hasEndpoint(id: string): boolean {
    return this.#endpoints.has(id);
  }

  /** @returns whether it was there */
  removeEndpoint(id: string): boolean {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return false;
    const { tenant } = endpoint;
    this.#endpoints.delete(id);
    this.#idsByTenant.get(tenant)?.delete(id);
    if (this.#idsByTenant.get(tenant)?.size === 0) {
      this.#idsByTenant.delete(tenant);
      this.#touchReach(tenant);
    }
    this.#stale.add(`endpoint ${id}`);
    this.#policy.touchEndpoint(this.#keyOf(endpoint));
    return true;
  }

  setOwnBlock(block: Block): void {
    this.#ownBlocks.set(block.prefix, block);
    this.#stale.add(`own ${block.prefix}`);
  }

  removeOwnBlock(prefix: IpPrefix): void {
    this.#ownBlocks.delete(prefix);
    this.#stale.add(`own ${prefix}`);
  }

  /** The snapshot's record of a store key came, changed or went. */
  touch(key: string): void {
    const place = locate(key);
    if (place?.kind === 'cluster') this.#stale.add('cluster');
    else if (place?.kind === 'node') this.#touchNode(place.at.name);
    else if (place?.kind === 'tenant') this.#touchTenant(place.at.name);
    else if (place?.kind === 'block') {
      this.#stale.add(`block ${key}`);
      if (place.at.tenant === SYSTEM_TENANT) this.#stale.add('system');
    } else if (place?.kind === 'endpoint') this.#policy.touchEndpoint(key);
    else if (place?.kind === 'policy') this.#policy.touchPolicy(key);
    else if (place?.kind === 'namespace') this.#policy.touchNamespace(place.at.tenant, place.at.name);
    else if (place?.kind === 'peering') {
      this.#touchOverlays([place.at.tenant, place.at.peer]);
      this.#policy.touchFriends(place.at.tenant, place.at.peer);
    }
  }

  /** Whose an address is, if it is the tenant's own or a peer's. */
  whoHas(address: IpAddress, tenant: string): Endpoint | undefined {
    return this.#policy.whoHas(address, tenant);
  }

  /** Is something kept only because packets under way may still have looked it up? */
  get hasUnused(): boolean {
    return this.#policy.hasUnused;
  }

  /** Lets go of what of that has been unused since the last sweep: no packet may be as old as the time between two. */
  sweep(): void {
    this.#policy.sweep();
  }

  /** @returns undefined while the cluster's configuration is unknown: then nothing may be written */
  update(): Wanted | undefined {
    if (this.#snapshot.cluster === undefined) {
      this.#allStale = true;
      return undefined;
    }
    // Nearly everything on a gateway is made with its own address.
    const address = gatewayAddress(this.#world);
    if (address !== this.#gatewayAddress) this.#allStale = true;
    this.#gatewayAddress = address;
    const all = this.#allStale;
    this.#policy.settle();
    if (all) for (const name of [...this.#places.nodes(), ...this.#snapshot.nodes.keys()]) this.#placeNode(name);
    if (all) for (const part of [...this.#parts.names(), ...this.#everyPart()]) this.#stale.add(part);
    if (all) for (const [name, { tenant }] of this.#snapshot.tenants) this.#vniOf.set(name, tenant.vni);
    // Until it is done: what fails half-way is made anew as a whole.
    this.#allStale = true;
    // Those that become stale on the way too, be it again: a part may be the first to use a port set that was just let go.
    for (const name of this.#stale) {
      this.#stale.delete(name);
      this.#parts.set(name, [...this.#make(name)]);
    }
    this.#allStale = false;
    const changed = this.#parts.takeChanged();
    return { state: this.#parts.state, changed: all ? 'all' : changed };
  }

  *#everyPart(): Generator<string> {
    yield* ['cluster', 'system'];
    for (const name of this.#snapshot.nodes.keys()) yield `node ${name}`;
    for (const address of this.#places.addresses()) yield `at ${address}`;
    for (const name of this.#snapshot.tenants.keys()) {
      yield `tenant ${name}`;
      for (const key of this.#snapshot.blockKeys(name)) yield `block ${key}`;
    }
    for (const key of this.#snapshot.blockKeys(SYSTEM_TENANT)) yield `block ${key}`;
    for (const prefix of this.#ownBlocks.keys()) yield `own ${prefix}`;
    for (const id of this.#endpoints.keys()) yield `endpoint ${id}`;
    yield* this.#policy.parts();
  }

  /** The items of a part as the world is now; none for one that is gone. */
  #make(name: string): Iterable<Item> {
    const space = name.indexOf(' ');
    const kind = space < 0 ? name : name.slice(0, space);
    const id = name.slice(space + 1);
    const world = this.#world;
    switch (kind) {
      case 'cluster':
        return clusterItems(world);
      case 'system':
        return systemItems(world);
      case 'node': {
        const node = this.#snapshot.nodes.get(id);
        return node === undefined ? [] : nodeItems(node, world);
      }
      case 'at':
        return neighbourItems(this.#places.nodesAt(id as IpAddress, this.#snapshot.nodes), world);
      case 'tenant':
        return tenantItems(id, world);
      case 'block': {
        const block = this.#snapshot.block(id);
        this.#recordHolder(id, block?.node);
        return block === undefined ? [] : blockItems(block, world);
      }
      case 'own': {
        const block = this.#ownBlocks.get(id as IpPrefix);
        return block === undefined ? [] : ownBlockItems(block, world);
      }
      case 'endpoint': {
        const endpoint = this.#endpoints.get(id);
        return endpoint === undefined ? [] : endpointItems(endpoint, world);
      }
      default:
        return this.#policy.make(kind, id) ?? [];
    }
  }

  #touchNode(name: string): void {
    this.#stale.add(`node ${name}`);
    this.#placeNode(name);
    for (const block of this.#blocksOn.get(name) ?? []) this.#stale.add(`block ${block}`);
  }

  #touchTenant(name: string): void {
    const vni = this.#snapshot.tenant(name)?.vni;
    this.#stale.add(`tenant ${name}`);
    for (const id of this.#world.endpointsOf(name)) this.#stale.add(`endpoint ${id}`);
    if (vni === this.#vniOf.get(name)) return;
    // It came or went: everything that speaks of it.
    if (vni === undefined) this.#vniOf.delete(name);
    else this.#vniOf.set(name, vni);
    this.#touchReach(name);
    this.#policy.touchFriends(name, ...this.#snapshot.askedBy(name));
  }

  /** Whether a tenant concerns this node has changed, and with that whether those do that it may talk to. */
  #touchReach(tenant: string): void {
    this.#touchOverlays([tenant, ...this.#snapshot.askedBy(tenant)]);
  }

  #touchOverlays(tenants: readonly string[]): void {
    for (const tenant of tenants) {
      this.#stale.add(`tenant ${tenant}`);
      this.#touchBlocks(tenant);
    }
  }

  #touchBlocks(tenant: string): void {
    for (const key of this.#snapshot.blockKeys(tenant)) this.#stale.add(`block ${key}`);
    for (const block of this.#ownBlocks.values()) {
      if (block.tenant === tenant) this.#stale.add(`own ${block.prefix}`);
    }
  }

  #keyOf({ tenant, id }: Endpoint): string {
    return keys.endpoint(tenant, this.#world.facts.name, id);
  }

  /** Where the node is has changed, or its MAC there. */
  #placeNode(name: string): void {
    for (const at of this.#places.place(name, this.#snapshot.nodes.get(name)?.underlay)) this.#stale.add(`at ${at}`);
  }

  #recordHolder(key: string, node: string | undefined): void {
    const before = this.#holderOf.get(key);
    if (before === node) return;
    if (before !== undefined) this.#blocksOn.get(before)?.delete(key);
    this.#holderOf.delete(key);
    if (node === undefined) return;
    this.#holderOf.set(key, node);
    this.#blocksOn.set(node, (this.#blocksOn.get(node) ?? new Set()).add(key));
  }
}
