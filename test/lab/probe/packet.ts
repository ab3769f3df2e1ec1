/**
 * Packets as bytes: small pure builders from Ethernet up to VXLAN, correct unless asked to lie. Each takes its header's fields
 * and what follows the header. Addresses are text. Never sends.
 */
import { ipToBytes, macToBytes, parseIp, parseMac } from '../../../dataplane/address.ts';

/** @see IEEE 802 numbers, "ETHER TYPES" */
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
/** @see IANA "Assigned Internet Protocol Numbers" */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
/** @see IANA "ICMP Type Numbers" */
export const ICMP = { echoReply: 0, unreachable: 3, redirect: 5, echoRequest: 8, timeExceeded: 11 } as const;

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const NOTHING = Buffer.alloc(0);

const mac = remembered((text) => macToBytes(parseMac(text)));
const ip = remembered((text) => ipToBytes(parseIp(text)));

/** Few addresses, and packets by the hundred thousand. */
function remembered(bytesOf: (text: string) => Uint8Array): (text: string) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  return (text) => {
    const bytes = known.get(text) ?? bytesOf(text);
    known.set(text, bytes);
    return bytes;
  };
}

/** The Internet checksum. @returns u16 @see RFC 1071 */
export function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** What TCP, UDP and ICMPv6 sum up before themselves. @see RFC 9293 section 3.1, RFC 8200 section 8.1 */
function pseudoHeader(source: string, destination: string, protocol: number, length: number): Buffer {
  const addresses = Buffer.concat([ip(source), ip(destination)]);
  const tail = Buffer.alloc(addresses.length === 8 ? 4 : 8);
  if (addresses.length === 8) {
    tail.writeUInt8(protocol, 1);
    tail.writeUInt16BE(length, 2);
  } else {
    tail.writeUInt32BE(length, 0);
    tail.writeUInt8(protocol, 7);
  }
  return Buffer.concat([addresses, tail]);
}

export interface EthernetFields {
  readonly source: string;
  readonly destination: string;
  readonly type: number;
}

/** @see IEEE 802.3; no padding, no frame check sequence */
export function ethernet({ source, destination, type }: EthernetFields, payload: Uint8Array): Buffer {
  return Buffer.concat([mac(destination), mac(source), Buffer.from([type >> 8, type & 0xff]), payload]);
}

export interface ArpFields {
  readonly operation: 'request' | 'reply';
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac?: string;
  readonly targetIp: string;
}

/** @see RFC 826 */
export function arp({ operation, senderMac, senderIp, targetMac, targetIp }: ArpFields): Buffer {
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, operation === 'request' ? 1 : 2]);
  return Buffer.concat([head, mac(senderMac), ip(senderIp), mac(targetMac ?? '00:00:00:00:00:00'), ip(targetIp)]);
}

export interface Ipv4Fields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** 64 unless given */
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** in bytes, a multiple of 8 */
  readonly fragmentOffset?: number;
  /** padded to a multiple of 4 with "end of options"; 40 at most */
  readonly options?: Uint8Array;
}

/** @see RFC 791 section 3.1 */
export function ipv4(fields: Ipv4Fields, payload: Uint8Array = NOTHING): Buffer {
  const options = fields.options ?? NOTHING;
  const header = Buffer.alloc(20 + Math.ceil(options.length / 4) * 4);
  header.writeUInt8(0x40 | (header.length / 4), 0);
  header.writeUInt8(fields.tos ?? 0, 1);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 0, 4);
  const flags = (fields.dontFragment ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0);
  header.writeUInt16BE(flags | ((fields.fragmentOffset ?? 0) / 8), 6);
  header.writeUInt8(fields.ttl ?? 64, 8);
  header.writeUInt8(fields.protocol, 9);
  header.set(ip(fields.source), 12);
  header.set(ip(fields.destination), 16);
  header.set(options, 20);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** The option by which a sender names the way. @param kind 131 loose, 137 strict @see RFC 791 section 3.1 */
export function sourceRoute(kind: 131 | 137, addresses: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from([kind, 3 + 4 * addresses.length, 4]), ...addresses.map(ip)]);
}

