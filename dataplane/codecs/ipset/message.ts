/**
 * ipset's messages as bytes: requests written, answers about sets read. Adding or deleting one member is the hot path, so what depends
 * on the set alone is written once. Pure.
 * @see include/uapi/linux/netfilter/ipset/ip_set.h; net/netfilter/ipset/ip_set_core.c, which attributes each command takes
 */
import { prefixOf } from '../../address.ts';
import { CodecError } from '../../errors.ts';
import {
  type Attribute,
  AttributeWriter,
  NLA_F_NESTED,
  NLA_F_NET_BYTEORDER,
  parseAttributes,
} from '../../netlink/attribute.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, writeMessage } from '../../netlink/message.ts';
import {
  familyNumber,
  type IpsetMember,
  type IpsetSpec,
  isIpsetType,
  readIp,
  readMember,
  writeMember,
  writeSpec,
} from './member.ts';
import * as u from './uapi.ts';

const NFGENMSG = 4;
/** A nested attribute's length is a u16; one member is far below the rest. */
const MAX_LIST = 0xffff - 256;

/** What a message of a listing says of a set. A set too large for one message is continued in the next, by name alone. */
export interface IpsetPart {
  readonly name: string;
  /** undefined in a continuation, and for types that are none of ours */
  readonly header: IpsetHeader | undefined;
  readonly members: readonly IpsetMember[];
}

export interface IpsetHeader {
  readonly spec: IpsetSpec;
  /** rules and lists that refer to it */
  readonly references: number;
  readonly elements: number;
  readonly memoryBytes: number;
}

/** Appends a request. @param family NFPROTO_* */
export function writeIpset(
  out: ByteWriter,
  command: number,
  flags: number,
  family: number,
  protocol: number,
  body: (attributes: AttributeWriter) => void,
): void {
  writeMessage(out, (u.NFNL_SUBSYS_IPSET << 8) | command, flags, (attributes) => {
    out.u8(family).u8(u.NFNETLINK_V0).u16be(0);
    attributes.u8(u.IPSET_ATTR_PROTOCOL, protocol);
    body(attributes);
  });
}

/** @param revision one that the kernel has of the type */
export function writeCreate(out: ByteWriter, spec: IpsetSpec, protocol: number, revision: number): void {
  const flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  writeIpset(out, u.IPSET_CMD_CREATE, flags, familyNumber(spec), protocol, (attributes) =>
    attributes
      .string(u.IPSET_ATTR_SETNAME, spec.name)
      .string(u.IPSET_ATTR_TYPENAME, spec.type)
      .u8(u.IPSET_ATTR_REVISION, revision)
      .u8(u.IPSET_ATTR_FAMILY, familyNumber(spec))
      .nested(u.IPSET_ATTR_DATA, (data) => writeSpec(data, spec)),
  );
}

/** A command about whole sets. @param other the second set of RENAME and SWAP */
export function writeNamed(out: ByteWriter, command: number, protocol: number, name: string, other?: string): void {
  writeIpset(out, command, NLM_F_ACK, u.NFPROTO_UNSPEC, protocol, (attributes) => {
    attributes.string(u.IPSET_ATTR_SETNAME, name);
    if (other !== undefined) attributes.string(u.IPSET_ATTR_SETNAME2, other);
  });
}

/** @param name one set; absent: all there are @param flags IPSET_FLAG_LIST_* */
export function writeList(out: ByteWriter, protocol: number, name: string | undefined, flags: number): void {
  writeIpset(out, u.IPSET_CMD_LIST, NLM_F_DUMP, u.NFPROTO_UNSPEC, protocol, (attributes) => {
    if (name !== undefined) attributes.string(u.IPSET_ATTR_SETNAME, name);
    if (flags !== 0) attributes.u32be(u.IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER, flags);
  });
}

/** Writes additions and deletions of one set's members. */
export class MemberWriter {
  readonly spec: IpsetSpec;
  /** nfgenmsg, protocol and name: the same in every message */
  readonly #head: Uint8Array;

  constructor(spec: IpsetSpec, protocol: number) {
    this.spec = spec;
    const out = new ByteWriter(64);
    out.u8(familyNumber(spec)).u8(u.NFNETLINK_V0).u16be(0);
    new AttributeWriter(out).u8(u.IPSET_ATTR_PROTOCOL, protocol).string(u.IPSET_ATTR_SETNAME, spec.name);
    this.#head = out.finish();
  }

  /**
   * Appends one message about one member. Adding what is there, and deleting what is not, is no error.
   * @param command IPSET_CMD_ADD or IPSET_CMD_DEL @throws CodecError for a member that is not of the set's type
   */
  writeOne(out: ByteWriter, command: number, member: IpsetMember): void {
    const start = this.#begin(out, command);
    const data = out.length;
    out.u16(0).u16(u.IPSET_ATTR_DATA | NLA_F_NESTED);
    writeMember(new AttributeWriter(out), this.spec, member);
    out.patchU16(data, out.length - data);
    out.patchU32(start, out.length - start);
  }

