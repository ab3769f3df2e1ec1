/**
 * Parts of rules that decide whether the rule goes on: comparisons of fields with values, look-ups of fields in sets. Written as
 * nft writes them, so that `nft list` reads them back. Pure.
 */
import { addressBits, familyOf, type IpPrefix, ipToBytes, prefixBase, prefixLength } from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { DATA_TYPES, type FieldValue } from './data-type.ts';
import type { Expression } from './expression.ts';
import * as nft from './expression-uapi.ts';
import type { Field } from './field.ts';
import { type RuleContext, type RulePart, register } from './rule-builder.ts';
import type { NftSet } from './set.ts';

function registerWords(field: Field): number {
  return Math.ceil(DATA_TYPES[field.type].length / 4);
}

/** Loads a field into the register that begins at a word, and leaves the bits that count. */
function load({ source, mask }: Field, word = 0): Expression[] {
  const dreg = register(word);
  const loaded: Expression = { ...source, dreg };
  return mask === undefined ? [loaded] : [loaded, and(mask, dreg)];
}

function and(mask: Uint8Array, register: number): Expression {
  return { kind: 'bitwise', sreg: register, dreg: register, mask, xor: new Uint8Array(mask.length) };
}

/** Loads fields one behind the other, as in a set's key; what they require comes first. */
export function loadConcatenation(fields: readonly Field[], context: RuleContext): Expression[] {
  const checks = context.ensure(fields.flatMap((field) => field.requires));
  let word = 0;
  const loads = fields.flatMap((field) => {
    const at = word;
    word += registerWords(field);
    return load(field, at);
  });
  return [...checks, ...loads];
}

/** A value as it lies in a register. @throws CodecError if it is not of the field's type */
export function encodeValue(field: Field, value: FieldValue): Uint8Array {
  const { length, write } = DATA_TYPES[field.type];
  const bytes = new Uint8Array(length);
  write(bytes, 0, value);
  return bytes;
}

function cmp(op: number, data: Uint8Array): Expression {
  return { kind: 'cmp', op, sreg: register(0), data };
}

/** An interface name that ends in `*` stands for all that begin so: only the beginning is compared. */
function comparable(field: Field, value: FieldValue): Uint8Array {
  if (field.type !== 'ifname' || typeof value !== 'string' || !value.endsWith('*')) return encodeValue(field, value);
  const prefix = value.slice(0, -1);
  return encodeValue(field, prefix).slice(0, new TextEncoder().encode(prefix).length);
}

const COMPARISONS = {
  '==': nft.NFT_CMP_EQ,
  '!=': nft.NFT_CMP_NEQ,
  '<': nft.NFT_CMP_LT,
  '<=': nft.NFT_CMP_LTE,
  '>': nft.NFT_CMP_GT,
  '>=': nft.NFT_CMP_GTE,
} as const;

/** `ip ttl < 2` and the like. Order is meant for fields in network byte order alone: the kernel compares bytes. */
export function compare(field: Field, op: keyof typeof COMPARISONS, value: FieldValue): RulePart {
  const data = comparable(field, value);
  return (context) => {
    const expressions = [...context.ensure(field.requires), ...load(field), cmp(COMPARISONS[op], data)];
    const learned = op === '==' ? field.teaches?.(value) : undefined;
    return learned !== undefined && !context.learn(learned) ? [] : expressions;
  };
}

/** The field is this. An interface name may end in `*`. */
export function match(field: Field, value: FieldValue): RulePart {
  return compare(field, '==', value);
}

/** The field is not this. */
export function matchNot(field: Field, value: FieldValue): RulePart {
  return compare(field, '!=', value);
}

/** The field is between two values, both included. For fields in network byte order. */
export function matchRange(field: Field, from: FieldValue, to: FieldValue): RulePart {
  const [low, high] = [encodeValue(field, from), encodeValue(field, to)];
  return (context) => [
    ...context.ensure(field.requires),
    ...load(field),
    cmp(nft.NFT_CMP_GTE, low),
    cmp(nft.NFT_CMP_LTE, high),
  ];
}

/** The field is below the one value or above the other. */
export function matchNotRange(field: Field, from: FieldValue, to: FieldValue): RulePart {
  const range: Expression = {
    kind: 'range',
    op: nft.NFT_RANGE_NEQ,
    sreg: register(0),
    from: encodeValue(field, from),
    to: encodeValue(field, to),
  };
  return (context) => [...context.ensure(field.requires), ...load(field), range];
}

/** The address is inside the prefix. @throws CodecError on a field of another type or family */
export function matchPrefix(field: Field, prefix: IpPrefix): RulePart {
  return prefixPart(field, prefix, nft.NFT_CMP_EQ);
}

