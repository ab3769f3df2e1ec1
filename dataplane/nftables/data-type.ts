/**
 * nft's data types, as far as Tenet's sets and rules use them: number, length, byte order, and values to and from bytes. The
 * kernel takes the numbers as they are; `nft list` reads them to print elements. Pure.
 * @see nftables 1.0.6, include/datatype.h, enum datatypes
 */
import { bytesToIp, bytesToMac, type IpAddress, ipToBytes, parseIp } from '../address.ts';
import { CodecError } from '../errors.ts';
import type { ByteReader, ByteWriter } from '../netlink/bytes.ts';

/** A type under nft's name. Values: addresses and names are strings, all others numbers. */
export type FieldType =
  | 'nf_proto'
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'ether_addr'
  | 'inet_proto'
  | 'inet_service'
  | 'icmp_type'
  | 'mark'
  | 'classid'
  | 'ct_state'
  | 'ct_dir'
  | 'icmpv6_type'
  | 'devgroup'
  | 'dscp'
  | 'fib_addrtype'
  | 'boolean'
  | 'ifname';
/** An address in any spelling, an interface name, or a number. */
export type FieldValue = string | number;

/** enum byteorder of nftables */
export const BYTEORDER_INVALID = 0;
export const BYTEORDER_HOST_ENDIAN = 1;
export const BYTEORDER_BIG_ENDIAN = 2;

interface DataType {
  /** enum datatypes */
  readonly id: number;
  /** bytes, padding excluded */
  readonly length: number;
  readonly byteOrder: number;
  readonly write: (out: ByteWriter, value: FieldValue) => void;
  readonly read: (reader: ByteReader) => FieldValue;
}

/** IFNAMSIZ */
const IFNAME_LENGTH = 16;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function number8(id: number, byteOrder: number): DataType {
  const write = (out: ByteWriter, value: FieldValue) => out.u8(unsigned(value, 0xff));
  return { id, length: 1, byteOrder, write, read: (reader) => reader.u8() };
}

/** Host order: what the kernel loads from a field of the packet's metadata. */
function number32(id: number): DataType {
  const write = (out: ByteWriter, value: FieldValue) => out.u32(unsigned(value, 0xffffffff));
  return { id, length: 4, byteOrder: BYTEORDER_HOST_ENDIAN, write, read: (reader) => reader.u32() };
}

export const DATA_TYPES: Readonly<Record<FieldType, DataType>> = {
  nf_proto: number8(2, BYTEORDER_INVALID),
  ipv4_addr: {
    id: 7,
    length: 4,
    byteOrder: BYTEORDER_BIG_ENDIAN,
    write: writeIpv4,
    read: (reader) => bytesToIp(reader.bytes(4)),
  },
  ipv6_addr: {
    id: 8,
    length: 16,
    byteOrder: BYTEORDER_BIG_ENDIAN,
    write: writeIpv6,
    read: (reader) => bytesToIp(reader.bytes(16)),
  },
  ether_addr: {
    id: 9,
    length: 6,
    byteOrder: BYTEORDER_BIG_ENDIAN,
    write: writeMac,
    read: (reader) => bytesToMac(reader.bytes(6)),
  },
  inet_proto: number8(12, BYTEORDER_INVALID),
  inet_service: {
    id: 13,
    length: 2,
    byteOrder: BYTEORDER_BIG_ENDIAN,
    write: (out, value) => out.u16be(unsigned(value, 0xffff)),
    read: (reader) => reader.u16be(),
  },
  icmp_type: number8(14, BYTEORDER_BIG_ENDIAN),
  mark: number32(19),
  classid: number32(23),
  ct_state: number32(26),
  ct_dir: number8(27, BYTEORDER_INVALID),
  icmpv6_type: number8(29, BYTEORDER_BIG_ENDIAN),
  devgroup: number32(35),
  dscp: number8(36, BYTEORDER_BIG_ENDIAN),
  fib_addrtype: number32(38),
  boolean: number8(39, BYTEORDER_INVALID),
  ifname: {
    id: 41,
    length: IFNAME_LENGTH,
    byteOrder: BYTEORDER_HOST_ENDIAN,
    write: writeIfname,
    read: (reader) => readIfname(reader.bytes(IFNAME_LENGTH)),
  },
};

const TYPES_BY_ID = new Map(Object.entries(DATA_TYPES).map(([name, { id }]) => [id, name as FieldType]));

/** @returns undefined for a number that is not in use here */
export function findFieldType(id: number): FieldType | undefined {
  return TYPES_BY_ID.get(id);
}

function unsigned(value: FieldValue, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
    throw new CodecError(`a number from 0 to ${max}, got ${JSON.stringify(value)}`);
  }
  return value;
}

/** Reads the digits itself: this is the way of every element that comes and goes. */
function writeIpv4(out: ByteWriter, value: FieldValue): void {
  const start = out.length;
  if (typeof value === 'string') {
    let octet = -1;
    for (let i = 0; i <= value.length; i++) {
      const code = i === value.length ? DOT : value.charCodeAt(i);
      if (code >= ZERO && code <= NINE && octet < 256) octet = (octet < 0 ? 0 : octet * 10) + code - ZERO;
      else if (code === DOT && octet >= 0 && octet < 256) {
        out.u8(octet);
        octet = -1;
      } else break;
      if (i === value.length && out.length === start + 4) return;
    }
    out.truncate(start);
  }
  throw new CodecError(`an IPv4 address, got ${JSON.stringify(value)}`);
}

function writeIpv6(out: ByteWriter, value: FieldValue): void {
  out.bytes(ipv6Bytes(value));
}

function ipv6Bytes(value: FieldValue): Uint8Array {
  let address: IpAddress | undefined;
  try {
    address = parseIp(String(value));
  } catch {
    address = undefined;
  }
  if (address?.includes(':')) return ipToBytes(address);
  throw new CodecError(`an IPv6 address, got ${JSON.stringify(value)}`);
}

const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;

function writeMac(out: ByteWriter, value: FieldValue): void {
  if (typeof value !== 'string' || !/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(value)) {
    throw new CodecError(`a MAC address, got ${JSON.stringify(value)}`);
  }
  for (let i = 0; i < 17; i += 3) out.u8(hexDigit(value.charCodeAt(i)) * 16 + hexDigit(value.charCodeAt(i + 1)));
}

/** @param code of 0-9, a-f or A-F */
function hexDigit(code: number): number {
  return code <= NINE ? code - ZERO : (code & 0x5f) - 55;
}

/** Zero-padded to 16 bytes, of which the last is zero. */
function writeIfname(out: ByteWriter, value: FieldValue): void {
  const start = out.length;
  if (typeof value === 'string' && value.length > 0 && value.length < IFNAME_LENGTH) {
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code === 0 || code > 0x7f) break;
      out.u8(code);
    }
    // Names beyond ASCII are legal, if rare.
    if (out.length < start + value.length && !value.includes('\0')) {
      out.truncate(start);
      out.bytes(encoder.encode(value));
    }
    if (out.length > start && out.length < start + IFNAME_LENGTH) {
      out.zeros(start + IFNAME_LENGTH - out.length);
      return;
    }
  }
  out.truncate(start);
  throw new CodecError(`an interface name of 1 to 15 bytes, got ${JSON.stringify(value)}`);
}

function readIfname(bytes: Uint8Array): string {
  const zero = bytes.indexOf(0);
  return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
}
