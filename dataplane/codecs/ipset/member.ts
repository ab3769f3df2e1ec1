/**
 * Sets and their members as attributes, both ways: which fields a type has is in one table. Pure.
 * @see net/netfilter/ipset/ip_set_hash_netiface.c and its neighbours: which attributes a type reads and writes
 */
import {
  addressBits,
  bytesToIp,
  bytesToMac,
  familyOf,
  type IpAddress,
  type IpPrefix,
  ipToBytes,
  type MacAddress,
  macToBytes,
  parsePrefix,
  prefixBase,
  prefixLength,
} from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { type Attribute, type AttributeWriter, NLA_F_NET_BYTEORDER } from '../../netlink/attribute.ts';
import * as u from './uapi.ts';

export type IpsetType = 'hash:ip' | 'hash:net' | 'hash:ip,port' | 'hash:net,iface' | 'bitmap:ip,mac' | 'list:set';

/** A set as it is created. */
export interface IpsetSpec {
  readonly name: string;
  readonly type: IpsetType;
  /** of hashes, 4 unless given */
  readonly family?: 4 | 6;
  /** of hashes, 65,536 unless given; a set grows by itself, but never beyond this */
  readonly maxElements?: number;
  /** of hashes, buckets at first, 1024 unless given */
  readonly hashSize?: number;
  /** members count the packets that match them */
  readonly counters?: true;
  /** of bitmaps: the addresses it is for, 65,536 at most */
  readonly range?: IpPrefix;
}

/** A member; which fields it has is the set's type's. */
export interface IpsetMember {
  /** a prefix in `net` types, where an address alone is a prefix of full length */
  readonly address?: IpAddress | IpPrefix;
  /** IP protocol number */
  readonly protocol?: number;
  readonly port?: number;
  readonly link?: string;
  readonly mac?: MacAddress;
  /** name of a set, in lists */
  readonly set?: string;
  /** of `net` types: what is inside is no member, unless a longer prefix says so */
  readonly nomatch?: true;
  /** that matched, in a set that counts; only read */
  readonly packets?: number;
}

type Part = 'ip' | 'net' | 'port' | 'iface' | 'mac' | 'set';

const PARTS: Readonly<Record<IpsetType, readonly Part[]>> = {
  'hash:ip': ['ip'],
  'hash:net': ['net'],
  'hash:ip,port': ['ip', 'port'],
  'hash:net,iface': ['net', 'iface'],
  'bitmap:ip,mac': ['ip', 'mac'],
  'list:set': ['set'],
};

export function isIpsetType(type: string): type is IpsetType {
  return Object.hasOwn(PARTS, type);
}

/** NFPROTO_* of a set. */
export function familyNumber({ type, family = 4 }: IpsetSpec): number {
  if (type === 'list:set') return u.NFPROTO_UNSPEC;
  return family === 4 ? u.NFPROTO_IPV4 : u.NFPROTO_IPV6;
}

/** Writes what a set is created with. */
export function writeSpec(data: AttributeWriter, spec: IpsetSpec): void {
  if (spec.type === 'bitmap:ip,mac') {
    if (spec.range === undefined) throw new CodecError(`a range for set ${spec.name}`);
    writeIp(data, u.IPSET_ATTR_IP, prefixBase(spec.range));
    data.u8(u.IPSET_ATTR_CIDR, prefixLength(spec.range));
  } else if (spec.type !== 'list:set') {
    if (spec.hashSize !== undefined) data.u32be(u.IPSET_ATTR_HASHSIZE | NLA_F_NET_BYTEORDER, spec.hashSize);
    if (spec.maxElements !== undefined) data.u32be(u.IPSET_ATTR_MAXELEM | NLA_F_NET_BYTEORDER, spec.maxElements);
  }
  if (spec.counters === true) data.u32be(u.IPSET_ATTR_CADT_FLAGS | NLA_F_NET_BYTEORDER, u.IPSET_FLAG_WITH_COUNTERS);
}

