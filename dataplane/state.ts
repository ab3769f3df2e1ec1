/**
 * What a node's kernel should hold, or holds, of Tenet's: a flat map of normalised items, each under a key that names the
 * kernel object. Two states are equal exactly when their maps are. Kernel words only: no tenant is known here. Pure.
 */
import type { IpAddress, IpPrefix, MacAddress } from './address.ts';

/** VXLAN link of one VNI. Created, changed and deleted by the dataplane. */
export interface OverlayLinkItem {
  readonly kind: 'overlayLink';
  readonly name: string;
  readonly vni: number;
  readonly local: IpAddress;
  readonly port: number;
  /** name of the link it runs over */
  readonly underlay: string;
  readonly mac: MacAddress;
  readonly mtu: number;
  /** up, in its group, answering no ARP */
  readonly up: boolean;
}

/** Host end of a container's veth. Born in ADD together with its peer; here it is only kept as it should be. */
export interface PodLinkItem {
  readonly kind: 'podLink';
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
}

export interface AddressItem {
  readonly kind: 'address';
  readonly link: string;
  readonly address: IpAddress;
}

/** A route of the main table. One that is not `unicast` drops, and has neither link nor gateway; Tenet makes `blackhole`, for IPv6. */
export interface RouteItem {
  readonly kind: 'route';
  readonly destination: IpPrefix;
  readonly type: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit';
  readonly link?: string;
  /** on-link next hop */
  readonly gateway?: IpAddress;
  readonly source?: IpAddress;
}

/** A permanent neighbour entry. */
export interface NeighbourItem {
  readonly kind: 'neighbour';
  readonly link: string;
  readonly address: IpAddress;
  readonly mac: MacAddress;
}

/** A permanent VXLAN forwarding entry: frames to `mac` go to `remote`. */
export interface FdbItem {
  readonly kind: 'fdb';
  readonly link: string;
  readonly mac: MacAddress;
  readonly remote: IpAddress;
}

/** One member of one collection that the rules consult. `fields` identify it; `value` is what a map yields. */
export interface ElementItem {
  readonly kind: 'element';
  readonly collection: Collection;
  readonly fields: readonly (string | number)[];
  readonly value?: number;
}

/**
 * What the fixed rules look up. An identity is a number above 0; links are names, so that rules can land before links.
 *
 * | collection | fields | meaning |
 * |---|---|---|
 * | identity | address → identity | who an address is, exactly |
 * | block | base address of a block → identity | who every other address of the block is |
 * | network | prefix of a subnet → identity | whose all addresses of a subnet are, allocated or not: for backends without identities |
 * | guard | pod link, MAC, address | the only source that may come out of a pod |
 * | podAddress | pod link, address | whose replies may come out of a pod |
 * | overlaySource | overlay link, identity | who may come out of an overlay |
 * | egress | destination identity, pod link → port set | what a pod may call, and where; identity 0: beyond the cluster |
 * | ingress | source identity, pod link → port set | who may call a pod, and where |
 * | egressNet/n | pod link, base of n bits → port set | by address, where identity alone does not allow it: the longest counts |
 * | ingressNet/n | pod link, base of n bits → port set | likewise |
 * | port/n | port set, protocol number, port | a port set's ports: those that share their first n bits with this one |
 * | refused | pod link | whose refused packets are counted, and now and then shown |
 * | crowded | base of a half of all addresses | whose tenants’ new flows are rationed: the table of connections is nearly full |
 * | internet | pod link | may go beyond the cluster |
 * | node | address | a node: closed to pods |
 * | vxlanPeer | address, MAC | a node on our own segment that may send VXLAN |
 * | vxlanRouted | address | a node behind a router that may send VXLAN |
 * | vxlanBlock | address of a node, base address of a block | whose packets the node may send by VXLAN: its containers' |
 * | vxlanSystem | address of a node, address of a gateway | likewise: its own as a gateway |
 * | exception | address, protocol number, port | open to every pod |
 */
