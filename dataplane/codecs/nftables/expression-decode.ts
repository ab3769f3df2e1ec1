/**
 * Attributes to expressions: the way back of expression-encode.ts, for what a dump returns. Leaves out what the kernel fills in
 * by itself. A form that expression.ts does not describe (a bit shift, say) is kept as bytes. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h
 */
import type { Attribute } from '../../netlink/attribute.ts';
import { readValue, readVerdict } from './data.ts';
import type {
  AddToSet,
  ConnectionLimit,
  CtLoad,
  Expression,
  Exthdr,
  KnownExpression,
  Limit,
  Log,
  Lookup,
  Masquerade,
} from './expression.ts';
import * as nft from './expression-uapi.ts';
import { required } from './nfnetlink.ts';

type Attributes = ReadonlyMap<number, Attribute>;

/** Reads the payload of one NFTA_LIST_ELEM. @throws CodecError on a known expression without what it needs */
export function decodeExpression(element: Attribute): Expression {
  const attributes = element.nested();
  const name = required(attributes, nft.NFTA_EXPR_NAME, 'the name of an expression').string();
  const data = attributes.get(nft.NFTA_EXPR_DATA);
  const known = DECODERS.get(name)?.(data?.nested() ?? new Map());
  return known ?? { kind: 'unknown', name, data: data?.payload.slice() ?? new Uint8Array() };
}

const DECODERS: ReadonlyMap<string, (data: Attributes) => KnownExpression | undefined> = new Map([
  ['payload', decodePayload],
  ['meta', decodeMeta],
  ['ct', decodeCt],
  ['cmp', decodeCmp],
  ['range', decodeRange],
  ['bitwise', decodeBitwise],
  ['lookup', decodeLookup],
  ['dynset', decodeAddToSet],
  ['connlimit', decodeConnectionLimit],
  ['immediate', decodeImmediate],
  ['counter', decodeCounter],
  ['limit', decodeLimit],
  ['masq', decodeMasquerade],
  ['fib', decodeFib],
  ['exthdr', decodeExthdr],
  ['log', decodeLog],
  ['reject', decodeReject],
  ['notrack', (): KnownExpression => ({ kind: 'notrack' })],
]);

function u32(data: Attributes, type: number): number {
  return required(data, type, 'a 32-bit number').u32be();
}

function optionalU32(data: Attributes, type: number): number | undefined {
  return data.get(type)?.u32be();
}

function value(data: Attributes, type: number): Uint8Array {
  return readValue(required(data, type, 'a value'));
}

/** The object without its undefined properties. */
function defined<T extends object>(object: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(object).filter(([, field]) => field !== undefined)) as T;
}

function decodePayload(data: Attributes): KnownExpression | undefined {
  if (data.has(nft.NFTA_PAYLOAD_SREG)) return undefined;
  return {
    kind: 'payload',
    base: u32(data, nft.NFTA_PAYLOAD_BASE),
    offset: u32(data, nft.NFTA_PAYLOAD_OFFSET),
    length: u32(data, nft.NFTA_PAYLOAD_LEN),
    dreg: u32(data, nft.NFTA_PAYLOAD_DREG),
  };
}

function decodeMeta(data: Attributes): KnownExpression {
  const key = u32(data, nft.NFTA_META_KEY);
  const sreg = optionalU32(data, nft.NFTA_META_SREG);
  return sreg === undefined
    ? { kind: 'meta', key, dreg: u32(data, nft.NFTA_META_DREG) }
    : { kind: 'metaSet', key, sreg };
}

function decodeCt(data: Attributes): KnownExpression | undefined {
  if (data.has(nft.NFTA_CT_SREG)) return undefined;
  return defined<CtLoad>({
    kind: 'ct',
    key: u32(data, nft.NFTA_CT_KEY),
    dreg: u32(data, nft.NFTA_CT_DREG),
    direction: data.get(nft.NFTA_CT_DIRECTION)?.u8(),
  });
}

function decodeCmp(data: Attributes): KnownExpression {
  return {
    kind: 'cmp',
    op: u32(data, nft.NFTA_CMP_OP),
    sreg: u32(data, nft.NFTA_CMP_SREG),
    data: value(data, nft.NFTA_CMP_DATA),
  };
}

function decodeRange(data: Attributes): KnownExpression {
  return {
    kind: 'range',
    op: u32(data, nft.NFTA_RANGE_OP),
    sreg: u32(data, nft.NFTA_RANGE_SREG),
    from: value(data, nft.NFTA_RANGE_FROM_DATA),
    to: value(data, nft.NFTA_RANGE_TO_DATA),
  };
}

/** Kernels before 5.6 know one operation and name none. */
function decodeBitwise(data: Attributes): KnownExpression | undefined {
  const op = optionalU32(data, nft.NFTA_BITWISE_OP) ?? nft.NFT_BITWISE_MASK_XOR;
  if (op !== nft.NFT_BITWISE_MASK_XOR) return undefined;
  const mask = value(data, nft.NFTA_BITWISE_MASK);
  const xor = value(data, nft.NFTA_BITWISE_XOR);
  if (mask.length !== xor.length) return undefined;
  return { kind: 'bitwise', sreg: u32(data, nft.NFTA_BITWISE_SREG), dreg: u32(data, nft.NFTA_BITWISE_DREG), mask, xor };
}

