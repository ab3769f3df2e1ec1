/**
 * A growing byte buffer to write netlink messages into and a bounds-checked cursor to read them with. Netlink headers and
 * most rtnetlink fields are in host order (little-endian on every machine Tenet runs on, checked when loaded); nftables
 * attributes are big-endian. Pure.
 */
import { CodecError } from '../errors.ts';

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new CodecError('a little-endian machine');

/** NLMSG_ALIGN and NLA_ALIGN: up to the next multiple of 4. @see include/uapi/linux/netlink.h */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** Append-only writer. `length` is the number of bytes written so far. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #room(count: number): number {
    const at = this.length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.length = needed;
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
    return this;
  }

  /** host order */
  u16(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  /** host order */
  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value >>> 0, true);
    return this;
  }

  /** host order, two's complement */
  s32(value: number): this {
    const at = this.#room(4);
    this.#view.setInt32(at, value, true);
    return this;
  }

  /** host order */
  u64(value: bigint): this {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  /** network order */
  u16be(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value, false);
    return this;
  }

  /** network order */
  u32be(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value >>> 0, false);
    return this;
  }

  /** network order */
  u64be(value: bigint): this {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, false);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  zeros(count: number): this {
    const at = this.#room(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }

  /** Zero-pads to a multiple of 4. */
  pad4(): this {
    return this.zeros(align4(this.length) - this.length);
  }

  /** Overwrites two bytes written before (a length known only now). */
  patchU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  /** Overwrites four bytes written before. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
  }

  /** Forgets everything written after `length`. */
  truncate(length: number): void {
    this.length = length;
  }

  /** A view of what was written, valid until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

/** Bounds-checked cursor over bytes it does not own. Every method throws CodecError past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  offset: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    if (start < 0 || start > end || end > bytes.length)
      throw new CodecError(`a range inside ${bytes.length} bytes`, start);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  #take(count: number): number {
    const at = this.offset;
    if (count < 0 || at + count > this.end) throw new CodecError(`${count} more bytes, ${this.remaining} are left`, at);
    this.offset = at + count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  s32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  u16be(): number {
    return this.#view.getUint16(this.#take(2), false);
  }

  u32be(): number {
    return this.#view.getUint32(this.#take(4), false);
  }

  u64be(): bigint {
    return this.#view.getBigUint64(this.#take(8), false);
  }

  /** A view, not a copy. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  skip(count: number): void {
    this.#take(count);
  }
}
