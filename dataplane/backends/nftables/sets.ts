/**
 * The sets and maps behind the rules: one per collection of elements, hashes made to size at once so that no change ever waits for
 * one to grow. Pure.
 */

import type { SetElement } from '../../codecs/nftables/element.ts';
import type { Expression } from '../../codecs/nftables/expression.ts';
import { NFT_LIMIT_PKTS } from '../../codecs/nftables/expression-uapi.ts';
import type { NftSet } from '../../codecs/nftables/set.ts';
import { NFT_TABLE } from '../../ownership.ts';
import { type Collection, type ElementItem, NET_BITS, type NetBits, PORT_BITS, type PortBits } from '../../state.ts';
import { isIpv6Element, REFUSALS } from '../common.ts';

export const TABLE = { family: 'inet', table: NFT_TABLE } as const;

/** Elements a node can hold: addresses known by themselves, blocks of all tenants here, pairs of a pod link here and an identity. */
const SIZE = { addresses: 262_144, pods: 16_384, pairs: 131_072, nodes: 32_768, few: 4_096, flows: 1_048_576 } as const;

/** Every packet that finds the element counts; the rule goes on for a few of them. */
const COUNTED_AND_LIMITED: readonly Expression[] = [
  { kind: 'counter', packets: 0n, bytes: 0n },
  {
    kind: 'limit',
    rate: BigInt(REFUSALS.perSecond),
    unitSeconds: 1n,
    burst: REFUSALS.burst,
    type: NFT_LIMIT_PKTS,
    inverted: false,
  },
];

/** An identity lives in `meta priority`, whose type nft calls classid: the packet's mark belongs to others. */
export const SETS = {
  identity: { ...TABLE, name: 'identity4', key: ['ipv4_addr'], data: 'classid', size: SIZE.addresses },
  block: { ...TABLE, name: 'block4', key: ['ipv4_addr'], data: 'classid', size: SIZE.addresses },
  guard: { ...TABLE, name: 'guard4', key: ['ifname', 'ether_addr', 'ipv4_addr'], size: SIZE.pods },
  podAddress: { ...TABLE, name: 'pod_address4', key: ['ifname', 'ipv4_addr'], size: SIZE.pods },
  overlaySource: { ...TABLE, name: 'overlay_source', key: ['ifname', 'classid'], size: SIZE.pairs },
  egress: { ...TABLE, name: 'egress', key: ['classid', 'ifname'], data: 'classid', size: SIZE.pairs },
  ingress: { ...TABLE, name: 'ingress', key: ['classid', 'ifname'], data: 'classid', size: SIZE.pairs },
  ...netSets('egress'),
  ...netSets('ingress'),
  ...portSets(),
  refused: { ...TABLE, name: 'refused', key: ['ifname'], size: SIZE.pods, expressions: COUNTED_AND_LIMITED },
  crowded: { ...TABLE, name: 'crowded4', key: ['ipv4_addr'], size: 2 },
  internet: { ...TABLE, name: 'internet', key: ['ifname'], size: SIZE.pods },
  node: { ...TABLE, name: 'node4', key: ['ipv4_addr'], size: SIZE.nodes },
  vxlanPeer: { ...TABLE, name: 'vxlan_peer4', key: ['ipv4_addr', 'ether_addr'], size: SIZE.nodes },
  vxlanRouted: { ...TABLE, name: 'vxlan_routed4', key: ['ipv4_addr'], size: SIZE.nodes },
  vxlanBlock: { ...TABLE, name: 'vxlan_block4', key: ['ipv4_addr', 'ipv4_addr'], size: SIZE.addresses },
  vxlanSystem: { ...TABLE, name: 'vxlan_system4', key: ['ipv4_addr', 'ipv4_addr'], size: SIZE.nodes },
  exception: { ...TABLE, name: 'exception4', key: ['ipv4_addr', 'inet_proto', 'inet_service'], size: SIZE.few },
} as const satisfies Record<Exclude<Collection, 'network'>, NftSet>;

const counting = { addedByRules: true, size: SIZE.flows } as const;

/** Sets that the rules fill as connections begin; where one is full, what it counts is not limited. */
export const FLOW_SETS = {
  ofPod: { ...TABLE, name: 'flows_of_pod', key: ['ifname', 'mark'], ...counting },
  ofTenant: { ...TABLE, name: 'flows_of_tenant', key: ['classid', 'mark'], ...counting },
  toTenant: { ...TABLE, name: 'flows_to_tenant', key: ['classid', 'mark'], ...counting },
  rationsTo: { ...TABLE, name: 'rations_to', key: ['classid'], ...counting, size: SIZE.pods },
  rations: { ...TABLE, name: 'rations', key: ['classid'], ...counting, size: SIZE.pods },
  toDestination: {
    ...TABLE,
    name: 'flows_to4',
    key: ['classid', 'ipv4_addr', 'inet_proto', 'inet_service'],
    ...counting,
  },
} as const satisfies Record<string, NftSet>;

type SizedSet = NftSet & { readonly size: number };

function netSets<D extends 'egress' | 'ingress'>(direction: D): Record<`${D}Net/${NetBits}`, SizedSet> {
  const key = ['ifname', 'ipv4_addr'] as const;
  return Object.fromEntries(
    NET_BITS.map((bits): [string, SizedSet] => [
      `${direction}Net/${bits}`,
      { ...TABLE, name: `${direction}_net${bits}`, key, data: 'classid', size: SIZE.pods },
    ]),
  ) as Record<`${D}Net/${NetBits}`, SizedSet>;
}

function portSets(): Record<`port/${PortBits}`, SizedSet> {
  const key = ['classid', 'inet_proto', 'inet_service'] as const;
  return Object.fromEntries(
    PORT_BITS.map((bits): [string, SizedSet] => [
      `port/${bits}`,
      { ...TABLE, name: `port${bits}`, key, size: SIZE.pods },
    ]),
  ) as Record<`port/${PortBits}`, SizedSet>;
}

/** Collections that are sets here: an address finds its subnet by its block. */
export type SetCollection = keyof typeof SETS;

export const COLLECTIONS = Object.keys(SETS) as SetCollection[];

export function isSetCollection(collection: Collection): collection is SetCollection {
  return collection in SETS;
}

/** @returns undefined for an element of the other family, which these sets do not hold */
export function toSetElement(item: ElementItem): SetElement | undefined {
  if (isIpv6Element(item)) return undefined;
  return item.value === undefined ? { key: item.fields } : { key: item.fields, data: item.value };
}

/** The item a set's element stands for. */
export function toItem(collection: Collection, element: SetElement): ElementItem {
  const base = { kind: 'element', collection, fields: [...element.key] } as const;
  return typeof element.data === 'number' ? { ...base, value: element.data } : base;
}
