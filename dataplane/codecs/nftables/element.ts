/**
 * Elements of sets and maps. Writing them is the hot path of the whole dataplane, so it goes straight into the buffer, with all
 * that depends on the set alone prepared once. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_set_elem_attributes
 */
import { CodecError } from '../../errors.ts';
import {
  type Attribute,
  AttributeWriter,
  iterateAttributes,
  NLA_F_NESTED,
  NLA_HDRLEN,
  parseAttributes,
} from '../../netlink/attribute.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_REQUEST, NLMSG_HDRLEN } from '../../netlink/message.ts';
import { readValue, readVerdict, type Verdict, writeValue, writeVerdict } from './data.ts';
import type { FieldValue } from './data-type.ts';
import { ElementTemplate } from './element-template.ts';
import { decodeExpression } from './expression-decode.ts';
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
  /** as its counter has it, in a set whose elements count; only read */
  readonly packets?: number;
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
  /** elements of a set, and those of a map where only the key counts */
  readonly #keyOnly: ElementTemplate;
  /** elements with all that the set's types ask for */
  readonly #whole: ElementTemplate;

  constructor(set: NftSet) {
    this.set = set;
    this.#key = new KeyCodec(set.key);
    this.#data = set.data === undefined || set.data === 'verdict' ? undefined : new KeyCodec([set.data]);
    this.#head = headOf(set);
    this.#keyOnly = new ElementTemplate(this.#key);
    this.#whole = this.#data === undefined ? this.#keyOnly : new ElementTemplate(this.#key, this.#data);
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
      else this.#keyOnly.write(out, element.key);
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

  #writeWhole(out: ByteWriter, { key, data, timeoutMs }: SetElement): void {
    const { set } = this;
    if (timeoutMs !== undefined || typeof data === 'object') {
      this.#writeRare(out, key, data, timeoutMs);
      return;
    }
    if (set.data === 'verdict' || (data === undefined) !== (set.data === undefined)) throw wrongData(set);
    this.#whole.write(out, key, data);
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
      } else if (data !== undefined || set.data !== undefined) throw wrongData(set);
    });
  }

  /** Reads one message of a dump. @throws CodecError on an element that is not of the set's types */
  parseMessage(payload: Uint8Array): SetElement[] {
    const list = parseNftPayload(payload).attributes.get(nft.NFTA_SET_ELEM_LIST_ELEMENTS);
    return list === undefined ? [] : list.list().map((element) => this.#parseElement(element));
  }

  #parseElement(element: Attribute): SetElement {
    return this.#whole.read(element.payload) ?? this.#parseRare(element.nested());
  }

  /** An element with a timeout or a verdict, or a key alone where there should be data. */
  #parseRare(attributes: ReadonlyMap<number, Attribute>): SetElement {
    const key = decoded(this.#key, required(attributes, nft.NFTA_SET_ELEM_KEY, 'the key of an element'));
    const timeoutMs = attributes.get(nft.NFTA_SET_ELEM_TIMEOUT)?.u64be();
    const data = this.#parseMapped(attributes.get(nft.NFTA_SET_ELEM_DATA));
    const packets = countOf(attributes.get(nft.NFTA_SET_ELEM_EXPRESSIONS));
    return {
      key,
      ...(data === undefined ? {} : { data }),
      ...(timeoutMs === undefined ? {} : { timeoutMs: Number(timeoutMs) }),
      ...(packets === undefined ? {} : { packets }),
    };
  }

  #parseMapped(attribute: Attribute | undefined): FieldValue | Verdict | undefined {
    if (attribute === undefined) return undefined;
    return this.#data === undefined ? readVerdict(attribute) : decoded(this.#data, attribute)[0];
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
    const { key } = this.#parseElement(element);
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

/** @param expressions an element's own */
function countOf(expressions: Attribute | undefined): number | undefined {
  for (const each of expressions?.list() ?? []) {
    const expression = decodeExpression(each);
    if (expression.kind === 'counter') return Number(expression.packets);
  }
  return undefined;
}

function wrongData(set: NftSet): CodecError {
  return new CodecError(`${set.data ?? 'no data'} in ${describeSet(set)}`);
}

function encoded(codec: KeyCodec, values: readonly FieldValue[]): Uint8Array {
  const bytes = new Uint8Array(codec.length);
  codec.write(bytes, 0, values);
  return bytes;
}

function decoded(codec: KeyCodec, attribute: Attribute): FieldValue[] {
  const bytes = readValue(attribute);
  if (bytes.length !== codec.length) {
    throw new CodecError(`a value of ${codec.length} bytes, got ${bytes.length}`, attribute.offset);
  }
  return codec.read(bytes, 0);
}