/** Writes a member's fields, in place of IPSET_ATTR_DATA's. @throws CodecError for one that is not of the set's type */
export function writeMember(data: AttributeWriter, { name, type, family = 4 }: IpsetSpec, member: IpsetMember): void {
  const lacks = (what: string) => new CodecError(`${what} for a member of set ${name}, a ${type}`);
  for (const part of PARTS[type]) {
    const { address, protocol, port, link, mac, set } = member;
    switch (part) {
      case 'ip':
      case 'net': {
        if (address === undefined) throw lacks('an address');
        const [base = '', length] = address.split('/');
        const ip = base as IpAddress;
        if (familyOf(ip) !== family) throw lacks(`an IPv${family} address`);
        if (part === 'ip' && length !== undefined && Number(length) !== addressBits(family)) throw lacks('one address');
        writeIp(data, u.IPSET_ATTR_IP, ip);
        if (part === 'net') data.u8(u.IPSET_ATTR_CIDR, length === undefined ? addressBits(family) : Number(length));
        break;
      }
      case 'port':
        if (port === undefined || protocol === undefined) throw lacks('a protocol and port');
        data.u16be(u.IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, port).u8(u.IPSET_ATTR_PROTO, protocol);
        break;
      case 'iface':
        if (link === undefined) throw lacks('a link');
        data.string(u.IPSET_ATTR_IFACE, link);
        break;
      case 'mac':
        if (mac === undefined) throw lacks('a MAC');
        data.bytes(u.IPSET_ATTR_ETHER, macToBytes(mac));
        break;
      default:
        if (set === undefined) throw lacks('a set');
        data.string(u.IPSET_ATTR_NAME, set);
    }
  }
  if (member.nomatch === true) data.u32be(u.IPSET_ATTR_CADT_FLAGS | NLA_F_NET_BYTEORDER, u.IPSET_FLAG_NOMATCH);
}

/** @param attributes of one IPSET_ATTR_DATA of a dump @throws CodecError */
export function readMember(type: IpsetType, attributes: ReadonlyMap<number, Attribute>): IpsetMember {
  const get = (attribute: number): Attribute => {
    const found = attributes.get(attribute);
    if (found === undefined) throw new CodecError(`attribute ${attribute} in a member of a ${type}`);
    return found;
  };
  const member: { -readonly [K in keyof IpsetMember]: IpsetMember[K] } = {};
  for (const part of PARTS[type]) {
    if (part === 'ip') member.address = readIp(get(u.IPSET_ATTR_IP));
    else if (part === 'net') {
      const ip = readIp(get(u.IPSET_ATTR_IP));
      const length = attributes.get(u.IPSET_ATTR_CIDR)?.u8() ?? addressBits(familyOf(ip));
      if (length > addressBits(familyOf(ip))) throw new CodecError(`a prefix length, got ${length}`);
      member.address = parsePrefix(`${ip}/${length}`);
    } else if (part === 'port') {
      member.protocol = get(u.IPSET_ATTR_PROTO).u8();
      member.port = get(u.IPSET_ATTR_PORT).u16be();
    } else if (part === 'iface') member.link = get(u.IPSET_ATTR_IFACE).string();
    else if (part === 'mac') {
      const mac = attributes.get(u.IPSET_ATTR_ETHER)?.payload;
      if (mac?.length === 6) member.mac = bytesToMac(mac);
    } else member.set = get(u.IPSET_ATTR_NAME).string();
  }
  if (((attributes.get(u.IPSET_ATTR_CADT_FLAGS)?.u32be() ?? 0) & u.IPSET_FLAG_NOMATCH) !== 0) member.nomatch = true;
  const packets = attributes.get(u.IPSET_ATTR_PACKETS)?.u64be();
  if (packets !== undefined) member.packets = Number(packets);
  return member;
}

/** As `ipset list` shows it: `10.0.0.0/24,tnt42`. */
export function formatMember({ address, protocol, port, link, mac, set, nomatch }: IpsetMember): string {
  const service = port === undefined ? undefined : `${protocol}:${port}`;
  const parts = [address, service, link, mac, set].filter((part) => part !== undefined).join(',');
  return nomatch === true ? `${parts} nomatch` : parts;
}

function writeIp(data: AttributeWriter, type: number, address: IpAddress): void {
  const inner = familyOf(address) === 4 ? u.IPSET_ATTR_IPADDR_IPV4 : u.IPSET_ATTR_IPADDR_IPV6;
  data.nested(type, (ip) => ip.bytes(inner | NLA_F_NET_BYTEORDER, ipToBytes(address)));
}

/** @throws CodecError */
export function readIp(attribute: Attribute): IpAddress {
  const inner = attribute.nested();
  const found = inner.get(u.IPSET_ATTR_IPADDR_IPV4) ?? inner.get(u.IPSET_ATTR_IPADDR_IPV6);
  const size = found?.type === u.IPSET_ATTR_IPADDR_IPV4 ? 4 : 16;
  if (found?.payload.length !== size) throw new CodecError('an address', attribute.offset);
  return bytesToIp(found.payload);
}
