/**
 * Neighbours (who has an address on a link) and FDB entries (where a MAC is behind a VXLAN link). Pure.
 * @see include/uapi/linux/neighbour.h
 */
import {
  bytesToIp,
  bytesToMac,
  familyOf,
  type IpAddress,
  ipToBytes,
  type MacAddress,
  macToBytes,
} from '../../address.ts';
import { parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

/** `fdb`: frames to `mac` go to `address`. Else: `address` has `mac`. */
export interface Neighbour {
  readonly linkIndex: number;
  readonly address: IpAddress | undefined;
  readonly mac: MacAddress | undefined;
  readonly permanent: boolean;
  readonly fdb: boolean;
  /** who made it, as routes have it (rtm_protocol); 0 where that was not said, and of kernels before 4.20 always */
  readonly protocol: number;
}

/** of an FDB entry */
const FDB = u.NUD_PERMANENT | u.NUD_NOARP;
/** struct ndmsg */
const NDMSG = 12;

export interface NeighbourSpec {
  readonly linkIndex: number;
  readonly address: IpAddress;
  readonly mac: MacAddress;
  /** not said unless given */
  readonly protocol?: number;
}

export function encodeReplaceNeighbour(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, spec, u.NUD_PERMANENT);
}

/**
 * Makes what goes to a neighbour that is there wait in its queue: no host is asked for its MAC, and nothing is lost as long as
 * the queue has room (`unres_qlen_bytes`). {@link encodeReleaseNeighbour} lets it go. @see net/core/neighbour.c, __neigh_event_send
 */
export function encodeHoldNeighbour(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE, spec, u.NUD_INCOMPLETE);
}

/** As {@link encodeReplaceNeighbour}, but ENOENT for one that is not there. */
export function encodeReleaseNeighbour(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE, spec, u.NUD_PERMANENT);
}

export function encodeDelNeighbour(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_DELNEIGH, NLM_F_ACK, spec, u.NUD_PERMANENT);
}

/** @param spec address: the remote end of the tunnel */
export function encodeReplaceFdb(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, spec, FDB);
}

export function encodeDelFdb(out: ByteWriter, spec: NeighbourSpec): void {
  encode(out, u.RTM_DELNEIGH, NLM_F_ACK, spec, FDB);
}

function encode(out: ByteWriter, type: number, flags: number, spec: NeighbourSpec, state: number): void {
  const fdb = state === FDB;
  writeMessage(out, type, flags, (message) => {
    const family = fdb ? u.AF_BRIDGE : familyOf(spec.address) === 4 ? u.AF_INET : u.AF_INET6;
    out
      .u8(family)
      .zeros(3)
      .u32(spec.linkIndex)
      .u16(state)
      .u8(fdb ? u.NTF_SELF : 0)
      .u8(0);
    message.bytes(u.NDA_DST, ipToBytes(spec.address)).bytes(u.NDA_LLADDR, macToBytes(spec.mac));
    if (spec.protocol !== undefined) message.u8(u.NDA_PROTOCOL, spec.protocol);
  });
}

export function encodeGetNeighbours(out: ByteWriter): void {
  writeMessage(out, u.RTM_GETNEIGH, NLM_F_DUMP, () => out.zeros(NDMSG));
}

/**
 * Dumps every FDB entry of the namespace. The kernel takes this family's dump with an ifinfomsg or an ndmsg; strict checking wants
 * ndmsg.
 */
export function encodeGetFdb(out: ByteWriter): void {
  writeMessage(out, u.RTM_GETNEIGH, NLM_F_DUMP, () => out.u8(u.AF_BRIDGE).zeros(NDMSG - 1));
}

/** @param payload of RTM_NEWNEIGH or RTM_DELNEIGH @throws CodecError */
export function decodeNeighbour(payload: Uint8Array): Neighbour {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  reader.skip(3);
  const linkIndex = reader.u32();
  const state = reader.u16();
  reader.skip(2);
  const attributes = parseAttributes(payload, NDMSG);
  const address = attributes.get(u.NDA_DST)?.payload;
  const mac = attributes.get(u.NDA_LLADDR)?.payload;
  return {
    linkIndex,
    address: address?.length === 4 || address?.length === 16 ? bytesToIp(address) : undefined,
    mac: mac?.length === 6 ? bytesToMac(mac) : undefined,
    permanent: (state & u.NUD_PERMANENT) !== 0,
    fdb: family === u.AF_BRIDGE,
    protocol: attributes.get(u.NDA_PROTOCOL)?.u8() ?? 0,
  };
}