function decodeLookup(data: Attributes): KnownExpression {
  return defined<Lookup>({
    kind: 'lookup',
    set: required(data, nft.NFTA_LOOKUP_SET, 'the name of a set').string(),
    setId: optionalU32(data, nft.NFTA_LOOKUP_SET_ID),
    sreg: u32(data, nft.NFTA_LOOKUP_SREG),
    dreg: optionalU32(data, nft.NFTA_LOOKUP_DREG),
    inverted: ((optionalU32(data, nft.NFTA_LOOKUP_FLAGS) ?? 0) & nft.NFT_LOOKUP_F_INV) !== 0,
  });
}

/** Only what is added without data, for no time of its own, and with a limit. */
function decodeAddToSet(data: Attributes): AddToSet | undefined {
  const others = [nft.NFTA_DYNSET_SREG_DATA, nft.NFTA_DYNSET_TIMEOUT, nft.NFTA_DYNSET_EXPRESSIONS];
  const held = data.get(nft.NFTA_DYNSET_EXPR);
  if (u32(data, nft.NFTA_DYNSET_OP) !== nft.NFT_DYNSET_OP_ADD || held === undefined) return undefined;
  if (optionalU32(data, nft.NFTA_DYNSET_FLAGS) || others.some((other) => data.has(other))) return undefined;
  const expression = decodeExpression(held);
  if (expression.kind !== 'connlimit' && expression.kind !== 'limit') return undefined;
  return defined<AddToSet>({
    kind: 'dynset',
    set: required(data, nft.NFTA_DYNSET_SET_NAME, 'the name of a set').string(),
    setId: optionalU32(data, nft.NFTA_DYNSET_SET_ID),
    sregKey: u32(data, nft.NFTA_DYNSET_SREG_KEY),
    expression,
  });
}

function decodeConnectionLimit(data: Attributes): ConnectionLimit {
  return {
    kind: 'connlimit',
    count: u32(data, nft.NFTA_CONNLIMIT_COUNT),
    inverted: ((optionalU32(data, nft.NFTA_CONNLIMIT_FLAGS) ?? 0) & nft.NFT_CONNLIMIT_F_INV) !== 0,
  };
}

function decodeImmediate(data: Attributes): KnownExpression {
  const content = required(data, nft.NFTA_IMMEDIATE_DATA, 'a value or a verdict');
  const verdict = readVerdict(content);
  if (verdict !== undefined) return { kind: 'verdict', verdict };
  return { kind: 'immediate', dreg: u32(data, nft.NFTA_IMMEDIATE_DREG), data: readValue(content) };
}

function decodeCounter(data: Attributes): KnownExpression {
  return {
    kind: 'counter',
    packets: data.get(nft.NFTA_COUNTER_PACKETS)?.u64be() ?? 0n,
    bytes: data.get(nft.NFTA_COUNTER_BYTES)?.u64be() ?? 0n,
  };
}

function decodeLimit(data: Attributes): Limit {
  return {
    kind: 'limit',
    rate: required(data, nft.NFTA_LIMIT_RATE, 'a rate').u64be(),
    unitSeconds: required(data, nft.NFTA_LIMIT_UNIT, 'a unit').u64be(),
    burst: optionalU32(data, nft.NFTA_LIMIT_BURST) ?? 0,
    type: optionalU32(data, nft.NFTA_LIMIT_TYPE) ?? nft.NFT_LIMIT_PKTS,
    inverted: ((optionalU32(data, nft.NFTA_LIMIT_FLAGS) ?? 0) & nft.NFT_LIMIT_F_INV) !== 0,
  };
}

function decodeMasquerade(data: Attributes): KnownExpression {
  return defined<Masquerade>({
    kind: 'masq',
    flags: optionalU32(data, nft.NFTA_MASQ_FLAGS),
    protoMin: optionalU32(data, nft.NFTA_MASQ_REG_PROTO_MIN),
    protoMax: optionalU32(data, nft.NFTA_MASQ_REG_PROTO_MAX),
  });
}

function decodeFib(data: Attributes): KnownExpression {
  return {
    kind: 'fib',
    result: u32(data, nft.NFTA_FIB_RESULT),
    flags: u32(data, nft.NFTA_FIB_FLAGS),
    dreg: u32(data, nft.NFTA_FIB_DREG),
  };
}

function decodeExthdr(data: Attributes): Exthdr | undefined {
  const dreg = optionalU32(data, nft.NFTA_EXTHDR_DREG);
  if (dreg === undefined) return undefined;
  return {
    kind: 'exthdr',
    op: optionalU32(data, nft.NFTA_EXTHDR_OP) ?? nft.NFT_EXTHDR_OP_IPV6,
    type: required(data, nft.NFTA_EXTHDR_TYPE, 'a header or option type').u8(),
    offset: u32(data, nft.NFTA_EXTHDR_OFFSET),
    length: u32(data, nft.NFTA_EXTHDR_LEN),
    flags: optionalU32(data, nft.NFTA_EXTHDR_FLAGS) ?? 0,
    dreg,
  };
}

function decodeLog(data: Attributes): KnownExpression {
  return defined<Log>({
    kind: 'log',
    prefix: data.get(nft.NFTA_LOG_PREFIX)?.string(),
    group: data.get(nft.NFTA_LOG_GROUP)?.u16be(),
    snaplen: optionalU32(data, nft.NFTA_LOG_SNAPLEN),
    queueThreshold: data.get(nft.NFTA_LOG_QTHRESHOLD)?.u16be(),
    level: optionalU32(data, nft.NFTA_LOG_LEVEL),
    flags: optionalU32(data, nft.NFTA_LOG_FLAGS),
  });
}

function decodeReject(data: Attributes): KnownExpression {
  return {
    kind: 'reject',
    type: u32(data, nft.NFTA_REJECT_TYPE),
    code: data.get(nft.NFTA_REJECT_ICMP_CODE)?.u8() ?? 0,
  };
}
