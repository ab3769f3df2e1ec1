/**
 * Elements of sets and maps. Writing them is the hot path of the whole dataplane, so it goes straight into the buffer, with all
 * that depends on the set alone prepared once. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_set_elem_attributes
 */
import { CodecError } from '../errors.ts';
import {
  type Attribute,
  AttributeWriter,
  iterateAttributes,
  NLA_F_NESTED,
  NLA_HDRLEN,
  parseAttributes,
} from '../netlink/attribute.ts';
import { align4, ByteWriter } from '../netlink/bytes.ts';
import { NLM_F_REQUEST, NLMSG_HDRLEN } from '../netlink/message.ts';
import { readValue, readVerdict, type Verdict, writeValue, writeVerdict } from './data.ts';
import type { FieldValue } from './data-type.ts';
import { KeyCodec } from './key.ts';
import { familyNumber, messageType, parseNftPayload, required } from './nfnetlink.ts';
import type { NftSet } from './set.ts';
import * as nft from './uapi.ts';

/** A member of a set. In a map it has `data`, of the map's type. */
export interface SetElement {
  readonly key: readonly FieldValue[];
  readonly data?: FieldValue | Verdict;
  /** how long it lives, in a set with timeouts; the set's own time if left out */
  readonly timeoutMs?: number;
}

/** An attribute's length is a u16. */
const MAX_ATTRIBUTE = 0xffff;

/** Writes and reads the elements of one set. */
export class ElementCodec {
  readonly set: NftSet;
  readonly #key: KeyCodec;
  readonly #data: KeyCodec | undefined;
  /** nfgenmsg, table and set: the same in every message */
  readonly #head: Uint8Array;
  /** A whole NFTA_LIST_ELEM with the key alone, and one with data too: only the values differ from element to element. */
  readonly #keyOnly: Uint8Array;
  readonly #keyAndData: Uint8Array;

