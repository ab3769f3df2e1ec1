/**
 * Expressions: the instructions a rule is made of, as plain data. What a rule means is assembled from them by match.ts and
 * statement.ts. Numbers are the kernel's own (expression-uapi.ts), bytes are as they lie in a register. Types only.
 * @see include/uapi/linux/netfilter/nf_tables.h
 */
import type { Verdict } from './data.ts';

/** Packet bytes into a register. `base` NFT_PAYLOAD_*; `offset` and `length` in bytes. */
export interface PayloadLoad {
  readonly kind: 'payload';
  readonly base: number;
  readonly offset: number;
  readonly length: number;
  readonly dreg: number;
}
/** Packet metadata into a register. `key` NFT_META_*. */
export interface MetaLoad {
  readonly kind: 'meta';
  readonly key: number;
  readonly dreg: number;
}
/** A register into packet metadata. `key` NFT_META_*. */
export interface MetaSet {
  readonly kind: 'metaSet';
  readonly key: number;
  readonly sreg: number;
}
/** Connection tracking into a register. `key` NFT_CT_*; `direction` 0 original, 1 reply, for the keys that need one. */
export interface CtLoad {
  readonly kind: 'ct';
  readonly key: number;
  readonly dreg: number;
  readonly direction?: number;
}
/** Ends the rule unless the comparison holds. `op` NFT_CMP_*. */
export interface Compare {
  readonly kind: 'cmp';
  readonly op: number;
  readonly sreg: number;
  readonly data: Uint8Array;
}
/** Ends the rule unless the register is between two values, both included. `op` NFT_RANGE_*. */
export interface RangeMatch {
  readonly kind: 'range';
  readonly op: number;
  readonly sreg: number;
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}
/** dreg = (sreg & mask) ^ xor. Mask and xor are of one length. */
export interface Bitwise {
  readonly kind: 'bitwise';
  readonly sreg: number;
  readonly dreg: number;
  readonly mask: Uint8Array;
  readonly xor: Uint8Array;
}
/** Looks a register up in a set; with `dreg` in a map. `setId` names a set of the same transaction; the kernel never returns it. */
export interface Lookup {
  readonly kind: 'lookup';
  readonly set: string;
  readonly setId?: number;
  readonly sreg: number;
  readonly dreg?: number;
  readonly inverted: boolean;
}
/** Adds a register to a set unless it is there, and runs the element's own `expression`. Ends the rule if the set is full. */
export interface AddToSet {
  readonly kind: 'dynset';
  readonly set: string;
  /** names a set of the same transaction; the kernel never returns it */
  readonly setId?: number;
  readonly sregKey: number;
  readonly expression: ConnectionLimit | Limit;
}
/** Counts the packet's connection, and ends the rule while there are at most `count`; inverted matches what is over the limit. */
export interface ConnectionLimit {
  readonly kind: 'connlimit';
  readonly count: number;
  readonly inverted: boolean;
}
/** Constant bytes into a register. */
export interface Immediate {
  readonly kind: 'immediate';
  readonly dreg: number;
  readonly data: Uint8Array;
}
/** Ends the rule with a verdict (an immediate into NFT_REG_VERDICT). */
export interface VerdictStatement {
  readonly kind: 'verdict';
  readonly verdict: Verdict;
}
export interface Counter {
  readonly kind: 'counter';
  readonly packets: bigint;
  readonly bytes: bigint;
}
/** `rate` per `unitSeconds`; `type` NFT_LIMIT_*; inverted matches what is over the limit. */
export interface Limit {
  readonly kind: 'limit';
  readonly rate: bigint;
  readonly unitSeconds: bigint;
  readonly burst: number;
  readonly type: number;
  readonly inverted: boolean;
}
/** Source NAT to the address of the outgoing link. `flags` NF_NAT_RANGE_*; registers hold the first and last source port. */
export interface Masquerade {
  readonly kind: 'masq';
  readonly flags?: number;
  readonly protoMin?: number;
  readonly protoMax?: number;
}
/** Routing look-up into a register. `result` NFT_FIB_RESULT_*, `flags` NFTA_FIB_F_*. */
export interface Fib {
  readonly kind: 'fib';
  readonly result: number;
  readonly flags: number;
  readonly dreg: number;
}
/** An extension header's or IP option's bytes, or with NFT_EXTHDR_F_PRESENT whether it is there, into a register. */
export interface Exthdr {
  readonly kind: 'exthdr';
  readonly op: number;
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  readonly dreg: number;
}
/** With `group` to nfnetlink_log, else to the kernel log. */
export interface Log {
  readonly kind: 'log';
  readonly prefix?: string;
  readonly group?: number;
  readonly snaplen?: number;
  readonly queueThreshold?: number;
  readonly level?: number;
  readonly flags?: number;
}
/** `type` NFT_REJECT_*, `code` an ICMP, ICMPv6 or NFT_REJECT_ICMPX_* code. */
export interface Reject {
  readonly kind: 'reject';
  readonly type: number;
  readonly code: number;
}
export interface Notrack {
  readonly kind: 'notrack';
}
/** An expression, or a form of one, that is not written here: its name and the payload of NFTA_EXPR_DATA. */
export interface UnknownExpression {
  readonly kind: 'unknown';
  readonly name: string;
  readonly data: Uint8Array;
}

export type KnownExpression =
  | PayloadLoad
  | MetaLoad
  | MetaSet
  | CtLoad
  | Compare
  | RangeMatch
  | Bitwise
  | Lookup
  | AddToSet
  | ConnectionLimit
  | Immediate
  | VerdictStatement
  | Counter
  | Limit
  | Masquerade
  | Fib
  | Exthdr
  | Log
  | Reject
  | Notrack;
export type Expression = KnownExpression | UnknownExpression;
