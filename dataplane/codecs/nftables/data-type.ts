/**
 * nft's data types, as far as Tenet's sets and rules use them: number, length, byte order, and values to and from bytes. The
 * kernel takes the numbers as they are; `nft list` reads them to print elements. Pure.
 * @see nftables 1.0.6, include/datatype.h, enum datatypes
 */
import { bytesToIp, bytesToMac, type IpAddress, ipToBytes, parseIp } from '../../address.ts';
import { CodecError } from '../../errors.ts';

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
  | 'iface_index'
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
const BYTEORDER_HOST_ENDIAN = 1;
const BYTEORDER_BIG_ENDIAN = 2;

interface DataType {
  /** enum datatypes */
  readonly id: number;
  /** bytes, padding excluded */
  readonly length: number;
  readonly byteOrder: number;
  /** Writes `length` bytes. @throws CodecError on a value that is not of the type */
  readonly write: (bytes: Uint8Array, at: number, value: FieldValue) => void;
  /** Reads `length` bytes, which have to be there. */
  readonly read: (bytes: Uint8Array, at: number) => FieldValue;
}

/** IFNAMSIZ */
const IFNAME_LENGTH = 16;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function number8(id: number, byteOrder: number): DataType {
  const write = (bytes: Uint8Array, at: number, value: FieldValue) => {
    bytes[at] = unsigned(value, 0xff);
  };
  return { id, length: 1, byteOrder, write, read: readNumber8 };
}

/** Host order: what the kernel loads from a field of the packet's metadata. */
function number32(id: number): DataType {
  const write = (bytes: Uint8Array, at: number, value: FieldValue) => {
    const number = unsigned(value, 0xffffffff);
    bytes[at] = number;
    bytes[at + 1] = number >>> 8;
    bytes[at + 2] = number >>> 16;
    bytes[at + 3] = number >>> 24;
  };
  return { id, length: 4, byteOrder: BYTEORDER_HOST_ENDIAN, write, read: readNumber32 };
}

export const DATA_TYPES: Readonly<Record<FieldType, DataType>> = {
  nf_proto: number8(2, BYTEORDER_INVALID),
  ipv4_addr: { id: 7, length: 4, byteOrder: BYTEORDER_BIG_ENDIAN, write: writeIpv4, read: readIpv4 },
  ipv6_addr: { id: 8, length: 16, byteOrder: BYTEORDER_BIG_ENDIAN, write: writeIpv6, read: readIpv6 },
  ether_addr: { id: 9, length: 6, byteOrder: BYTEORDER_BIG_ENDIAN, write: writeMac, read: readMac },
  inet_proto: number8(12, BYTEORDER_INVALID),
  inet_service: {
    id: 13,
    length: 2,
    byteOrder: BYTEORDER_BIG_ENDIAN,
    write: writePort,
    read: readPort,
  },
  icmp_type: number8(14, BYTEORDER_BIG_ENDIAN),
  mark: number32(19),
  iface_index: number32(20),
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
    read: readIfname,
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

function writePort(bytes: Uint8Array, at: number, value: FieldValue): void {
  const port = unsigned(value, 0xffff);
  bytes[at] = port >>> 8;
  bytes[at + 1] = port;
}

const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;

/** Reads the digits itself: every element that comes and goes passes here. */
function writeIpv4(bytes: Uint8Array, at: number, value: FieldValue): void {
  if (typeof value === 'string') {
    let octets = 0;
    let octet = -1;
    for (let i = 0; i <= value.length; i++) {
      const code = i === value.length ? DOT : value.charCodeAt(i);
      if (code >= ZERO && code <= NINE && octet !== 0) octet = (octet < 0 ? 0 : octet * 10) + code - ZERO;
      else if (code !== DOT) break;
      if (octet < 0 || octet > 255 || octets > 3) break;
      if (code !== DOT) continue;
      bytes[at + octets++] = octet;
      octet = -1;
      if (i === value.length && octets === 4) return;
    }
  }
  throw new CodecError(`an IPv4 address, got ${JSON.stringify(value)}`);
}

function writeIpv6(bytes: Uint8Array, at: number, value: FieldValue): void {
  const text = String(value);
  if (writeHexGroups(bytes, at, text)) return;
  let address: IpAddress | undefined;
  try {
    address = parseIp(text);
  } catch {
    address = undefined;
  }
  if (!address?.includes(':')) throw new CodecError(`an IPv6 address, got ${JSON.stringify(value)}`);
  bytes.set(ipToBytes(address), at);
}

/** Hex groups and at most one `::`. @returns false for any other text: an address may end as an IPv4 one does */
function writeHexGroups(bytes: Uint8Array, at: number, text: string): boolean {
  const [left, right, ...more] = text.split('::');
  const before = left ? left.split(':') : [];
  const after = right ? right.split(':') : [];
  const count = before.length + after.length;
  if (more.length > 0 || (right === undefined ? count !== 8 : count > 7)) return false;
  bytes.fill(0, at, at + 16);
  const tail = at + 16 - 2 * after.length;
  return (
    before.every((group, i) => writeHexGroup(bytes, at + 2 * i, group)) &&
    after.every((group, i) => writeHexGroup(bytes, tail + 2 * i, group))
  );
}

function writeHexGroup(bytes: Uint8Array, at: number, group: string): boolean {
  if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return false;
  const number = Number.parseInt(group, 16);
  bytes[at] = number >>> 8;
  bytes[at + 1] = number;
  return true;
}

function writeMac(bytes: Uint8Array, at: number, value: FieldValue): void {
  if (typeof value !== 'string' || !/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(value)) {
    throw new CodecError(`a MAC address, got ${JSON.stringify(value)}`);
  }
  for (let i = 0; i < 6; i++) {
    bytes[at + i] = hexDigit(value.charCodeAt(3 * i)) * 16 + hexDigit(value.charCodeAt(3 * i + 1));
  }
}

/** @param code of 0-9, a-f or A-F */
function hexDigit(code: number): number {
  return code <= NINE ? code - ZERO : (code & 0x5f) - 55;
}

/** Zero-padded to 16 bytes, of which the last is zero. */
function writeIfname(bytes: Uint8Array, at: number, value: FieldValue): void {
  const length = typeof value === 'string' ? writeName(bytes, at, value) : 0;
  if (length < 1 || length >= IFNAME_LENGTH) {
    throw new CodecError(`an interface name of 1 to ${IFNAME_LENGTH - 1} bytes, got ${JSON.stringify(value)}`);
  }
  bytes.fill(0, at + length, at + IFNAME_LENGTH);
}

/** @returns the name's length in bytes, which are written if they fit; 0 for a name with NUL */
function writeName(bytes: Uint8Array, at: number, name: string): number {
  if (name.length >= IFNAME_LENGTH || name.includes('\0')) return 0;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 0x7f) {
      // Legal, if rare.
      const encoded = encoder.encode(name);
      if (encoded.length < IFNAME_LENGTH) bytes.set(encoded, at);
      return encoded.length;
    }
    bytes[at + i] = code;
  }
  return name.length;
}

function readNumber8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function readNumber32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

function readPort(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(at, false);
}

function readIpv4(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

function readIpv6(bytes: Uint8Array, at: number): string {
  return bytesToIp(bytes.subarray(at, at + 16));
}

function readMac(bytes: Uint8Array, at: number): string {
  return bytesToMac(bytes.subarray(at, at + 6));
}

function readIfname(bytes: Uint8Array, at: number): string {
  let end = at;
  while (end < at + IFNAME_LENGTH && bytes[end] !== 0) end++;
  return decoder.decode(bytes.subarray(at, end));
}
