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
import { ByteWriter } from '../netlink/bytes.ts';
import { NLM_F_REQUEST, NLMSG_HDRLEN } from '../netlink/message.ts';
import { readValue, readVerdict, type Verdict, writeVerdict } from './data.ts';
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

/** Writes and reads the elements of one set. Immutable. */
export class ElementCodec {
  readonly set: NftSet;
  readonly #key: KeyCodec;
  readonly #data: KeyCodec | undefined;
  /** nfgenmsg, table and set: the same in every message */
  readonly #head: Uint8Array;

  constructor(set: NftSet) {
    this.set = set;
    this.#key = new KeyCodec(set.key);
    this.#data = set.data === undefined || set.data === 'verdict' ? undefined : new KeyCodec([set.data]);
    const out = new ByteWriter(64);
    out.u8(familyNumber(set.family)).u8(nft.NFNETLINK_V0).u16be(0);
    const attributes = new AttributeWriter(out);
    attributes.string(nft.NFTA_SET_ELEM_LIST_TABLE, set.table).string(nft.NFTA_SET_ELEM_LIST_SET, set.name);
    if (set.id !== undefined) attributes.u32be(nft.NFTA_SET_ELEM_LIST_SET_ID, set.id);
    this.#head = out.finish();
  }

  /**
   * Appends one message with as many elements from `start` on as one attribute can hold.
   * @param type NFT_MSG_*SETELEM: with NEW the data and timeout go along, else the key alone
   * @returns the index of the first element left out
   * @throws CodecError on an element that is not of the set's types
   */
  writeMessage(out: ByteWriter, type: number, flags: number, elements: readonly SetElement[], start: number): number {
    const message = out.length;
    out
      .u32(0)
      .u16(messageType(type))
      .u16(flags | NLM_F_REQUEST)
      .u32(0)
      .u32(0)
      .bytes(this.#head);
    const list = out.length;
    out.u16(0).u16(nft.NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
    let next = start;
    for (const count = elements.length; next < count; next++) {
      const element = elements[next] as SetElement;
      const at = out.length;
      if (type === nft.NFT_MSG_NEWSETELEM) this.#writeWhole(out, element);
      else this.#writeKey(out, element);
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

  #writeKey(out: ByteWriter, element: SetElement): void {
    const at = out.length;
    out.u16(0).u16(nft.NFTA_LIST_ELEM | NLA_F_NESTED);
    writeData(out, nft.NFTA_SET_ELEM_KEY, this.#key, element.key);
    out.patchU16(at, out.length - at);
  }

  #writeWhole(out: ByteWriter, { key, data, timeoutMs }: SetElement): void {
    const at = out.length;
    out.u16(0).u16(nft.NFTA_LIST_ELEM | NLA_F_NESTED);
    if (timeoutMs !== undefined) {
      if (this.set.timeoutMs === undefined) throw new CodecError(`no timeout in ${describeSet(this.set)}`);
      new AttributeWriter(out).u64be(nft.NFTA_SET_ELEM_TIMEOUT, BigInt(timeoutMs));
    }
    writeData(out, nft.NFTA_SET_ELEM_KEY, this.#key, key);
    this.#writeMapped(out, data);
    out.patchU16(at, out.length - at);
  }

  #writeMapped(out: ByteWriter, data: FieldValue | Verdict | undefined): void {
    if (data === undefined) {
      if (this.set.data !== undefined) throw new CodecError(`a ${this.set.data} in ${describeSet(this.set)}`);
    } else if (typeof data === 'object') {
      if (this.set.data !== 'verdict') throw new CodecError(`no verdict in ${describeSet(this.set)}`);
      writeVerdict(new AttributeWriter(out), nft.NFTA_SET_ELEM_DATA, data);
    } else {
      if (this.#data === undefined) throw new CodecError(`no data of a type in ${describeSet(this.set)}`);
      writeData(out, nft.NFTA_SET_ELEM_DATA, this.#data, [data]);
    }
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

/** NFTA_DATA_VALUE inside an attribute: both headers are known in advance. */
function writeData(out: ByteWriter, type: number, codec: KeyCodec, values: readonly FieldValue[]): void {
  const { length } = codec;
  const padding = -length & 3;
  out.u16(2 * NLA_HDRLEN + length + padding).u16(type | NLA_F_NESTED);
  out.u16(NLA_HDRLEN + length).u16(nft.NFTA_DATA_VALUE);
  codec.write(out, values);
  out.zeros(padding);
}
