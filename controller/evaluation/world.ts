/**
 * All that reachability depends on, as plain records, and what is asked of them over and over: who has an address, which policies
 * isolate an endpoint, which tenants are peers. Whatever is looked up is remembered for as long as the index lives, which is one
 * question. Never reads a store. Pure.
 */
import {
  type IpAddress,
  type IpPrefix,
  parseIp,
  parsePrefix,
  prefixBase,
  prefixContains,
} from '../../dataplane/address.ts';
import type { PeeringPair } from '../model/peering.ts';
import type {
  Block,
  ClusterConfig,
  Endpoint,
  Labels,
  Namespace,
  Node,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyType,
  Tenant,
} from '../model/records.ts';
import { selects } from '../model/selector.ts';
import { SERVICE_NETWORKS } from '../model/service-networks.ts';

/** Records in any order. What is not in it does not exist: a missing tenant denies. */
export interface World {
  readonly cluster: Pick<ClusterConfig, 'pools' | 'platformNetworks' | 'openNetworks' | 'exceptions'>;
  readonly tenants: readonly Tenant[];
  readonly namespaces: readonly Namespace[];
  readonly endpoints: readonly Endpoint[];
  readonly policies: readonly Policy[];
  /** what each tenant asks: in force where both do */
  readonly peerings: readonly PeeringPair[];
  readonly nodes: readonly Pick<Node, 'name' | 'underlay' | 'underlaySubnet'>[];
  /** of the system tenant: their first addresses are those of gateways and manage nodes */
  readonly blocks: readonly Block[];
}

/** One end of a connection, once it is known what has the name or address. */
export type End =
  /** `addresses`: the one asked about, or all it has */
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'gateway' | 'node'; readonly address: IpAddress; readonly node: string }
  | { readonly kind: 'platform' | 'reserved'; readonly address: IpAddress; readonly network: IpPrefix }
  /** inside the pools, and not assigned */
  | { readonly kind: 'nobody'; readonly address: IpAddress; readonly network: IpPrefix }
  /** beyond the cluster */
  | { readonly kind: 'external'; readonly address: IpAddress };

export type EndpointEnd = Extract<End, { kind: 'endpoint' }>;

/** A rule of a policy, whichever direction it is of. Absent peers or ports: any. */
export interface Rule {
  /** such as `spec.ingress[0]` */
  readonly path: string;
  readonly peerField: 'from' | 'to';
  readonly peers?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

/** A policy as one direction sees it. */
export interface DirectedPolicy {
  readonly policy: Policy;
  readonly rules: readonly Rule[];
}

/**
 * Networks that no container's packet is for: this network, loopback, link-local, multicast, reserved and broadcast.
 * @see RFC 6890, https://www.iana.org/assignments/iana-ipv4-special-registry
 */
export const RESERVED: readonly IpPrefix[] = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map(parsePrefix);

/** Where a node's own calls to its pods come from. The same as dataplane/ownership.ts's POD_GATEWAY, which is not known here. */
export const PROBE_ADDRESS = parseIp('169.254.1.1');

export class WorldIndex {
  readonly world: World;
  /** those that the cluster is told, and those that its nodes are in */
  readonly platformNetworks: readonly IpPrefix[];
  readonly #tenants: ReadonlyMap<string, Tenant>;
  readonly #namespaces: ReadonlyMap<string, Namespace>;
  readonly #byAddress = new Map<IpAddress, Endpoint>();
  readonly #gateways: ReadonlyMap<IpAddress, string>;
  /** nodes that have one of these addresses */
  readonly #callers: ReadonlySet<string>;
  readonly #nodes: ReadonlyMap<IpAddress, string>;
  readonly #policies = new Map<string, Policy[]>();
  readonly #asked: ReadonlySet<string>;
  readonly #ends = new Map<Endpoint, EndpointEnd>();
  readonly #isolating = {
    Ingress: new Map<Endpoint, DirectedPolicy[]>(),
    Egress: new Map<Endpoint, DirectedPolicy[]>(),
  };
  readonly #directed = { Ingress: new Map<Policy, DirectedPolicy>(), Egress: new Map<Policy, DirectedPolicy>() };
  readonly #peerMatches = new Map<PolicyPeer, Map<End, boolean>>();

