/**
 * Userdata: what nft stores beside rules and sets for its own listing, in TLVs of u8 type, u8 length, value. The kernel only keeps
 * it. Pure.
 * @see libnftnl 1.2.4, include/libnftnl/udata.h; nftables 1.0.6, src/mnl.c (mnl_nft_set_add)
 */
import { CodecError } from '../../errors.ts';
import { ByteReader, ByteWriter } from '../../netlink/bytes.ts';
import { BYTEORDER_INVALID, DATA_TYPES, type FieldType } from './data-type.ts';

/** enum nftnl_udata_rule_types */
const NFTNL_UDATA_RULE_COMMENT = 0;
/** bytes of text at most */
const NFTNL_UDATA_COMMENT_MAXLEN = 128;
/** enum nftnl_udata_set_types */
const NFTNL_UDATA_SET_KEYBYTEORDER = 0;
const NFTNL_UDATA_SET_DATABYTEORDER = 1;
const NFTNL_UDATA_SET_KEY_TYPEOF = 3;
const NFTNL_UDATA_SET_DATA_INTERVAL = 6;
/** enum nftnl_udata_set_typeof_types */
const NFTNL_UDATA_SET_TYPEOF_EXPR = 0;
const NFTNL_UDATA_SET_TYPEOF_DATA = 1;
/** enum expr_types of nftables */
const EXPR_CONCAT = 13;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A rule's comment, NUL-terminated. @throws CodecError over 128 bytes of text, or on a NUL inside */
export function encodeComment(comment: string): Uint8Array {
  const text = encoder.encode(comment);
  if (text.length > NFTNL_UDATA_COMMENT_MAXLEN || text.includes(0)) {
    throw new CodecError(`a comment of at most ${NFTNL_UDATA_COMMENT_MAXLEN} bytes without NUL`);
  }
  const out = new ByteWriter(text.length + 3);
  return out
    .u8(NFTNL_UDATA_RULE_COMMENT)
    .u8(text.length + 1)
    .bytes(text)
    .u8(0)
    .finish();
}

/** The comment in a rule's userdata, if there is one. Userdata that is not nft's is no error. */
export function findComment(userdata: Uint8Array): string | undefined {
  const reader = new ByteReader(userdata);
  while (reader.remaining >= 2) {
    const type = reader.u8();
    const length = reader.u8();
    if (length > reader.remaining) return undefined;
    const value = reader.bytes(length);
    if (type === NFTNL_UDATA_RULE_COMMENT && value.indexOf(0) === length - 1) {
      return decoder.decode(value.subarray(0, length - 1));
    }
  }
  return undefined;
}

/**
 * A set's userdata as nft 1.0.6 writes it. Without the byte orders it would list marks and classids back to front.
 * @param data type of a map's values; verdicts have no byte order
 */
export function encodeSetUserdata(key: readonly FieldType[], data: FieldType | 'verdict' | undefined): Uint8Array {
  const out = new ByteWriter(32);
  const [only, ...others] = key;
  const concatenated = others.length > 0;
  writeU32(
    out,
    NFTNL_UDATA_SET_KEYBYTEORDER,
    only === undefined || concatenated ? BYTEORDER_INVALID : DATA_TYPES[only].byteOrder,
  );
  if (data !== undefined) {
    writeU32(out, NFTNL_UDATA_SET_DATABYTEORDER, data === 'verdict' ? BYTEORDER_INVALID : DATA_TYPES[data].byteOrder);
  }
  if (concatenated) {
    out.u8(NFTNL_UDATA_SET_KEY_TYPEOF).u8(8);
    writeU32(out, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_CONCAT);
    out.u8(NFTNL_UDATA_SET_TYPEOF_DATA).u8(0);
  }
  if (data !== undefined) writeU32(out, NFTNL_UDATA_SET_DATA_INTERVAL, 0);
  return out.finish();
}

function writeU32(out: ByteWriter, type: number, value: number): void {
  out.u8(type).u8(4).u32(value);
}
