/**
 * Keys of sets and maps: a list of field types, and values of those fields to and from the bytes that the kernel compares. In a
 * concatenation every field is padded to whole 32-bit registers. Pure.
 * @see nftables 1.0.6, include/datatype.h (concat_subtype_add), net/netfilter/nf_tables_api.c
 */
import { CodecError } from '../../errors.ts';
import { align4 } from '../../netlink/bytes.ts';
import { DATA_TYPES, type FieldType, type FieldValue, findFieldType } from './data-type.ts';

/** Bits of a type number inside a concatenation's. @see TYPE_BITS */
const TYPE_BITS = 6;
/** Types that fit a 32-bit number. */
const MAX_FIELDS = Math.floor(32 / TYPE_BITS);
/** NFT_DATA_VALUE_MAXLEN */
const MAX_LENGTH = 64;

/** The codec of one key, made once per set. Immutable. */
export class KeyCodec {
  readonly fields: readonly FieldType[];
  /** NFTA_SET_KEY_TYPE */
  readonly typeId: number;
  /** NFTA_SET_KEY_LEN, bytes */
  readonly length: number;

  /** @param fields 1 to 5 types @throws CodecError on more, or on more than 64 bytes */
  constructor(fields: readonly FieldType[]) {
    this.fields = fields;
    this.typeId = fields.reduce((id, field) => (id << TYPE_BITS) | DATA_TYPES[field].id, 0) >>> 0;
    this.length = keyLength(fields);
    if (fields.length < 1 || fields.length > MAX_FIELDS) throw new CodecError(`a key of 1 to ${MAX_FIELDS} fields`);
    if (this.length > MAX_LENGTH) throw new CodecError(`a key of at most ${MAX_LENGTH} bytes, got ${this.length}`);
  }

  /**
   * Writes `length` bytes; those between fields are left as they are, which should be zero.
   * @throws CodecError on a wrong number of values, or one that is not of its field's type
   */
  write(bytes: Uint8Array, at: number, values: readonly FieldValue[]): void {
    const { fields } = this;
    if (values.length !== fields.length) throw new CodecError(`${fields.length} fields, got ${values.length}`);
    let field = at;
    for (let i = 0; i < fields.length; i++) {
      const type = DATA_TYPES[fields[i] as FieldType];
      type.write(bytes, field, values[i] as FieldValue);
      field += align4(type.length);
    }
  }

  /** @param at of the first of `length` bytes, which have to be there @returns addresses in canonical spelling */
  read(bytes: Uint8Array, at: number): FieldValue[] {
    let field = at;
    return this.fields.map((name) => {
      const type = DATA_TYPES[name];
      const value = type.read(bytes, field);
      field += align4(type.length);
      return value;
    });
  }
}

function keyLength(fields: readonly FieldType[]): number {
  const [only, ...others] = fields;
  if (only !== undefined && others.length === 0) return DATA_TYPES[only].length;
  return fields.reduce((sum, field) => sum + align4(DATA_TYPES[field].length), 0);
}

/**
 * The fields of a type number, a single one or a concatenation's.
 * @returns undefined when a type is not in use here, or the length is not what these types need
 */
export function findKeyFields(typeId: number, length: number): readonly FieldType[] | undefined {
  const fields: FieldType[] = [];
  for (let rest = typeId; rest !== 0; rest >>>= TYPE_BITS) {
    const field = findFieldType(rest & ((1 << TYPE_BITS) - 1));
    if (field === undefined) return undefined;
    fields.unshift(field);
  }
  return fields.length > 0 && keyLength(fields) === length ? fields : undefined;
}
