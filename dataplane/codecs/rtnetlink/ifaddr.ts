/** Addresses of links. Pure. @see include/uapi/linux/if_addr.h */
import { addressBits, bytesToIp, familyOf, type IpAddress, ipToBytes } from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

export interface InterfaceAddress {
  readonly linkIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** RT_SCOPE_… */
  readonly scope: number;
}

/** struct ifaddrmsg */
const IFADDRMSG = 8;

/** Adds a host address (/32, /128), IPv6 without duplicate address detection. */
export function encodeAddAddress(out: ByteWriter, linkIndex: number, address: IpAddress): void {
  encode(out, u.RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, linkIndex, address);
}

export function encodeDelAddress(out: ByteWriter, linkIndex: number, address: IpAddress): void {
  encode(out, u.RTM_DELADDR, NLM_F_ACK, linkIndex, address);
}

function encode(out: ByteWriter, type: number, flags: number, linkIndex: number, address: IpAddress): void {
  const family = familyOf(address);
  writeMessage(out, type, flags, (message) => {
    out
      .u8(family === 4 ? u.AF_INET : u.AF_INET6)
      .u8(addressBits(family))
      .u8(0)
      .u8(u.RT_SCOPE_UNIVERSE)
      .u32(linkIndex);
    message.bytes(u.IFA_LOCAL, ipToBytes(address)).bytes(u.IFA_ADDRESS, ipToBytes(address));
    if (family === 6) message.u32(u.IFA_FLAGS, u.IFA_F_NODAD);
  });
}

export function encodeGetAddresses(out: ByteWriter): void {
  writeMessage(out, u.RTM_GETADDR, NLM_F_DUMP, () => out.zeros(IFADDRMSG));
}

/** @param payload of RTM_NEWADDR or RTM_DELADDR @throws CodecError */
export function decodeAddress(payload: Uint8Array): InterfaceAddress {
  const reader = new ByteReader(payload);
  reader.skip(1);
  const prefixLength = reader.u8();
  reader.skip(1);
  const scope = reader.u8();
  const linkIndex = reader.u32();
  const attributes = parseAttributes(payload, IFADDRMSG);
  const bytes = (attributes.get(u.IFA_LOCAL) ?? attributes.get(u.IFA_ADDRESS))?.payload;
  if (bytes?.length !== 4 && bytes?.length !== 16) throw new CodecError('an address of 4 or 16 bytes', IFADDRMSG);
  return { linkIndex, address: bytesToIp(bytes), prefixLength, scope };
}
