/**
 * Expressions to attributes, in the order libnftnl writes them, so that bytes can be compared with nft's own. Only what
 * expression.ts describes. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h
 */
import { CodecError } from '../../errors.ts';
import type { AttributeWriter } from '../../netlink/attribute.ts';
import { writeValue, writeVerdict } from './data.ts';
import type {
  AddToSet,
  Bitwise,
  ConnectionLimit,
  Expression,
  Exthdr,
  KnownExpression,
  Limit,
  Log,
  Lookup,
} from './expression.ts';
import * as nft from './expression-uapi.ts';
import { NFT_REG_VERDICT, NFTA_LIST_ELEM } from './uapi.ts';

/**
 * Writes one expression.
 * @param type of the attribute that holds it
 * @throws CodecError on a mask and a xor of different length
 */
export function encodeExpression(attributes: AttributeWriter, expression: Expression, type = NFTA_LIST_ELEM): void {
  attributes.nested(type, (element) => {
    element.string(nft.NFTA_EXPR_NAME, expressionName(expression));
    if (expression.kind === 'notrack') return;
    element.nested(nft.NFTA_EXPR_DATA, (data) => {
      if (expression.kind === 'unknown') data.out.bytes(expression.data);
      else encodeKnown(data, expression);
    });
  });
}

/** The kernel's name for the expression. */
function expressionName(expression: Expression): string {
  switch (expression.kind) {
    case 'unknown':
      return expression.name;
    case 'metaSet':
      return 'meta';
    case 'verdict':
      return 'immediate';
    default:
      return expression.kind;
  }
}

/** Writes the content of NFTA_EXPR_DATA. */
function encodeKnown(data: AttributeWriter, expression: KnownExpression): void {
  switch (expression.kind) {
    case 'payload':
      data.u32be(nft.NFTA_PAYLOAD_DREG, expression.dreg).u32be(nft.NFTA_PAYLOAD_BASE, expression.base);
      data.u32be(nft.NFTA_PAYLOAD_OFFSET, expression.offset).u32be(nft.NFTA_PAYLOAD_LEN, expression.length);
      return;
    case 'meta':
      data.u32be(nft.NFTA_META_KEY, expression.key).u32be(nft.NFTA_META_DREG, expression.dreg);
      return;
    case 'metaSet':
      data.u32be(nft.NFTA_META_KEY, expression.key).u32be(nft.NFTA_META_SREG, expression.sreg);
      return;
    case 'ct':
      data.u32be(nft.NFTA_CT_KEY, expression.key).u32be(nft.NFTA_CT_DREG, expression.dreg);
      if (expression.direction !== undefined) data.u8(nft.NFTA_CT_DIRECTION, expression.direction);
      return;
    case 'cmp':
      data.u32be(nft.NFTA_CMP_SREG, expression.sreg).u32be(nft.NFTA_CMP_OP, expression.op);
      writeValue(data, nft.NFTA_CMP_DATA, expression.data);
      return;
    case 'range':
      data.u32be(nft.NFTA_RANGE_SREG, expression.sreg).u32be(nft.NFTA_RANGE_OP, expression.op);
      writeValue(data, nft.NFTA_RANGE_FROM_DATA, expression.from);
      writeValue(data, nft.NFTA_RANGE_TO_DATA, expression.to);
      return;
    case 'bitwise':
      encodeBitwise(data, expression);
      return;
    case 'lookup':
      encodeLookup(data, expression);
      return;
    case 'dynset':
      encodeAddToSet(data, expression);
      return;
    case 'connlimit':
      encodeConnectionLimit(data, expression);
      return;
    default:
      encodeStatement(data, expression);
  }
}

type Statement = Exclude<
  KnownExpression,
  { kind: 'payload' | 'meta' | 'metaSet' | 'ct' | 'cmp' | 'range' | 'bitwise' | 'lookup' | 'dynset' | 'connlimit' }
>;