/** Lengths of networks and of port prefixes that rules look up, the longest first: callers with other lengths divide them. */
export const NET_BITS = [32, 28, 24, 20, 16, 12, 8, 4, 0] as const;
export const PORT_BITS = [16, 12, 8, 4, 0] as const;
export type NetBits = (typeof NET_BITS)[number];
export type PortBits = (typeof PORT_BITS)[number];

/** Port sets that need no elements: every protocol and port; none, but networks may allow more. Others are numbers above. */
export const PORT_SET = { all: 1, none: 2 } as const;

export type Collection =
  | 'identity'
  | 'block'
  | 'network'
  | 'guard'
  | 'podAddress'
  | 'overlaySource'
  | 'egress'
  | 'ingress'
  | `egressNet/${NetBits}`
  | `ingressNet/${NetBits}`
  | `port/${PortBits}`
  | 'refused'
  | 'internet'
  | 'crowded'
  | 'node'
  | 'vxlanPeer'
  | 'vxlanRouted'
  | 'vxlanBlock'
  | 'vxlanSystem'
  | 'exception';

/** The parts of the fixed rules that differ from cluster to cluster. Changing them replaces the rules in one transaction. */
export interface RuleSetItem {
  readonly kind: 'ruleSet';
  /** pools of container addresses */
  readonly pools: readonly IpPrefix[];
  /** networks of the platform, closed to containers */
  readonly platformNetworks: readonly IpPrefix[];
  /** bits of a block's prefix */
  readonly blockPrefixLength: { readonly v4: number; readonly v6: number };
  readonly vxlanPort: number;
  /** name of the link that the other nodes are reached by */
  readonly underlay: string;
  /** the underlay link's own subnet: no router is between this node and who is in it */
  readonly segment: IpPrefix;
  /** source ports, both ends included, that what leaves the cluster is masqueraded to */
  readonly masqueradePorts: { readonly from: number; readonly to: number };
  /** connections that pods of this node may have at a time: one pod, all of one tenant */
  readonly flows: { readonly ofPod: number; readonly ofTenant: number };
}

export type Item =
  | OverlayLinkItem
  | PodLinkItem
  | AddressItem
  | RouteItem
  | NeighbourItem
  | FdbItem
  | ElementItem
  | RuleSetItem;

/** Items by {@link itemKey}. */
export type NodeState = ReadonlyMap<string, Item>;

/** Names the kernel object, in the words that errors and logs use. */
export function itemKey(item: Item): string {
  switch (item.kind) {
    case 'overlayLink':
    case 'podLink':
      return `link ${item.name}`;
    case 'address':
      return `address ${item.address} dev ${item.link}`;
    case 'route':
      return `route ${item.destination}`;
    case 'neighbour':
      return `neighbour ${item.address} dev ${item.link}`;
    case 'fdb':
      return `fdb ${item.mac} dev ${item.link}`;
    case 'element':
      return `element ${item.collection} ${item.fields.join(' ')}`;
    case 'ruleSet':
      return 'rules';
  }
}

/** The rules of a state, if it has any. */
export function ruleSetOf(state: NodeState): RuleSetItem | undefined {
  const item = state.get('rules');
  return item?.kind === 'ruleSet' ? item : undefined;
}

/** The link an item lives on or speaks of, if any. */
export function itemLink(item: Item): string | undefined {
  switch (item.kind) {
    case 'overlayLink':
    case 'podLink':
      return item.name;
    case 'address':
    case 'route':
    case 'neighbour':
    case 'fdb':
      return item.link;
    default:
      return undefined;
  }
}

/** Do two items of one key want the same? */
export function sameItem(a: Item, b: Item): boolean {
  return a === b || samePlainData(a, b);
}

/** Equality of plain data: numbers, strings, booleans, arrays and objects of them. */
function samePlainData(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return left.length === right.size && left.every(([key, value]) => samePlainData(value, right.get(key)));
}
