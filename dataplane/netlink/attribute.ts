/**
 * Netlink attributes (`struct nlattr`: u16 length, u16 type, payload, padding to 4), written into and read from one flat
 * buffer. Callers choose host or network order by the method they call. Pure.
 * @see include/uapi/linux/netlink.h
 */
import { CodecError } from '../errors.ts';
import { align4, ByteReader, type ByteWriter } from './bytes.ts';

/** struct nlattr */
export const NLA_HDRLEN = 4;
export const NLA_F_NESTED = 1 << 15;
export const NLA_F_NET_BYTEORDER = 1 << 14;
export const NLA_TYPE_MASK = ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER) & 0xffff;
/** the length field is a u16 and counts the header */
const MAX_PAYLOAD = 0xffff - NLA_HDRLEN;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes attributes. Each method writes one, header and padding included, and returns this. */
export class AttributeWriter {
  readonly out: ByteWriter;
  constructor(out: ByteWriter) {
    this.out = out;
  }

  /** @param payload 0..65531 bytes, copied @throws CodecError if longer */
  bytes(type: number, payload: Uint8Array): this {
    if (payload.length > MAX_PAYLOAD) throw new CodecError(`at most ${MAX_PAYLOAD} bytes in attribute ${type}`);
    this.out
      .u16(NLA_HDRLEN + payload.length)
      .u16(type)
      .bytes(payload)
      .pad4();
    return this;
  }

  flag(type: number): this {
    this.out.u16(NLA_HDRLEN).u16(type);
    return this;
  }

  u8(type: number, value: number): this {
    this.out.u16(5).u16(type).u8(value).zeros(3);
    return this;
  }

  u16(type: number, value: number): this {
    this.out.u16(6).u16(type).u16(value).zeros(2);
    return this;
  }

  u16be(type: number, value: number): this {
    this.out.u16(6).u16(type).u16be(value).zeros(2);
    return this;
  }

  u32(type: number, value: number): this {
    this.out.u16(8).u16(type).u32(value);
    return this;
  }

  u32be(type: number, value: number): this {
    this.out.u16(8).u16(type).u32be(value);
    return this;
  }

  u64be(type: number, value: bigint): this {
    this.out.u16(12).u16(type).u64be(value);
    return this;
  }

  /** UTF-8 with the terminating zero byte the kernel expects. */
  string(type: number, value: string): this {
    const text = encoder.encode(value);
    if (text.length + 1 > MAX_PAYLOAD) throw new CodecError(`at most ${MAX_PAYLOAD} bytes in attribute ${type}`);
    this.out
      .u16(NLA_HDRLEN + text.length + 1)
      .u16(type)
      .bytes(text)
      .u8(0)
      .pad4();
    return this;
  }

  /** Writes what `body` writes inside an attribute marked NLA_F_NESTED. @throws CodecError over 65535 bytes */
  nested(type: number, body: (inner: AttributeWriter) => void): this {
    return this.container(type | NLA_F_NESTED, body);
  }

  /** As {@link nested} but without the flag, for the families that older kernels parse without it. */
  container(type: number, body: (inner: AttributeWriter) => void): this {
    const start = this.out.length;
    this.out.u16(0).u16(type);
    body(this);
    const length = this.out.length - start;
    if (length > 0xffff) throw new CodecError(`at most 65535 bytes in nested attribute ${type & NLA_TYPE_MASK}`);
    this.out.patchU16(start, length);
    this.out.pad4();
    return this;
  }
}

/** One attribute as read: a view of its payload and where it began, with typed access that checks the length. */
export class Attribute {
  readonly type: number;
  readonly payload: Uint8Array;
  /** byte offset of the payload in what was parsed, for errors */
  readonly offset: number;
  constructor(type: number, payload: Uint8Array, offset: number) {
    this.type = type;
    this.payload = payload;
    this.offset = offset;
  }

  #reader(size: number): ByteReader {
    if (this.payload.length !== size) {
      throw new CodecError(`attribute ${this.type} of ${size} bytes, got ${this.payload.length}`, this.offset);
    }
    return new ByteReader(this.payload);
  }

  u8(): number {
    return this.#reader(1).u8();
  }

  u16(): number {
    return this.#reader(2).u16();
  }

  u16be(): number {
    return this.#reader(2).u16be();
  }

  u32(): number {
    return this.#reader(4).u32();
  }

  u32be(): number {
    return this.#reader(4).u32be();
  }

  u64be(): bigint {
    return this.#reader(8).u64be();
  }

  /** Text up to the first zero byte. */
  string(): string {
    const zero = this.payload.indexOf(0);
    return decoder.decode(zero < 0 ? this.payload : this.payload.subarray(0, zero));
  }

  nested(): Map<number, Attribute> {
    return parseAttributes(this.payload, 0, this.offset);
  }

  /** The nested attributes in order, types repeated (NFTA_LIST_ELEM and the like). */
  list(): Attribute[] {
    return [...iterateAttributes(this.payload, 0, this.offset)];
  }
}

/** Reads attributes to the end of `bytes`, in order. @throws CodecError on a length that does not fit */
export function* iterateAttributes(bytes: Uint8Array, start = 0, base = 0): Generator<Attribute> {
  const reader = new ByteReader(bytes, start);
  while (reader.remaining >= NLA_HDRLEN) {
    const at = reader.offset;
    const length = reader.u16();
    const type = reader.u16() & NLA_TYPE_MASK;
    if (length < NLA_HDRLEN)
      throw new CodecError(`an attribute of at least ${NLA_HDRLEN} bytes, got ${length}`, base + at);
    const payload = reader.bytes(length - NLA_HDRLEN);
    reader.skip(Math.min(align4(length) - length, reader.remaining));
    yield new Attribute(type, payload, base + at + NLA_HDRLEN);
  }
}

/** As {@link iterateAttributes}, by type; of a repeated type the last one counts, as in the kernel. */
export function parseAttributes(bytes: Uint8Array, start = 0, base = 0): Map<number, Attribute> {
  const attributes = new Map<number, Attribute>();
  for (const attribute of iterateAttributes(bytes, start, base)) attributes.set(attribute.type, attribute);
  return attributes;
}