  constructor(set: NftSet) {
    this.set = set;
    this.#key = new KeyCodec(set.key);
    this.#data = set.data === undefined || set.data === 'verdict' ? undefined : new KeyCodec([set.data]);
    this.#head = headOf(set);
    this.#keyOnly = template([[nft.NFTA_SET_ELEM_KEY, this.#key.length]]);
    this.#keyAndData =
      this.#data === undefined
        ? this.#keyOnly
        : template([
            [nft.NFTA_SET_ELEM_KEY, this.#key.length],
            [nft.NFTA_SET_ELEM_DATA, this.#data.length],
          ]);
  }

  /**
   * Appends one message with as many elements from `start` on as one attribute can hold.
   * @param type NFT_MSG_*SETELEM: with NEW the data and timeout go along, else the key alone
   * @returns the index of the first element left out
   * @throws CodecError on an element that is not of the set's types
   */
  writeMessage(out: ByteWriter, type: number, flags: number, elements: readonly SetElement[], start: number): number {
    const message = out.length;
    out.u32(0).u16(messageType(type));
    out.u16(flags | NLM_F_REQUEST);
    out.u32(0).u32(0).bytes(this.#head);
    const list = out.length;
    out.u16(0).u16(nft.NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
    let next = start;
    for (const count = elements.length; next < count; next++) {
      const element = elements[next] as SetElement;
      const at = out.length;
      if (type === nft.NFT_MSG_NEWSETELEM) this.#writeWhole(out, element);
      else this.#writeKey(out, element.key);
      if (out.length - list > MAX_ATTRIBUTE) {
        out.truncate(at);
        if (next === start) throw new CodecError(`an element of at most ${MAX_ATTRIBUTE} bytes`);
        break;
      }
    }
    out.patchU16(list, out.length - list);
    out.patchU32(message, out.length - message);
    return next;
  }

  #writeKey(out: ByteWriter, key: readonly FieldValue[]): void {
    this.#key.write(this.#keyOnly, FIRST_VALUE, key);
    out.bytes(this.#keyOnly);
  }

  #writeWhole(out: ByteWriter, { key, data, timeoutMs }: SetElement): void {
    const { set } = this;
    if (timeoutMs !== undefined || typeof data === 'object') {
      this.#writeRare(out, key, data, timeoutMs);
    } else if (this.#data !== undefined && data !== undefined) {
      const bytes = this.#keyAndData;
      this.#key.write(bytes, FIRST_VALUE, key);
      this.#data.write(bytes, bytes.length - align4(this.#data.length), [data]);
      out.bytes(bytes);
    } else {
      if (data !== undefined || set.data !== undefined)
        throw new CodecError(`${set.data ?? 'no data'} in ${describeSet(set)}`);
      this.#writeKey(out, key);
    }
  }

  /** An element with a timeout or a verdict. */
  #writeRare(
    out: ByteWriter,
    key: readonly FieldValue[],
    data: FieldValue | Verdict | undefined,
    timeoutMs: number | undefined,
  ): void {
    const { set } = this;
    if (timeoutMs !== undefined && set.timeoutMs === undefined)
      throw new CodecError(`no timeout in ${describeSet(set)}`);
    new AttributeWriter(out).nested(nft.NFTA_LIST_ELEM, (element) => {
      if (timeoutMs !== undefined) element.u64be(nft.NFTA_SET_ELEM_TIMEOUT, BigInt(timeoutMs));
      writeValue(element, nft.NFTA_SET_ELEM_KEY, encoded(this.#key, key));
      if (typeof data === 'object' && set.data === 'verdict') writeVerdict(element, nft.NFTA_SET_ELEM_DATA, data);
      else if (typeof data !== 'object' && data !== undefined && this.#data !== undefined) {
        writeValue(element, nft.NFTA_SET_ELEM_DATA, encoded(this.#data, [data]));
      } else if (data !== undefined || set.data !== undefined) {
        throw new CodecError(`${set.data ?? 'no data'} in ${describeSet(set)}`);
      }
    });
  }

  /** Reads one message of a dump. @throws CodecError on an element that is not of the set's types */
  parseMessage(payload: Uint8Array): SetElement[] {
    const list = parseNftPayload(payload).attributes.get(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
    return list === undefined ? [] : list.list().map((element) => this.#parseElement(element.nested()));
  }

  #parseElement(attributes: ReadonlyMap<number, Attribute>): SetElement {
    const key = this.#key.read(readValue(required(attributes, nft.NFTA_SET_ELEM_KEY, 'the key of an element')));
    const timeoutMs = attributes.get(nft.NFTA_SET_ELEM_TIMEOUT)?.u64be();
    const data = this.#parseMapped(attributes);
    return {
      key,
      ...(data === undefined ? {} : { data }),
      ...(timeoutMs === undefined ? {} : { timeoutMs: Number(timeoutMs) }),
    };
  }

  #parseMapped(attributes: ReadonlyMap<number, Attribute>): FieldValue | Verdict | undefined {
    const attribute = attributes.get(nft.NFTA_SET_ELEM_DATA);
    if (attribute === undefined) return undefined;
    return this.#data === undefined ? readVerdict(attribute) : this.#data.read(readValue(attribute))[0];
  }

  /**
   * Names what a message was about, for errors.
   * @param message as written by {@link writeMessage}
   * @param offset of the attribute the kernel objected to, from the start of the message, where it said so
   */
  describe(message: Uint8Array, offset: number | undefined): string {
    const attributes = parseAttributes(message, NLMSG_HDRLEN + 4);
    const list = attributes.get(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
    const elements = list === undefined ? [] : [...iterateAttributes(list.payload, 0, list.offset)];
    const isBad = ({ offset: payload, payload: { length } }: Attribute) =>
      offset !== undefined && offset >= payload - NLA_HDRLEN && offset < payload + length;
    const element = elements.find(isBad) ?? (elements.length === 1 ? elements[0] : undefined);
    if (element === undefined) return `${elements.length} elements in ${describeSet(this.set)}`;
    const { key } = this.#parseElement(element.nested());
    return `element ${key.join(' . ')} in ${describeSet(this.set)}`;
  }
}

/** `set inet tenet guard4` */
export function describeSet({ family, table, name, data }: NftSet): string {
  return `${data === undefined ? 'set' : 'map'} ${family} ${table} ${name}`;
}

/** nfgenmsg, NFTA_SET_ELEM_LIST_TABLE and _SET, and _SET_ID for a set that has no name yet. */
function headOf({ family, table, name, id }: NftSet): Uint8Array {
  const out = new ByteWriter(64);
  out.u8(familyNumber(family)).u8(nft.NFNETLINK_V0).u16be(0);
  const attributes = new AttributeWriter(out);
  attributes.string(nft.NFTA_SET_ELEM_LIST_TABLE, table).string(nft.NFTA_SET_ELEM_LIST_SET, name);
  if (id !== undefined) attributes.u32be(nft.NFTA_SET_ELEM_LIST_SET_ID, id);
  return out.finish();
}

/** Where the first value begins in a template: after the headers of the element, of the key, of NFTA_DATA_VALUE. */
const FIRST_VALUE = 3 * NLA_HDRLEN;

/** An NFTA_LIST_ELEM with values of these types and lengths, all zero. */
function template(values: readonly (readonly [type: number, length: number])[]): Uint8Array {
  const out = new ByteWriter(64);
  new AttributeWriter(out).nested(nft.NFTA_LIST_ELEM, (element) => {
    for (const [type, length] of values) writeValue(element, type, new Uint8Array(length));
  });
  return out.finish().slice();
}

function encoded(codec: KeyCodec, values: readonly FieldValue[]): Uint8Array {
  const bytes = new Uint8Array(codec.length);
  codec.write(bytes, 0, values);
  return bytes;
}
