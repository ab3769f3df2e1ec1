/**
 * Rules: a chain's list of expressions with a comment, and their messages. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_rule_attributes
 */
import type { ByteWriter } from '../../netlink/bytes.ts';
import type { Expression } from './expression.ts';
import { decodeExpression } from './expression-decode.ts';
import { encodeExpression } from './expression-encode.ts';
import { familyNumber, parseNftPayload, required, type TableRef, writeNftMessage } from './nfnetlink.ts';
import {
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_POSITION,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
} from './uapi.ts';
import { encodeComment, findComment } from './userdata.ts';

export interface Rule extends TableRef {
  readonly chain: string;
  readonly expressions: readonly Expression[];
  /** at most 128 bytes */
  readonly comment?: string;
}

/** A rule as the kernel has it. */
export interface ObservedRule extends Rule {
  readonly handle: bigint;
}

/** Names rules: all of a table, of a chain, or one by its handle. */
export interface RuleRef extends TableRef {
  readonly chain?: string;
  readonly handle?: bigint;
}

/** Where a rule goes: in the place of another, or before or after it (by the flags of the message). */
export interface RulePlace {
  readonly replaces?: bigint;
  readonly beside?: bigint;
}

/** Appends NFT_MSG_NEWRULE. @throws CodecError on a comment that is too long */
export function writeNewRule(out: ByteWriter, type: number, flags: number, rule: Rule, place: RulePlace = {}): void {
  const { family, table, chain, expressions, comment } = rule;
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(NFTA_RULE_TABLE, table).string(NFTA_RULE_CHAIN, chain);
    if (place.replaces !== undefined) attributes.u64be(NFTA_RULE_HANDLE, place.replaces);
    if (place.beside !== undefined) attributes.u64be(NFTA_RULE_POSITION, place.beside);
    attributes.nested(NFTA_RULE_EXPRESSIONS, (list) => {
      for (const expression of expressions) encodeExpression(list, expression);
    });
    if (comment !== undefined) attributes.bytes(NFTA_RULE_USERDATA, encodeComment(comment));
  });
}

/** Appends a message that only names rules: a deletion, a dump. */
export function writeRuleRef(out: ByteWriter, type: number, flags: number, rule: RuleRef): void {
  writeNftMessage(out, type, flags, familyNumber(rule.family), (attributes) => {
    attributes.string(NFTA_RULE_TABLE, rule.table);
    if (rule.chain !== undefined) attributes.string(NFTA_RULE_CHAIN, rule.chain);
    if (rule.handle !== undefined) attributes.u64be(NFTA_RULE_HANDLE, rule.handle);
  });
}

/** @returns undefined for a rule of a family not used here @throws CodecError */
export function parseRule(payload: Uint8Array): ObservedRule | undefined {
  const { family, attributes } = parseNftPayload(payload);
  if (family === undefined) return undefined;
  const userdata = attributes.get(NFTA_RULE_USERDATA);
  const comment = userdata && findComment(userdata.payload);
  return {
    family,
    table: required(attributes, NFTA_RULE_TABLE, 'the table of a rule').string(),
    chain: required(attributes, NFTA_RULE_CHAIN, 'the chain of a rule').string(),
    handle: attributes.get(NFTA_RULE_HANDLE)?.u64be() ?? 0n,
    expressions: attributes.get(NFTA_RULE_EXPRESSIONS)?.list().map(decodeExpression) ?? [],
    ...(comment === undefined ? {} : { comment }),
  };
}