/** The address, of the prefix's family, is outside it. */
export function matchNotPrefix(field: Field, prefix: IpPrefix): RulePart {
  return prefixPart(field, prefix, nft.NFT_CMP_NEQ);
}

/** nft loads only the bytes that count if the prefix ends with one, and masks if it does not. */
function prefixPart(field: Field, prefix: IpPrefix, op: number): RulePart {
  const family = familyOf(prefix);
  const bits = prefixLength(prefix);
  if (field.type !== (family === 4 ? 'ipv4_addr' : 'ipv6_addr')) throw new CodecError(`a field for ${prefix}`);
  const base = ipToBytes(prefixBase(prefix));
  const { source } = field;
  const whole = bits === addressBits(family);
  if (!whole && bits > 0 && bits % 8 === 0 && source.kind === 'payload') {
    const start: Field = { ...field, source: { ...source, length: bits / 8 } };
    return (context) => [...context.ensure(field.requires), ...load(start), cmp(op, base.slice(0, bits / 8))];
  }
  const masked = whole ? field : { ...field, mask: prefixMask(bits, base.length) };
  return (context) => [...context.ensure(field.requires), ...load(masked), cmp(op, base)];
}

/** A network mask. @param bits that are set @param length in bytes */
export function prefixMask(bits: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (0xff00 >> Math.min(Math.max(bits - i * 8, 0), 8)) & 0xff);
}

/** The field with only the first bits left: `ip daddr & 255.255.255.224`. For fields in network byte order. */
export function maskedTo(field: Field, bits: number): Field {
  if (bits === DATA_TYPES[field.type].length * 8) return field;
  return { ...field, mask: prefixMask(bits, DATA_TYPES[field.type].length) };
}

/** The fields, one behind the other, are an element of the set. @throws CodecError if they are not of the key's types */
export function inSet(fields: readonly Field[], set: NftSet): RulePart {
  return setPart(fields, set, false);
}

/** The fields are no element of the set. */
export function notInSet(fields: readonly Field[], set: NftSet): RulePart {
  return setPart(fields, set, true);
}

function setPart(fields: readonly Field[], set: NftSet, inverted: boolean): RulePart {
  const found = lookup(fields, set);
  return (context) => [...loadConcatenation(fields, context), { ...found, inverted }];
}

/** The look-up of fields that are loaded. */
export function lookup(fields: readonly Field[], set: NftSet): Expression & { readonly kind: 'lookup' } {
  const types = fields.map(({ type }) => type);
  if (types.join() !== set.key.join())
    throw new CodecError(`${set.key.join(' . ')} for ${set.name}, got ${types.join(' . ')}`);
  const id = set.id === undefined ? {} : { setId: set.id };
  return { kind: 'lookup', set: set.name, ...id, sreg: register(0), inverted: false };
}

/** NF_CT_STATE_BIT @see include/uapi/linux/netfilter/nf_conntrack_common.h */
const CT_STATES = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;

/** `ct state established,related`: the connection is in one of the states. */
export function ctState(...states: readonly (keyof typeof CT_STATES)[]): RulePart {
  const bits = states.reduce((sum, state) => sum | CT_STATES[state], 0);
  const dreg = register(0);
  return () => [
    { kind: 'ct', key: nft.NFT_CT_STATE, dreg },
    and(Uint8Array.of(bits, 0, 0, 0), dreg),
    cmp(nft.NFT_CMP_NEQ, new Uint8Array(4)),
  ];
}

/** IPS_CONFIRMED @see include/uapi/linux/netfilter/nf_conntrack_common.h */
const CT_STATUS_CONFIRMED = 1 << 3;

/** `ct status confirmed`: the connection is in the table, so this is not its first packet. Untracked packets have none. */
export const ctConfirmed: RulePart = () => [
  { kind: 'ct', key: nft.NFT_CT_STATUS, dreg: register(0) },
  and(Uint8Array.of(CT_STATUS_CONFIRMED, 0, 0, 0), register(0)),
  cmp(nft.NFT_CMP_NEQ, new Uint8Array(4)),
];

/** `ip hdrlength`: the length of the IPv4 header in 32-bit words is this; 5 is a header without options. */
export function ipHeaderLength(words: number): RulePart {
  const dreg = register(0);
  return (context) => [
    ...context.ensure([{ layer: 'network', protocol: 'ip' }]),
    { kind: 'payload', base: nft.NFT_PAYLOAD_NETWORK_HEADER, offset: 0, length: 1, dreg },
    and(Uint8Array.of(0x0f), dreg),
    cmp(nft.NFT_CMP_EQ, Uint8Array.of(words)),
  ];
}
