/**
 * Sets and maps: their description and its messages. What they hold is element.ts. All are hashes; intervals are not offered,
 * because their every change costs time that grows with the set. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_set_attributes
 */
import type { Attribute } from '../../netlink/attribute.ts';
import type { ByteWriter } from '../../netlink/bytes.ts';
import { DATA_TYPES, type FieldType, findFieldType } from './data-type.ts';
import type { Expression } from './expression.ts';
import { encodeExpression } from './expression-encode.ts';
import { findKeyFields, KeyCodec } from './key.ts';
import { familyNumber, parseNftPayload, required, type TableRef, writeNftMessage } from './nfnetlink.ts';
import * as nft from './uapi.ts';
import { encodeSetUserdata } from './userdata.ts';

/** A set, or with `data` a map. */
export interface NftSet extends TableRef {
  readonly name: string;
  /** more than one type is a concatenation */
  readonly key: readonly FieldType[];
  /** type of a map's values */
  readonly data?: FieldType | 'verdict';
  /** elements at most, which the kernel makes room for at once; over it elements get ENFILE */
  readonly size?: number;
  /** two or more that each element has of its own, and that are run when it is found: a counter, a limit. @see Linux 5.11 */
  readonly expressions?: readonly Expression[];
  /** lets elements expire: after so many milliseconds, or with 0 only those that say so themselves */
  readonly timeoutMs?: number;
  /** rules add the elements, and the kernel deletes each once what it counts is over */
  readonly addedByRules?: boolean;
  /** belongs to the one rule that looks it up, is known by `id` until then, and cannot change */
  readonly anonymous?: boolean;
  /** number within one transaction; given by Batch */
  readonly id?: number;
}

/** A set as the kernel has it. `set` is undefined when its types, or its kind, are not among those offered here. */
export interface ObservedSet extends TableRef {
  readonly name: string;
  readonly handle: bigint;
  readonly set: NftSet | undefined;
}

/** Flags that {@link NftSet} can express. */
const EXPRESSIBLE_FLAGS =
  nft.NFT_SET_ANONYMOUS |
  nft.NFT_SET_CONSTANT |
  nft.NFT_SET_MAP |
  nft.NFT_SET_TIMEOUT |
  nft.NFT_SET_EVAL |
  nft.NFT_SET_EXPR;

function setFlags({ anonymous, data, timeoutMs, addedByRules, expressions = [] }: NftSet): number {
  return (
    (anonymous ? nft.NFT_SET_ANONYMOUS | nft.NFT_SET_CONSTANT : 0) |
    (data === undefined ? 0 : nft.NFT_SET_MAP) |
    (timeoutMs === undefined ? 0 : nft.NFT_SET_TIMEOUT) |
    (addedByRules ? nft.NFT_SET_EVAL : 0) |
    (expressions.length === 0 ? 0 : nft.NFT_SET_EXPR)
  );
}

/** Appends NFT_MSG_NEWSET. @param id number within the transaction @throws CodecError on a key that is too long */
export function writeNewSet(out: ByteWriter, type: number, flags: number, set: NftSet, id: number): void {
  const { family, table, name, data, size, timeoutMs, expressions = [] } = set;
  const key = new KeyCodec(set.key);
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(nft.NFTA_SET_TABLE, table).string(nft.NFTA_SET_NAME, name);
    attributes.u32be(nft.NFTA_SET_FLAGS, setFlags(set));
    attributes.u32be(nft.NFTA_SET_KEY_TYPE, key.typeId).u32be(nft.NFTA_SET_KEY_LEN, key.length);
    if (data !== undefined) {
      attributes.u32be(nft.NFTA_SET_DATA_TYPE, data === 'verdict' ? nft.NFT_DATA_VERDICT : DATA_TYPES[data].id);
      attributes.u32be(nft.NFTA_SET_DATA_LEN, data === 'verdict' ? 0 : DATA_TYPES[data].length);
    }
    attributes.u32be(nft.NFTA_SET_ID, id);
    if (size !== undefined) {
      attributes.nested(nft.NFTA_SET_DESC, (description) => description.u32be(nft.NFTA_SET_DESC_SIZE, size));
    }
    if (timeoutMs) attributes.u64be(nft.NFTA_SET_TIMEOUT, BigInt(timeoutMs));
    attributes.bytes(nft.NFTA_SET_USERDATA, encodeSetUserdata(set.key, data));
    if (expressions.length === 0) return;
    attributes.nested(nft.NFTA_SET_EXPRESSIONS, (list) => {
      for (const expression of expressions) encodeExpression(list, expression);
    });
  });
}

/** Appends a message that only names a set: a deletion, a dump of its elements. */
export function writeSetName(out: ByteWriter, type: number, flags: number, { family, table, name }: NftSet): void {
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(nft.NFTA_SET_TABLE, table).string(nft.NFTA_SET_NAME, name);
  });
}

/** @returns undefined for a set of a family not used here @throws CodecError */
export function parseSet(payload: Uint8Array): ObservedSet | undefined {
  const { family, attributes } = parseNftPayload(payload);
  if (family === undefined) return undefined;
  const table = required(attributes, nft.NFTA_SET_TABLE, 'the table of a set').string();
  const name = required(attributes, nft.NFTA_SET_NAME, 'the name of a set').string();
  const handle = attributes.get(nft.NFTA_SET_HANDLE)?.u64be() ?? 0n;
  const types = parseTypes(attributes);
  return { family, table, name, handle, set: types && { family, table, name, ...types } };
}

type Types = Omit<NftSet, keyof TableRef | 'name' | 'id'>;

function parseTypes(attributes: ReadonlyMap<number, Attribute>): Types | undefined {
  const flags = attributes.get(nft.NFTA_SET_FLAGS)?.u32be() ?? 0;
  const keyLength = required(attributes, nft.NFTA_SET_KEY_LEN, 'the length of a key').u32be();
  const key = findKeyFields(attributes.get(nft.NFTA_SET_KEY_TYPE)?.u32be() ?? 0, keyLength);
  const data = parseDataType(attributes);
  const isMap = (flags & nft.NFT_SET_MAP) !== 0;
  if (key === undefined || flags & ~EXPRESSIBLE_FLAGS || isMap !== (data !== undefined)) return undefined;
  const size = attributes.get(nft.NFTA_SET_DESC)?.nested().get(nft.NFTA_SET_DESC_SIZE)?.u32be();
  const timeoutMs = Number(attributes.get(nft.NFTA_SET_TIMEOUT)?.u64be() ?? 0n);
  return {
    key,
    ...(data === undefined ? {} : { data }),
    ...(size === undefined ? {} : { size }),
    ...(flags & nft.NFT_SET_EVAL ? { addedByRules: true } : {}),
    ...(flags & nft.NFT_SET_TIMEOUT ? { timeoutMs } : {}),
    ...(flags & nft.NFT_SET_ANONYMOUS ? { anonymous: true } : {}),
  };
}

function parseDataType(attributes: ReadonlyMap<number, Attribute>): FieldType | 'verdict' | undefined {
  const id = attributes.get(nft.NFTA_SET_DATA_TYPE)?.u32be();
  if (id === undefined) return undefined;
  if (id === nft.NFT_DATA_VERDICT) return 'verdict';
  const type = findFieldType(id);
  const length = attributes.get(nft.NFTA_SET_DATA_LEN)?.u32be();
  return type !== undefined && DATA_TYPES[type].length === length ? type : undefined;
}
