/**
 * IP addresses, prefixes and MAC addresses as canonical text that is cheap to compare and to use as a map key, and
 * their conversions to and from bytes and numbers. Both families everywhere. Sole importer of ip-num; never does I/O.
 */
import { IPv4, IPv6, Validator } from 'ip-num';

declare const brand: unique symbol;
/** Canonical address text: dotted quad, or RFC 5952 lower-case IPv6. */
export type IpAddress = string & { readonly [brand]: 'IpAddress' };
/** Canonical `address/length` with no host bits set. */
export type IpPrefix = string & { readonly [brand]: 'IpPrefix' };
/** Six lower-case hex pairs joined by colons. */
export type MacAddress = string & { readonly [brand]: 'MacAddress' };
export type IpFamily = 4 | 6;

/** Text that is no address, prefix or MAC. `text` is what was given. */
export class AddressError extends Error {
  readonly code = 'invalid_address';
  readonly text: string;
  constructor(text: string, expected: string) {
    super(`${JSON.stringify(text)} is not ${expected}`);
    this.text = text;
  }
}

/** @returns 4 or 6 */
export function familyOf(address: IpAddress | IpPrefix): IpFamily {
  return address.includes(':') ? 6 : 4;
}

/** @returns 32 or 128 */
export function addressBits(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/**
 * Parses an address in any spelling its family allows (an IPv6 zone is not one).
 * @throws AddressError
 */
export function parseIp(text: string): IpAddress {
  if (text.includes(':')) {
    if (!/^[0-9a-fA-F:.]+$/.test(text) || !isValidIPv6(text)) throw new AddressError(text, 'an IP address');
    return numberToIp(IPv6.fromString(text).getValue(), 6);
  }
  if (!/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text) || !Validator.isValidIPv4String(text)[0]) {
    throw new AddressError(text, 'an IP address');
  }
  return numberToIp(IPv4.fromString(text).getValue(), 4);
}

/** ip-num accepts some malformed text (two `::`), so the shape is checked first. */
function isValidIPv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2 || text.includes(':::')) return false;
  try {
    return Validator.isValidIPv6String(text)[0];
  } catch {
    return false;
  }
}

/**
 * Parses `address/length`. Host bits must be zero: `10.0.0.1/24` is refused, for its writer meant something else.
 * @throws AddressError
 */
export function parsePrefix(text: string): IpPrefix {
  const [base, length, ...rest] = text.split('/');
  if (base === undefined || length === undefined || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) {
    throw new AddressError(text, 'a CIDR such as 10.0.0.0/24');
  }
  const address = parseIp(base);
  const prefixLength = Number(length);
  if (prefixLength > addressBits(familyOf(address))) throw new AddressError(text, 'a CIDR: the length is too long');
  const prefix = prefixOf(address, prefixLength);
  if (prefixBase(prefix) !== address)
    throw new AddressError(text, `a CIDR without host bits (did you mean ${prefix}?)`);
  return prefix;
}

/** @throws AddressError unless six hex pairs joined by `:` or `-` */
export function parseMac(text: string): MacAddress {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) throw new AddressError(text, 'a MAC address');
  return text.toLowerCase().replaceAll('-', ':') as MacAddress;
}

/** The address as an unsigned number, network order. */
export function ipToNumber(address: IpAddress): bigint {
  if (familyOf(address) === 6) return IPv6.fromString(address).getValue();
  let value = 0n;
  for (const octet of address.split('.')) value = (value << 8n) | BigInt(octet);
  return value;
}

/** @throws RangeError if the number does not fit the family */
export function numberToIp(value: bigint, family: IpFamily): IpAddress {
  if (value < 0n || value >> BigInt(addressBits(family)) !== 0n)
    throw new RangeError(`no IPv${family} address: ${value}`);
  if (family === 4) {
    const n = Number(value);
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as IpAddress;
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16));
  return compressIpv6(groups) as IpAddress;
}

/** RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals, becomes `::`. */
function compressIpv6(groups: readonly string[]): string {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

/** @returns 4 or 16 bytes, network order */
export function ipToBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(familyOf(address) === 4 ? 4 : 16);
  if (bytes.length === 4) {
    const octets = address.split('.');
    for (let i = 0; i < 4; i++) bytes[i] = Number(octets[i]);
    return bytes;
  }
  let value = ipToNumber(address);
  for (let i = 15; i >= 0; i--) {
    bytes[i] = Number(value & 255n);
    value >>= 8n;
  }
  return bytes;
}

/** @throws RangeError unless 4 or 16 bytes */
export function bytesToIp(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return numberToIp(value, 6);
}

/** @returns 6 bytes */
export function macToBytes(mac: MacAddress): Uint8Array {
  return Uint8Array.from(mac.split(':'), (pair) => Number.parseInt(pair, 16));
}

/** @throws RangeError unless 6 bytes */
export function bytesToMac(bytes: Uint8Array): MacAddress {
  if (bytes.length !== 6) throw new RangeError(`a MAC address has 6 bytes, not ${bytes.length}`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as MacAddress;
}

/** The prefix of `length` bits that holds the address. @throws RangeError if the family has no prefix of that length */
export function prefixOf(address: IpAddress, length: number): IpPrefix {
  const family = familyOf(address);
  if (!(length >= 0 && length <= addressBits(family))) throw new RangeError(`no IPv${family} prefix of ${length} bits`);
  const hostBits = BigInt(addressBits(family) - length);
  return `${numberToIp((ipToNumber(address) >> hostBits) << hostBits, family)}/${length}` as IpPrefix;
}

/** The prefix that holds one address alone: /32 or /128. */
export function hostPrefix(address: IpAddress): IpPrefix {
  return `${address}/${addressBits(familyOf(address))}` as IpPrefix;
}

export function prefixBase(prefix: IpPrefix): IpAddress {
  return prefix.slice(0, prefix.indexOf('/')) as IpAddress;
}

export function prefixLength(prefix: IpPrefix): number {
  return Number(prefix.slice(prefix.indexOf('/') + 1));
}

/** Number of addresses, network and broadcast ones included. */
export function prefixSize(prefix: IpPrefix): bigint {
  return 1n << BigInt(addressBits(familyOf(prefix)) - prefixLength(prefix));
}

/** The address `index` places after the base. @throws RangeError outside the prefix */
export function addressAt(prefix: IpPrefix, index: number | bigint): IpAddress {
  const offset = BigInt(index);
  if (offset < 0n || offset >= prefixSize(prefix)) throw new RangeError(`${prefix} has no address number ${offset}`);
  return numberToIp(ipToNumber(prefixBase(prefix)) + offset, familyOf(prefix));
}

/** Is `inner` (an address or a prefix) wholly inside `outer`? Families never mix. */
export function prefixContains(outer: IpPrefix, inner: IpAddress | IpPrefix): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false;
  const [address, length] = inner.includes('/')
    ? [prefixBase(inner as IpPrefix), prefixLength(inner as IpPrefix)]
    : [inner as IpAddress, addressBits(familyOf(inner))];
  return length >= prefixLength(outer) && prefixOf(address, prefixLength(outer)) === outer;
}

export function prefixesOverlap(a: IpPrefix, b: IpPrefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}

/**
 * The address as text whose byte order is numeric order: `010.128.004.000`, or eight full hex groups. For etcd keys.
 */
export function sortableIp(address: IpAddress): string {
  if (familyOf(address) === 4) {
    return address
      .split('.')
      .map((octet) => octet.padStart(3, '0'))
      .join('.');
  }
  const hex = ipToNumber(address).toString(16).padStart(32, '0');
  return hex.match(/.{4}/g)?.join(':') ?? hex;
}

/** Reverse of {@link sortableIp}: of several spellings of an address, that one alone. @throws AddressError */
export function parseSortableIp(text: string): IpAddress {
  const address = parseIp(text.includes(':') ? text : text.replace(/(?<!\d)0{1,2}(?=\d)/g, ''));
  if (sortableIp(address) !== text) throw new AddressError(text, 'an address in its sortable form');
  return address;
}
