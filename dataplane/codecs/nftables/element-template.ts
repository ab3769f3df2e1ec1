/**
 * The bytes of one element with all headers in place, so that only its values are written and read: nearly every element of a set
 * looks like the next. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_set_elem_attributes
 */
import { AttributeWriter, NLA_HDRLEN } from '../../netlink/attribute.ts';
import { align4, ByteWriter } from '../../netlink/bytes.ts';
import { writeValue } from './data.ts';
import type { FieldValue } from './data-type.ts';
import type { KeyCodec } from './key.ts';
import { NFTA_LIST_ELEM, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_KEY } from './uapi.ts';

/** NFTA_SET_ELEM_KEY or _DATA, and NFTA_DATA_VALUE inside */
const VALUE_HEADERS = 2 * NLA_HDRLEN;
/** of the value of the key, behind NFTA_LIST_ELEM */
const KEY_AT = NLA_HDRLEN + VALUE_HEADERS;

/** An NFTA_LIST_ELEM with a key, or a key and data, and nothing else. */
export class ElementTemplate {
  readonly #bytes: Uint8Array;
  readonly #key: KeyCodec;
  readonly #data: KeyCodec | undefined;
  /** of the value of the data */
  readonly #dataAt: number;

  constructor(key: KeyCodec, data?: KeyCodec) {
    this.#key = key;
    this.#data = data;
    this.#dataAt = KEY_AT + align4(key.length) + VALUE_HEADERS;
    const out = new ByteWriter(64);
    new AttributeWriter(out).nested(NFTA_LIST_ELEM, (element) => {
      writeValue(element, NFTA_SET_ELEM_KEY, new Uint8Array(key.length));
      if (data !== undefined) writeValue(element, NFTA_SET_ELEM_DATA, new Uint8Array(data.length));
    });
    this.#bytes = out.finish();
  }

  /** Appends an element. @param data of the map's type, where the template has data @throws CodecError */
  write(out: ByteWriter, key: readonly FieldValue[], data?: FieldValue): void {
    this.#key.write(this.#bytes, KEY_AT, key);
    if (this.#data !== undefined && data !== undefined) this.#data.write(this.#bytes, this.#dataAt, [data]);
    out.bytes(this.#bytes);
  }

  /** @param payload of an NFTA_LIST_ELEM @returns undefined for an element that is made up otherwise */
  read(payload: Uint8Array): { readonly key: readonly FieldValue[]; readonly data?: FieldValue } | undefined {
    if (!this.#matches(payload)) return undefined;
    const key = this.#key.read(payload, KEY_AT - NLA_HDRLEN);
    const data = this.#data?.read(payload, this.#dataAt - NLA_HDRLEN)[0];
    return data === undefined ? { key } : { key, data };
  }

  #matches(payload: Uint8Array): boolean {
    if (payload.length !== this.#bytes.length - NLA_HDRLEN || !this.#sameHeaders(payload, KEY_AT)) return false;
    return this.#data === undefined || this.#sameHeaders(payload, this.#dataAt);
  }

  /** Are the headers in front of a value those of the template? */
  #sameHeaders(payload: Uint8Array, valueAt: number): boolean {
    for (let i = valueAt - VALUE_HEADERS; i < valueAt; i++) {
      if (payload[i - NLA_HDRLEN] !== this.#bytes[i]) return false;
    }
    return true;
  }
}