function encodeStatement(data: AttributeWriter, expression: Statement): void {
  switch (expression.kind) {
    case 'immediate':
      data.u32be(nft.NFTA_IMMEDIATE_DREG, expression.dreg);
      writeValue(data, nft.NFTA_IMMEDIATE_DATA, expression.data);
      return;
    case 'verdict':
      data.u32be(nft.NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
      writeVerdict(data, nft.NFTA_IMMEDIATE_DATA, expression.verdict);
      return;
    case 'counter':
      if (expression.bytes !== 0n) data.u64be(nft.NFTA_COUNTER_BYTES, expression.bytes);
      if (expression.packets !== 0n) data.u64be(nft.NFTA_COUNTER_PACKETS, expression.packets);
      return;
    case 'limit':
      encodeLimit(data, expression);
      return;
    case 'masq':
      optionalU32(data, nft.NFTA_MASQ_FLAGS, expression.flags);
      optionalU32(data, nft.NFTA_MASQ_REG_PROTO_MIN, expression.protoMin);
      optionalU32(data, nft.NFTA_MASQ_REG_PROTO_MAX, expression.protoMax);
      return;
    case 'fib':
      data.u32be(nft.NFTA_FIB_FLAGS, expression.flags).u32be(nft.NFTA_FIB_RESULT, expression.result);
      data.u32be(nft.NFTA_FIB_DREG, expression.dreg);
      return;
    case 'exthdr':
      encodeExthdr(data, expression);
      return;
    case 'log':
      encodeLog(data, expression);
      return;
    case 'reject':
      data.u32be(nft.NFTA_REJECT_TYPE, expression.type).u8(nft.NFTA_REJECT_ICMP_CODE, expression.code);
      return;
    case 'notrack':
      return;
  }
}

function optionalU32(data: AttributeWriter, type: number, value: number | undefined): void {
  if (value !== undefined) data.u32be(type, value);
}

function encodeBitwise(data: AttributeWriter, { sreg, dreg, mask, xor }: Bitwise): void {
  if (mask.length !== xor.length) throw new CodecError(`a xor of ${mask.length} bytes, got ${xor.length}`);
  data.u32be(nft.NFTA_BITWISE_SREG, sreg).u32be(nft.NFTA_BITWISE_DREG, dreg);
  data.u32be(nft.NFTA_BITWISE_OP, nft.NFT_BITWISE_MASK_XOR).u32be(nft.NFTA_BITWISE_LEN, mask.length);
  writeValue(data, nft.NFTA_BITWISE_MASK, mask);
  writeValue(data, nft.NFTA_BITWISE_XOR, xor);
}

function encodeLookup(data: AttributeWriter, { set, setId, sreg, dreg, inverted }: Lookup): void {
  data.u32be(nft.NFTA_LOOKUP_SREG, sreg);
  optionalU32(data, nft.NFTA_LOOKUP_DREG, dreg);
  data.string(nft.NFTA_LOOKUP_SET, set);
  optionalU32(data, nft.NFTA_LOOKUP_SET_ID, setId);
  if (inverted) data.u32be(nft.NFTA_LOOKUP_FLAGS, nft.NFT_LOOKUP_F_INV);
}

function encodeAddToSet(data: AttributeWriter, { set, setId, sregKey, expression }: AddToSet): void {
  data.u32be(nft.NFTA_DYNSET_SREG_KEY, sregKey).u32be(nft.NFTA_DYNSET_OP, nft.NFT_DYNSET_OP_ADD);
  data.string(nft.NFTA_DYNSET_SET_NAME, set);
  optionalU32(data, nft.NFTA_DYNSET_SET_ID, setId);
  encodeExpression(data, expression, nft.NFTA_DYNSET_EXPR);
}

function encodeConnectionLimit(data: AttributeWriter, { count, inverted }: ConnectionLimit): void {
  data.u32be(nft.NFTA_CONNLIMIT_COUNT, count);
  data.u32be(nft.NFTA_CONNLIMIT_FLAGS, inverted ? nft.NFT_CONNLIMIT_F_INV : 0);
}

function encodeLimit(data: AttributeWriter, { rate, unitSeconds, burst, type, inverted }: Limit): void {
  data.u64be(nft.NFTA_LIMIT_RATE, rate).u64be(nft.NFTA_LIMIT_UNIT, unitSeconds);
  if (burst !== 0) data.u32be(nft.NFTA_LIMIT_BURST, burst);
  data.u32be(nft.NFTA_LIMIT_TYPE, type).u32be(nft.NFTA_LIMIT_FLAGS, inverted ? nft.NFT_LIMIT_F_INV : 0);
}

function encodeExthdr(data: AttributeWriter, { op, type, offset, length, flags, dreg }: Exthdr): void {
  data.u32be(nft.NFTA_EXTHDR_DREG, dreg).u8(nft.NFTA_EXTHDR_TYPE, type);
  data.u32be(nft.NFTA_EXTHDR_OFFSET, offset).u32be(nft.NFTA_EXTHDR_LEN, length);
  data.u32be(nft.NFTA_EXTHDR_OP, op).u32be(nft.NFTA_EXTHDR_FLAGS, flags);
}

function encodeLog(data: AttributeWriter, { prefix, group, snaplen, queueThreshold, level, flags }: Log): void {
  if (prefix !== undefined) data.string(nft.NFTA_LOG_PREFIX, prefix);
  if (group !== undefined) data.u16be(nft.NFTA_LOG_GROUP, group);
  optionalU32(data, nft.NFTA_LOG_SNAPLEN, snaplen);
  if (queueThreshold !== undefined) data.u16be(nft.NFTA_LOG_QTHRESHOLD, queueThreshold);
  optionalU32(data, nft.NFTA_LOG_LEVEL, level);
  optionalU32(data, nft.NFTA_LOG_FLAGS, flags);
}
