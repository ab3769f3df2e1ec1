/**
 * Routing policy rules that choose a table by addresses, incoming link or mark. Other actions are not read. Pure.
 * @see include/uapi/linux/fib_rules.h
 */
import { bytesToIp, familyOf, type IpPrefix, ipToBytes, prefixBase, prefixLength } from '../address.ts';
import { CodecError } from '../errors.ts';
import { type AttributeWriter, parseAttributes } from '../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, writeMessage } from '../netlink/message.ts';
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

/** @param payload of RTM_NEWRULE or RTM_DELRULE @returns undefined for an action other than a table @throws CodecError */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  const destinationLength = reader.u8();
  const sourceLength = reader.u8();
  reader.skip(1);
  const shortTable = reader.u8();
  reader.skip(2);
  const action = reader.u8();
  if (action !== u.FR_ACT_TO_TBL || (family !== u.AF_INET && family !== u.AF_INET6)) return undefined;
  const attributes = parseAttributes(payload, FIB_RULE_HDR);
  const size = family === u.AF_INET ? 4 : 16;
  const prefix = (type: number, length: number): IpPrefix | undefined => {
    const bytes = attributes.get(type)?.payload;
    if (bytes === undefined) return undefined;
    if (bytes.length !== size || length > size * 8)
      throw new CodecError(`a prefix of at most ${size * 8} bits`, FIB_RULE_HDR);
    return `${bytesToIp(bytes)}/${length}` as IpPrefix;
  };
  const source = prefix(u.FRA_SRC, sourceLength);
  const destination = prefix(u.FRA_DST, destinationLength);
  const inputLink = attributes.get(u.FRA_IIFNAME)?.string();
  const value = attributes.get(u.FRA_FWMARK)?.u32();
  const mask = attributes.get(u.FRA_FWMASK)?.u32() ?? 0xffffffff;
  return {
    family: family === u.AF_INET ? 4 : 6,
    // The kernel leaves out 0, which is that of the first rule of all.
    priority: attributes.get(u.FRA_PRIORITY)?.u32() ?? 0,
    table: attributes.get(u.FRA_TABLE)?.u32() ?? shortTable,
    protocol: attributes.get(u.FRA_PROTOCOL)?.u8() ?? 0,
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
    ...(inputLink === undefined ? {} : { inputLink }),
    ...(value === undefined ? {} : { mark: { value, mask } }),
  };
}