  /**
   * Appends one message about as many members as it can hold, from `first` on; a refusal does not say which of them it is about.
   * @returns the index of the first member left out
   */
  writeMany(out: ByteWriter, command: number, members: readonly IpsetMember[], first: number): number {
    const start = this.#begin(out, command);
    const attributes = new AttributeWriter(out);
    // Asked for by the kernel with more than one member; the number means nothing to us.
    attributes.u32be(u.IPSET_ATTR_LINENO | NLA_F_NET_BYTEORDER, 0);
    const list = out.length;
    out.u16(0).u16(u.IPSET_ATTR_ADT | NLA_F_NESTED);
    let next = first;
    for (; next < members.length && out.length - list < MAX_LIST; next++) {
      const data = out.length;
      out.u16(0).u16(u.IPSET_ATTR_DATA | NLA_F_NESTED);
      writeMember(attributes, this.spec, members[next] as IpsetMember);
      attributes.u32be(u.IPSET_ATTR_LINENO | NLA_F_NET_BYTEORDER, next - first);
      out.patchU16(data, out.length - data);
    }
    out.patchU16(list, out.length - list);
    out.patchU32(start, out.length - start);
    return next;
  }

  #begin(out: ByteWriter, command: number): number {
    const start = out.length;
    out
      .u32(0)
      .u16((u.NFNL_SUBSYS_IPSET << 8) | command)
      .u16(NLM_F_REQUEST | NLM_F_ACK)
      .u32(0)
      .u32(0)
      .bytes(this.#head);
    return start;
  }
}

/** Attributes of an answer. @throws CodecError */
export function parseIpset(payload: Uint8Array): ReadonlyMap<number, Attribute> {
  if (payload.length < NFGENMSG) throw new CodecError('a struct nfgenmsg');
  return parseAttributes(payload, NFGENMSG);
}

/**
 * Reads one message of a listing.
 * @param before header of the set that it may continue @throws CodecError
 */
export function parsePart(payload: Uint8Array, before: IpsetHeader | undefined): IpsetPart {
  const attributes = parseIpset(payload);
  const name = attributes.get(u.IPSET_ATTR_SETNAME)?.string();
  if (name === undefined) throw new CodecError('the name of a set');
  const type = attributes.get(u.IPSET_ATTR_TYPENAME)?.string();
  const header = type === undefined ? undefined : parseHeader(name, type, attributes);
  const spec = header?.spec ?? (before?.spec.name === name ? before.spec : undefined);
  const list = attributes.get(u.IPSET_ATTR_ADT)?.list() ?? [];
  return { name, header, members: spec === undefined ? [] : list.map((each) => readMember(spec.type, each.nested())) };
}

function parseHeader(name: string, type: string, attributes: ReadonlyMap<number, Attribute>): IpsetHeader | undefined {
  if (!isIpsetType(type)) return undefined;
  const data = attributes.get(u.IPSET_ATTR_DATA)?.nested() ?? new Map<number, Attribute>();
  const number = (attribute: number) => data.get(attribute)?.u32be();
  const family = attributes.get(u.IPSET_ATTR_FAMILY)?.u8() === u.NFPROTO_IPV6 ? 6 : 4;
  const hashSize = number(u.IPSET_ATTR_HASHSIZE);
  const maxElements = number(u.IPSET_ATTR_MAXELEM);
  const spec: IpsetSpec = {
    name,
    type,
    ...(type.startsWith('hash:') ? { family } : {}),
    ...(hashSize === undefined ? {} : { hashSize }),
    ...(maxElements === undefined ? {} : { maxElements }),
    ...rangeOf(data),
  };
  return {
    spec,
    references: number(u.IPSET_ATTR_REFERENCES) ?? 0,
    elements: number(u.IPSET_ATTR_ELEMENTS) ?? 0,
    memoryBytes: number(u.IPSET_ATTR_MEMSIZE) ?? 0,
  };
}

/** A bitmap's range, told as its first and last address. */
function rangeOf(data: ReadonlyMap<number, Attribute>): Pick<IpsetSpec, 'range'> {
  const from = data.get(u.IPSET_ATTR_IP);
  const to = data.get(u.IPSET_ATTR_IP_TO);
  if (from === undefined || to === undefined) return {};
  const [first, last] = [readIp(from), readIp(to)];
  const octets = (ip: string) => ip.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const length = 32 - Math.log2(octets(last) - octets(first) + 1);
  return Number.isInteger(length) ? { range: prefixOf(first, length) } : {};
}
