/**
 * A frame read back: the fields that tests look for, as text and numbers, down to the transport header. The counterpart of packet.ts.
 * Pure; what is cut off or not known is simply absent.
 */
import { bytesToIp, bytesToMac } from '../../../dataplane/address.ts';
import { ETHERTYPE, PROTOCOL } from './packet.ts';

export interface IpFields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly ttl: number;
  /** what follows the IP header */
  readonly payload: Buffer;
}

export interface FrameFields {
  readonly source: string;
  readonly destination: string;
  readonly type: number;
  readonly ip?: IpFields;
  /** of TCP and UDP */
  readonly ports?: { readonly source: number; readonly destination: number };
  /** of TCP, UDP and ICMP: what follows their header */
  readonly body?: Buffer;
  readonly arp?: { readonly operation: number; readonly senderMac: string; readonly senderIp: string };
}

/** @param frame from the destination MAC on; no VLAN tag */
export function dissect(frame: Buffer): FrameFields {
  const type = frame.length >= 14 ? frame.readUInt16BE(12) : 0;
  const ends = { destination: macAt(frame, 0), source: macAt(frame, 6), type };
  const rest = frame.subarray(14);
  if (type === ETHERTYPE.arp && rest.length >= 28)
    return {
      ...ends,
      arp: { operation: rest.readUInt16BE(6), senderMac: macAt(rest, 8), senderIp: bytesToIp(rest.subarray(14, 18)) },
    };
  const ip = type === ETHERTYPE.ipv4 || type === ETHERTYPE.ipv6 ? dissectIp(rest) : undefined;
  return ip ? { ...ends, ip, ...transport(ip) } : ends;
}

/** @param packet from the IP header on */
export function dissectIp(packet: Buffer): IpFields | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const end = Math.min(packet.length, packet.readUInt16BE(2));
    return {
      source: bytesToIp(packet.subarray(12, 16)),
      destination: bytesToIp(packet.subarray(16, 20)),
      protocol: packet.readUInt8(9),
      ttl: packet.readUInt8(8),
      payload: packet.subarray((packet.readUInt8(0) & 0x0f) * 4, end),
    };
  }
  if (version !== 6 || packet.length < 40) return undefined;
  return {
    source: bytesToIp(packet.subarray(8, 24)),
    destination: bytesToIp(packet.subarray(24, 40)),
    protocol: packet.readUInt8(6),
    ttl: packet.readUInt8(7),
    payload: packet.subarray(40),
  };
}

function transport({ protocol, payload }: IpFields): Pick<FrameFields, 'ports' | 'body'> {
  if (payload.length < 8) return {};
  if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) return { body: payload.subarray(8) };
  if (protocol !== PROTOCOL.tcp && protocol !== PROTOCOL.udp) return {};
  const ports = { source: payload.readUInt16BE(0), destination: payload.readUInt16BE(2) };
  const headerLength = protocol === PROTOCOL.udp ? 8 : ((payload[12] ?? 0x50) >> 4) * 4;
  return { ports, body: payload.subarray(headerLength) };
}

function macAt(bytes: Buffer, offset: number): string {
  return bytes.length >= offset + 6 ? bytesToMac(bytes.subarray(offset, offset + 6)) : '';
}
