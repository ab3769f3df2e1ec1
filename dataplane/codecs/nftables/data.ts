/**
 * `struct nft_data` as attributes: what a register or a map element holds, which is bytes or a verdict. Does not know what the
 * bytes mean. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_data_attributes, enum nft_verdict_attributes
 */
import { CodecError } from '../../errors.ts';
import type { Attribute, AttributeWriter } from '../../netlink/attribute.ts';
import { required } from './nfnetlink.ts';
import {
  NF_ACCEPT,
  NF_DROP,
  NFT_BREAK,
  NFT_CONTINUE,
  NFT_GOTO,
  NFT_JUMP,
  NFT_RETURN,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_VERDICT_CHAIN,
  NFTA_VERDICT_CODE,
} from './uapi.ts';

/** What becomes of a packet. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'continue' | 'break' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

const VERDICT_CODES = {
  accept: NF_ACCEPT,
  drop: NF_DROP,
  continue: NFT_CONTINUE,
  break: NFT_BREAK,
  jump: NFT_JUMP,
  goto: NFT_GOTO,
  return: NFT_RETURN,
} as const satisfies Record<Verdict['kind'], number>;
const VERDICT_KINDS = new Map(
  Object.entries(VERDICT_CODES).map(([kind, code]) => [code >>> 0, kind as Verdict['kind']]),
);

/** Writes NFTA_DATA_VALUE inside an attribute of `type`. */
export function writeValue(attributes: AttributeWriter, type: number, value: Uint8Array): void {
  attributes.nested(type, (data) => data.bytes(NFTA_DATA_VALUE, value));
}

/** Reads what {@link writeValue} wrote. @returns a copy @throws CodecError on anything else */
export function readValue(attribute: Attribute): Uint8Array {
  return required(attribute.nested(), NFTA_DATA_VALUE, 'a value').payload.slice();
}

/** Writes NFTA_DATA_VERDICT inside an attribute of `type`. */
export function writeVerdict(attributes: AttributeWriter, type: number, verdict: Verdict): void {
  attributes.nested(type, (data) =>
    data.nested(NFTA_DATA_VERDICT, (inner) => {
      inner.u32be(NFTA_VERDICT_CODE, VERDICT_CODES[verdict.kind]);
      if ('chain' in verdict) inner.string(NFTA_VERDICT_CHAIN, verdict.chain);
    }),
  );
}

/** @returns undefined when the data is no verdict @throws CodecError on a verdict not known here */
export function readVerdict(attribute: Attribute): Verdict | undefined {
  const inner = attribute.nested().get(NFTA_DATA_VERDICT)?.nested();
  if (inner === undefined) return undefined;
  const code = required(inner, NFTA_VERDICT_CODE, 'a verdict code').u32be();
  const kind = VERDICT_KINDS.get(code);
  if (kind === undefined) throw new CodecError(`a verdict, got ${code | 0}`, attribute.offset);
  if (kind !== 'jump' && kind !== 'goto') return { kind };
  return { kind, chain: required(inner, NFTA_VERDICT_CHAIN, 'the chain of a jump').string() };
}
