/**
 * Packets that lie, each with a token to know it by: what containers, strangers and nodes send in the attack tests. Builds frames from
 * probe/packet.ts; sends and judges nothing.
 */
import { macOfAddress } from '../../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { HOST_END_MAC } from '../../../dataplane/ownership.ts';
import {
  ETHERTYPE,
  type EthernetFields,
  ethernet,
  ICMP,
  type Ipv4Fields,
  icmp,
  ipv4,
  PROTOCOL,
  tcp,
  udp,
  vxlan,
} from '../../lab/probe/packet.ts';
import { UDP_PORT } from './stage.ts';

/** Who sends from where: a container, or a host on the underlay. */
export interface Between {
  readonly source: string;
  readonly destination: string;
}

/** An IPv4 packet with a datagram that any container of the cast would answer. */
export function datagram(
  between: Between,
  token: string,
  more: { readonly sourcePort?: number; readonly port?: number } & Partial<Ipv4Fields> = {},
): Buffer {
  const { sourcePort = 4242, port = UDP_PORT, ...fields } = more;
  const body = udp({ ...between, sourcePort, destinationPort: port }, Buffer.from(token));
  return ipv4({ ...between, protocol: PROTOCOL.udp, ...fields }, body);
}

/** A flow that an ICMP error speaks of: the packet quoted goes from source to destination. */
export interface Quoted extends Between {
  readonly protocol: 'udp' | 'tcp';
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The errors that do harm: the path's MTU, the way, and the flow itself are what they change. */
export const ERRORS = {
  'fragmentation needed': { type: ICMP.unreachable, code: 4, rest: () => 600 },
  redirect: { type: ICMP.redirect, code: 1, rest: (from: string) => addressAsNumber(from) },
  'port unreachable': { type: ICMP.unreachable, code: 3, rest: () => 0 },
  'time exceeded': { type: ICMP.timeExceeded, code: 0, rest: () => 0 },
} as const;
export type ErrorName = keyof typeof ERRORS;

/** An ICMP error in an IPv4 packet; the token follows the 8 bytes of transport header that are quoted. */
export function errorAbout(name: ErrorName, between: Between, quoted: Quoted, token: string): Buffer {
  const transport = quoted.protocol === 'udp' ? udp(quoted) : tcp({ ...quoted, flags: ['ack'] }).subarray(0, 8);
  const about = ipv4({ ...quoted, protocol: PROTOCOL[quoted.protocol] }, transport);
  const { type, code, rest } = ERRORS[name];
  const body = Buffer.concat([about, Buffer.from(token.padEnd(16, '.'))]);
  return ipv4({ ...between, protocol: PROTOCOL.icmp }, icmp(type, code, rest(between.source), body));
}

/** A frame as a container sends it to its node. @param mac the sender's */
export function fromContainer(
  { mac }: { readonly mac: string },
  packet: Buffer,
  type: number = ETHERTYPE.ipv4,
): Buffer {
  return ethernet({ source: mac, destination: HOST_END_MAC, type }, packet);
}

export interface Capsule {
  readonly vni: number;
  /** of the frame inside */
  readonly destinationMac: string;
  readonly packet: Buffer;
  /** of the packet inside; IPv4 unless given */
  readonly type?: number;
  /** of the frame inside: the overlay links' of whose address the packet comes from, unless given */
  readonly sourceMac?: string;
}

/** A VXLAN packet from one underlay address to another, its UDP header on. */
export function capsule(between: Between, inside: Capsule): Buffer {
  const {
    vni,
    destinationMac,
    packet,
    type = ETHERTYPE.ipv4,
    sourceMac = macOfAddress(parseIp(between.source)),
  } = inside;
  const inner = ethernet({ source: sourceMac, destination: destinationMac, type }, packet);
  const body = udp({ ...between, sourcePort: 50_000, destinationPort: 4789 }, vxlan(vni, inner));
  return ipv4({ ...between, protocol: PROTOCOL.udp }, body);
}

/** A frame on the underlay. */
export function onUnderlay(ends: Omit<EthernetFields, 'type'>, packet: Buffer): Buffer {
  return ethernet({ ...ends, type: ETHERTYPE.ipv4 }, packet);
}

function addressAsNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}