export interface Ipv6Fields {
  readonly source: string;
  readonly destination: string;
  readonly nextHeader: number;
  /** 64 unless given */
  readonly hopLimit?: number;
}

/** @see RFC 8200 section 3 */
export function ipv6(fields: Ipv6Fields, payload: Uint8Array = NOTHING): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(0x60000000, 0);
  header.writeUInt16BE(payload.length, 4);
  header.writeUInt8(fields.nextHeader, 6);
  header.writeUInt8(fields.hopLimit ?? 64, 7);
  return Buffer.concat([header, ip(fields.source), ip(fields.destination), payload]);
}

/** @param rest the second 32-bit word: identifier and sequence, next-hop MTU, gateway @see RFC 792 */
export function icmp(type: number, code: number, rest: number, body: Uint8Array = NOTHING): Buffer {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), body]);
  bytes.writeUInt32BE(rest >>> 0, 4);
  bytes.writeUInt16BE(checksum(bytes), 2);
  return bytes;
}

/** @see RFC 792, "Echo or Echo Reply Message" */
export function icmpEcho(type: 0 | 8, identifier: number, sequence: number, body?: Uint8Array): Buffer {
  return icmp(type, 0, ((identifier << 16) | sequence) >>> 0, body);
}

/** An error about a packet, of which it carries the IP header and 8 bytes. @param about an IPv4 packet @see RFC 792 */
export function icmpError(type: number, code: number, rest: number, about: Uint8Array): Buffer {
  return icmp(type, code, rest, about.subarray(0, ((about[0] ?? 0x45) & 0x0f) * 4 + 8));
}

/** Addresses of the IP header around it, for the checksum. */
export interface Between {
  readonly source: string;
  readonly destination: string;
}

/** @param body what follows the checksum @see RFC 4443 section 2.1 */
export function icmpv6(between: Between, type: number, code: number, body: Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0]), body]);
  const pseudo = pseudoHeader(between.source, between.destination, PROTOCOL.icmpv6, bytes.length);
  bytes.writeUInt16BE(checksum(pseudo, bytes), 2);
  return bytes;
}

export interface UdpFields extends Between {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** @see RFC 768: a checksum that comes to 0 is sent as 0xffff */
export function udp(fields: UdpFields, payload: Uint8Array = NOTHING): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), payload]);
  bytes.writeUInt16BE(fields.sourcePort, 0);
  bytes.writeUInt16BE(fields.destinationPort, 2);
  bytes.writeUInt16BE(bytes.length, 4);
  const pseudo = pseudoHeader(fields.source, fields.destination, PROTOCOL.udp, bytes.length);
  bytes.writeUInt16BE(checksum(pseudo, bytes) || 0xffff, 6);
  return bytes;
}

/** @see RFC 9293 section 3.1 */
const TCP_FLAGS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

export interface TcpFields extends UdpFields {
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly flags: readonly (keyof typeof TCP_FLAGS)[];
  /** 64240 unless given */
  readonly window?: number;
}

/** No options. @see RFC 9293 section 3.1 */
export function tcp(fields: TcpFields, payload: Uint8Array = NOTHING): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(20), payload]);
  bytes.writeUInt16BE(fields.sourcePort, 0);
  bytes.writeUInt16BE(fields.destinationPort, 2);
  bytes.writeUInt32BE((fields.sequence ?? 0) >>> 0, 4);
  bytes.writeUInt32BE((fields.acknowledgment ?? 0) >>> 0, 8);
  bytes.writeUInt8(5 << 4, 12);
  bytes.writeUInt8(
    fields.flags.reduce((bits, flag) => bits | TCP_FLAGS[flag], 0),
    13,
  );
  bytes.writeUInt16BE(fields.window ?? 64_240, 14);
  const pseudo = pseudoHeader(fields.source, fields.destination, PROTOCOL.tcp, bytes.length);
  bytes.writeUInt16BE(checksum(pseudo, bytes), 16);
  return bytes;
}

/** @param frame the inner Ethernet frame @see RFC 7348 section 5 */
export function vxlan(vni: number, frame: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(0x08, 0);
  header.writeUInt32BE((vni << 8) >>> 0, 4);
  return Buffer.concat([header, frame]);
}