  constructor(world: World) {
    this.world = world;
    this.#tenants = new Map(world.tenants.map((each) => [each.name, each]));
    this.#namespaces = new Map(world.namespaces.map((each) => [pairKey(each.tenant, each.name), each]));
    for (const endpoint of world.endpoints) for (const ip of endpoint.ips) this.#byAddress.set(ip, endpoint);
    this.#gateways = new Map(world.blocks.map(({ prefix, node }) => [prefixBase(prefix), node]));
    this.#callers = new Set(this.#gateways.values());
    const own = world.nodes.flatMap(({ underlaySubnet }) => underlaySubnet ?? []);
    this.platformNetworks = [...new Set([...world.cluster.platformNetworks, ...own])];
    this.#nodes = new Map(world.nodes.map(({ underlay, name }) => [underlay, name]));
    for (const policy of world.policies)
      remember(this.#policies, pairKey(policy.tenant, policy.namespace), () => []).push(policy);
    this.#asked = new Set(world.peerings.map(({ tenant, peer }) => pairKey(tenant, peer)));
  }

  tenant(name: string): Tenant | undefined {
    return this.#tenants.get(name);
  }

  /** Undefined for a namespace that does not exist: no selector selects it. */
  namespaceLabels(tenant: string, name: string): Labels | undefined {
    return this.#namespaces.get(pairKey(tenant, name))?.labels;
  }

  /** Does `tenant` ask for a peering with `peer`? */
  asks(tenant: string, peer: string): boolean {
    return this.#asked.has(pairKey(tenant, peer));
  }

  /** May the tenants' endpoints talk at all? One tenant with itself, or two of which each asks for the other. */
  areFriends(one: string, other: string): boolean {
    if (!this.#tenants.has(one) || !this.#tenants.has(other)) return false;
    return one === other || (this.asks(one, other) && this.asks(other, one));
  }

  /** The endpoint as an end, with all its addresses: always the same object. */
  endOf(endpoint: Endpoint): EndpointEnd {
    return remember(this.#ends, endpoint, () => ({ kind: 'endpoint', endpoint, addresses: endpoint.ips }));
  }

  /** Has the node an address in the system overlay, by which it calls all tenants' endpoints? */
  isGateway(node: string): boolean {
    return this.#callers.has(node);
  }

  /** Who or what has the address. */
  endAt(address: IpAddress): End {
    const endpoint = this.#byAddress.get(address);
    if (endpoint !== undefined)
      return endpoint.ips.length === 1 ? this.endOf(endpoint) : { kind: 'endpoint', endpoint, addresses: [address] };
    const gateway = this.#gateways.get(address);
    if (gateway !== undefined) return { kind: 'gateway', address, node: gateway };
    const node = this.#nodes.get(address);
    if (node !== undefined) return { kind: 'node', address, node };
    const closed = [
      ['nobody', this.world.cluster.pools],
      ['platform', this.platformNetworks],
      ['reserved', RESERVED],
    ] as const;
    for (const [kind, networks] of closed) {
      const network = networks.find((each) => prefixContains(each, address));
      if (network !== undefined) return { kind, address, network };
    }
    const isOpened = (this.world.cluster.openNetworks ?? []).some((each) => prefixContains(each, address));
    const service = SERVICE_NETWORKS.find((each) => prefixContains(each, address));
    if (service !== undefined && !isOpened) return { kind: 'platform', address, network: service };
    return { kind: 'external', address };
  }

  /** Policies of the endpoint's tenant and namespace that select it and have the direction, by name. */
  isolating(endpoint: Endpoint, direction: PolicyType): readonly DirectedPolicy[] {
    return remember(this.#isolating[direction], endpoint, () =>
      (this.#policies.get(pairKey(endpoint.tenant, endpoint.namespace)) ?? [])
        .filter(({ spec }) => spec.policyTypes.includes(direction) && selects(spec.podSelector, endpoint.labels))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map((policy) => remember(this.#directed[direction], policy, () => direct(policy, direction))),
    );
  }

  /** Is the end one of those that the peer of a rule means? */
  isPeer(policy: Policy, peer: PolicyPeer, end: End): boolean {
    const known = remember(this.#peerMatches, peer, () => new Map<End, boolean>());
    return remember(known, end, () => this.#matchesPeer(policy, peer, end));
  }

  #matchesPeer(policy: Policy, { podSelector, namespaceSelector, ipBlock }: PolicyPeer, end: End): boolean {
    if (ipBlock !== undefined) {
      const { cidr, except = [] } = ipBlock;
      const inside = (address: IpAddress) =>
        prefixContains(cidr, address) && !except.some((hole) => prefixContains(hole, address));
      return (end.kind === 'endpoint' ? end.addresses : [end.address]).some(inside);
    }
    if (end.kind !== 'endpoint') return false;
    const { tenant, namespace, labels } = end.endpoint;
    if (namespaceSelector !== undefined) {
      const namespaceLabels = this.namespaceLabels(tenant, namespace);
      if (namespaceLabels === undefined || !this.areFriends(policy.tenant, tenant)) return false;
      if (!selects(namespaceSelector, namespaceLabels)) return false;
      return podSelector === undefined || selects(podSelector, labels);
    }
    const isOwn = tenant === policy.tenant && namespace === policy.namespace;
    return isOwn && podSelector !== undefined && selects(podSelector, labels);
  }
}

function direct(policy: Policy, direction: PolicyType): DirectedPolicy {
  const { ingress = [], egress = [] } = policy.spec;
  const rules =
    direction === 'Ingress'
      ? ingress.map(({ from, ports }, i) => formRule(`spec.ingress[${i}]`, 'from', from, ports))
      : egress.map(({ to, ports }, i) => formRule(`spec.egress[${i}]`, 'to', to, ports));
  return { policy, rules };
}

/** Kubernetes takes an empty list for an absent one. */
function formRule(path: string, peerField: Rule['peerField'], peers: Rule['peers'], ports: Rule['ports']): Rule {
  return { path, peerField, ...(peers?.length ? { peers } : {}), ...(ports?.length ? { ports } : {}) };
}

/** Names have no slash. */
function pairKey(one: string, other: string): string {
  return `${one}/${other}`;
}

/** What the map has for the key; computed and kept where it has nothing. */
function remember<K, V>(map: Map<K, V>, key: K, compute: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = compute();
  map.set(key, value);
  return value;
}
