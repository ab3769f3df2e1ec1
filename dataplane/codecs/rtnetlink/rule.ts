/**
 * Routing policy rules that choose a table by addresses, incoming link or mark. Other actions are not read. Pure.
 * @see include/uapi/linux/fib_rules.h
 */
import { bytesToIp, familyOf, type IpPrefix, ipToBytes, prefixBase, prefixLength, prefixOf } from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { type Attribute, type AttributeWriter, parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

export interface Rule {
  readonly family: 4 | 6;
  /** rules are asked in this order, the lowest first */
  readonly priority: number;
  readonly table: number;
  /** who put it there: a number as of routes. Linux 4.17 */
  readonly protocol: number;
  readonly source?: IpPrefix;
  readonly destination?: IpPrefix;
  /** name of the link the packet came in by, which need not exist */
  readonly inputLink?: string;
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** struct fib_rule_hdr */
const FIB_RULE_HDR = 12;

/** EEXIST for one that is there. */
export function encodeAddRule(out: ByteWriter, rule: Rule): void {
  encode(out, u.RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, rule);
}

/** ENOENT for one that is not there. */
export function encodeDelRule(out: ByteWriter, rule: Rule): void {
  encode(out, u.RTM_DELRULE, NLM_F_ACK, rule);
}

function encode(out: ByteWriter, type: number, flags: number, rule: Rule): void {
  const { family, source, destination, inputLink, mark } = rule;
  for (const prefix of [source, destination]) {
    if (prefix !== undefined && familyOf(prefix) !== family)
      throw new CodecError(`an IPv${family} prefix, got ${prefix}`);
  }
  writeMessage(out, type, flags, (message) => {
    out
      .u8(family === 4 ? u.AF_INET : u.AF_INET6)
      .u8(destination === undefined ? 0 : prefixLength(destination))
      .u8(source === undefined ? 0 : prefixLength(source))
      .u8(0);
    // Tables above 255 stand in the attribute alone.
    out
      .u8(rule.table < 256 ? rule.table : 0)
      .zeros(2)
      .u8(u.FR_ACT_TO_TBL)
      .u32(0);
    message.u32(u.FRA_PRIORITY, rule.priority).u32(u.FRA_TABLE, rule.table).u8(u.FRA_PROTOCOL, rule.protocol);
    writePrefix(message, u.FRA_SRC, source);
    writePrefix(message, u.FRA_DST, destination);
    if (inputLink !== undefined) message.string(u.FRA_IIFNAME, inputLink);
    if (mark !== undefined) message.u32(u.FRA_FWMARK, mark.value).u32(u.FRA_FWMASK, mark.mask);
  });
}

function writePrefix(message: AttributeWriter, type: number, prefix: IpPrefix | undefined): void {
  if (prefix !== undefined) message.bytes(type, ipToBytes(prefixBase(prefix)));
}

export function encodeGetRules(out: ByteWriter, family: 4 | 6): void {
  writeMessage(out, u.RTM_GETRULE, NLM_F_DUMP, () => {
    out.u8(family === 4 ? u.AF_INET : u.AF_INET6).zeros(FIB_RULE_HDR - 1);
  });
}

/** What a rule may carry without asking for more than {@link Rule} can say. */
const KNOWN = new Set<number>([
  u.FRA_DST,
  u.FRA_SRC,
  u.FRA_IIFNAME,
  u.FRA_PRIORITY,
  u.FRA_FWMARK,
  u.FRA_TABLE,
  u.FRA_FWMASK,
  u.FRA_PAD,
  u.FRA_PROTOCOL,
]);
/** what the kernel says of every rule that suppresses nothing */
const SUPPRESS_NOTHING = 0xffffffff;

/**
 * @param payload of RTM_NEWRULE or RTM_DELRULE
 * @returns undefined for kinds of rule that Tenet never makes: another action than a table, `not`, users, ports and the like
 * @throws CodecError
 */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  const [destinationLength, sourceLength, tos, shortTable] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  reader.skip(2);
  const action = reader.u8();
  const flags = reader.u32() & ~u.FIB_RULE_IIF_DETACHED;
  const attributes = parseAttributes(payload, FIB_RULE_HDR);
  if (family !== u.AF_INET && family !== u.AF_INET6) return undefined;
  if (action !== u.FR_ACT_TO_TBL || flags !== 0 || tos !== 0 || asksForMore(attributes)) return undefined;

  const bits = family === u.AF_INET ? 32 : 128;
  const source = decodePrefix(attributes.get(u.FRA_SRC), sourceLength, bits);
  const destination = decodePrefix(attributes.get(u.FRA_DST), destinationLength, bits);
  const inputLink = attributes.get(u.FRA_IIFNAME)?.string();
  const value = attributes.get(u.FRA_FWMARK)?.u32();
  const mask = attributes.get(u.FRA_FWMASK)?.u32();
  // The kernel leaves out a mark of 0, and a priority of 0, which is that of the first rule of all.
  return {
    family: family === u.AF_INET ? 4 : 6,
    priority: attributes.get(u.FRA_PRIORITY)?.u32() ?? 0,
    table: attributes.get(u.FRA_TABLE)?.u32() ?? shortTable,
    protocol: attributes.get(u.FRA_PROTOCOL)?.u8() ?? 0,
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
    ...(inputLink === undefined ? {} : { inputLink }),
    ...((value ?? mask) === undefined ? {} : { mark: { value: value ?? 0, mask: mask ?? 0xffffffff } }),
  };
}

function asksForMore(attributes: ReadonlyMap<number, Attribute>): boolean {
  for (const [type, attribute] of attributes) {
    if (KNOWN.has(type)) continue;
    if (type !== u.FRA_SUPPRESS_PREFIXLEN || attribute.u32() !== SUPPRESS_NOTHING) return true;
  }
  return false;
}

function decodePrefix(base: Attribute | undefined, length: number, bits: 32 | 128): IpPrefix | undefined {
  if (base === undefined) return undefined;
  if (base.payload.length * 8 !== bits || length > bits) {
    throw new CodecError(`a prefix of at most ${bits} bits`, base.offset);
  }
  // The kernel keeps the host bits that it was given, and ignores them.
  return prefixOf(bytesToIp(base.payload), length);
}
