/** What the desired state needs to know about the machine itself, found out at its edge (see underlay.ts). Types and pure derivations. */

import type { Node, NodeRole } from '../../../controller/model/records.ts';
import {
  type IpAddress,
  type IpPrefix,
  ipToBytes,
  type MacAddress,
  prefixContains,
} from '../../../dataplane/address.ts';

export interface NodeFacts {
  readonly name: string;
  readonly roles: readonly NodeRole[];
  /** the link that reaches the other nodes */
  readonly underlay: {
    readonly link: string;
    readonly address: IpAddress;
    /** the link's own subnet: who is in it is one hop away */
    readonly subnet: IpPrefix;
    readonly mac: MacAddress;
    readonly mtu: number;
  };
  /** require the sender's MAC of VXLAN packets from our own segment */
  readonly checkUnderlayMac: boolean;
  /**
   * Where the store answers; undefined: not known. Word of a new MAC comes by the store, so it has to be reached whatever MAC it has
   * itself, and to reach a node that has a new one.
   */
  readonly storeAddresses: readonly IpAddress[] | undefined;
  /** source ports, both ends included, of what pods send beyond the cluster: nothing else of the node has them */
  readonly masqueradePorts: { readonly from: number; readonly to: number };
  /** connections that pods of the node may have at a time */
  readonly flows: { readonly ofPod: number; readonly ofTenant: number };
}

/** IANA's. @see RFC 7348 section 5 */
export const VXLAN_PORT = 4789;

/** Outer Ethernet is not counted in an MTU: outer IP, UDP 8, VXLAN 8, inner Ethernet 14. @see RFC 7348 section 5 */
export function overlayMtu(facts: NodeFacts): number {
  return facts.underlay.mtu - (facts.underlay.address.includes(':') ? 70 : 50);
}

/**
 * MAC that goes with an address: of a node's overlay links by its underlay address, of a pod by its first address. A pure
 * function, so that a node need not publish the MACs of its overlay links. Locally administered, unicast; IPv6 addresses are
 * folded to 32 bits (FNV-1a), where two nodes in 2^16 collide with even odds.
 */
export function macOfAddress(address: IpAddress): MacAddress {
  const bytes = ipToBytes(address);
  const tail = bytes.length === 4 ? bytes : fold(bytes);
  const hex = Array.from([0x0a, bytes.length === 4 ? 0x58 : 0x59, ...tail], (byte) =>
    byte.toString(16).padStart(2, '0'),
  );
  return hex.join(':') as MacAddress;
}

function fold(bytes: Uint8Array): number[] {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return [hash >>> 24, (hash >>> 16) & 255, (hash >>> 8) & 255, hash & 255];
}

/** Is the other node on our own segment, where its frames carry its own MAC? */
export function isOnSegment(facts: NodeFacts, node: Node): boolean {
  return prefixContains(facts.underlay.subnet, node.underlay);
}

/** May the node's MAC be held to its record? Only on our own segment, where it is seen; and never between the store and others. */
export function isPinned(facts: NodeFacts, node: Node): boolean {
  const { storeAddresses, underlay } = facts;
  if (!facts.checkUnderlayMac || storeAddresses === undefined) return false;
  const isStore = (address: IpAddress) => storeAddresses.includes(address);
  const isStoreHere = isStore(underlay.address) || storeAddresses.some(isLoopback);
  return !isStoreHere && !isStore(node.underlay) && isOnSegment(facts, node);
}

function isLoopback(address: IpAddress): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Gateways and manage nodes have an address in the system overlay and reach every tenant. */
export function reachesAllTenants(roles: readonly NodeRole[]): boolean {
  return roles.includes('gateway') || roles.includes('manage');
}
