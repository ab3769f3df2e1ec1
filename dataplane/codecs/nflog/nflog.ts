/**
 * nfnetlink_log: asking for the packets that rules show to a group, and reading them. Pure.
 * @see include/uapi/linux/netfilter/nfnetlink_log.h; RFC 791 section 3.1
 */
import { bytesToIp, type IpAddress } from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { parseAttributes } from '../../netlink/attribute.ts';
import type { ByteWriter } from '../../netlink/bytes.ts';
import { type NetlinkMessage, NLM_F_ACK, writeMessage } from '../../netlink/message.ts';

const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = 0;
const NFULNL_MSG_CONFIG = 1;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULA_CFG_QTHRESH = 5;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULA_IFINDEX_INDEV = 4;
const NFULA_IFINDEX_OUTDEV = 5;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
const AF_UNSPEC = 0;
const NFGENMSG = 4;

/** An IPv4 header with all its options, and the ports behind it. */
const COPIED_BYTES = 64;

/** A packet that a rule has shown. */
export interface ShownPacket {
  /** what the rule marks it with */
  readonly prefix: string;
  /** index of the link it came by, and of the one it was to leave by; 0 where there is none */
  readonly inLink: number;
  readonly outLink: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IP protocol number */
  readonly protocol: number;
  /** where the protocol has ports and this is the piece of the packet that has them */
  readonly destinationPort: number | undefined;
}

/** Appends the requests that make this socket the group's listener, each packet told at once. */
export function writeListen(out: ByteWriter, group: number): void {
  writeMessage(out, (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG, NLM_F_ACK, (message) => {
    out.u8(AF_UNSPEC).u8(0).u16be(group);
    message.u8(NFULA_CFG_CMD, NFULNL_CFG_CMD_BIND);
  });
  writeMessage(out, (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG, NLM_F_ACK, (message) => {
    out.u8(AF_UNSPEC).u8(0).u16be(group);
    // struct nfulnl_msg_config_mode: be32 copy_range, u8 copy_mode, u8 padding
    message.bytes(NFULA_CFG_MODE, Uint8Array.of(0, 0, 0, COPIED_BYTES, NFULNL_COPY_PACKET, 0));
    message.u32be(NFULA_CFG_QTHRESH, 1);
  });
}

/** @returns undefined for a message of another kind, and for a packet that is not IPv4 @throws CodecError */
export function parseShown({ type, payload }: NetlinkMessage): ShownPacket | undefined {
  if (type !== ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)) return undefined;
  const attributes = parseAttributes(payload, NFGENMSG);
  const packet = attributes.get(NFULA_PAYLOAD)?.payload;
  if (packet === undefined) throw new CodecError('the packet of a message of nfnetlink_log');
  const header = parseIpv4(packet);
  if (header === undefined) return undefined;
  return {
    prefix: attributes.get(NFULA_PREFIX)?.string() ?? '',
    inLink: attributes.get(NFULA_IFINDEX_INDEV)?.u32be() ?? 0,
    outLink: attributes.get(NFULA_IFINDEX_OUTDEV)?.u32be() ?? 0,
    ...header,
  };
}

const PORTS = new Set([6, 17, 33, 132, 136]);

function parseIpv4(packet: Uint8Array): Omit<ShownPacket, 'prefix' | 'inLink' | 'outLink'> | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  if (packet.length < 20 || view.getUint8(0) >> 4 !== 4) return undefined;
  const length = (view.getUint8(0) & 0x0f) * 4;
  const protocol = view.getUint8(9);
  const isFirst = (view.getUint16(6) & 0x1fff) === 0;
  const hasPorts = PORTS.has(protocol) && isFirst && packet.length >= length + 4;
  return {
    source: bytesToIp(packet.slice(12, 16)),
    destination: bytesToIp(packet.slice(16, 20)),
    protocol,
    destinationPort: hasPorts ? view.getUint16(length + 2) : undefined,
  };
}
