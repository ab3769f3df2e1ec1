/**
 * Netlink message framing (`struct nlmsghdr`): writing a message with its header, splitting a datagram into messages,
 * reading NLMSG_ERROR with the extended ack. Pure.
 * @see include/uapi/linux/netlink.h
 */
import { CodecError } from '../errors.ts';
import { AttributeWriter, parseAttributes } from './attribute.ts';
import { align4, ByteReader, type ByteWriter } from './bytes.ts';

export const NLMSG_HDRLEN = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_MULTI = 0x02;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/** A message as received: header fields and a view of its payload. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

/** What NLMSG_ERROR says. `errno` 0 is an acknowledgement. */
export interface NetlinkAck {
  readonly errno: number;
  readonly extack?: string;
  readonly offset?: number;
}

/**
 * Appends one message. The sequence number is left 0 for the connection to patch in.
 * @param type u16 message type
 * @param flags NLM_F_*; NLM_F_REQUEST is added
 * @param body writes the family header through `attributes.out`, then attributes
 */
export function writeMessage(
  out: ByteWriter,
  type: number,
  flags: number,
  body: (attributes: AttributeWriter) => void,
): void {
  const start = out.length;
  out
    .u32(0)
    .u16(type)
    .u16(flags | NLM_F_REQUEST)
    .u32(0)
    .u32(0);
  body(new AttributeWriter(out));
  out.patchU32(start, out.length - start);
  out.pad4();
}

/** Writes sequence numbers `first`, `first + 1`, … into each message of a buffer; returns how many there are. */
export function numberMessages(bytes: Uint8Array, first: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  for (let at = 0; at + NLMSG_HDRLEN <= bytes.length; at += align4(view.getUint32(at, true))) {
    view.setUint32(at + 8, first + count, true);
    count++;
  }
  return count;
}

/** Cuts a buffer of messages into runs of at most `count` messages, views in order. */
export function* splitMessages(bytes: Uint8Array, count: number): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = 0;
  let inRun = 0;
  for (let at = 0; at + NLMSG_HDRLEN <= bytes.length; inRun++) {
    if (inRun === count) {
      yield bytes.subarray(start, at);
      start = at;
      inRun = 0;
    }
    at += align4(view.getUint32(at, true));
  }
  if (start < bytes.length) yield bytes.subarray(start);
}

/** Splits one datagram. @throws CodecError on a length that does not fit */
export function* parseMessages(datagram: Uint8Array): Generator<NetlinkMessage> {
  const reader = new ByteReader(datagram);
  while (reader.remaining >= NLMSG_HDRLEN) {
    const at = reader.offset;
    const length = reader.u32();
    const type = reader.u16();
    const flags = reader.u16();
    const sequence = reader.u32();
    const portId = reader.u32();
    if (length < NLMSG_HDRLEN) throw new CodecError(`a message of at least ${NLMSG_HDRLEN} bytes, got ${length}`, at);
    const payload = reader.bytes(length - NLMSG_HDRLEN);
    reader.skip(Math.min(align4(length) - length, reader.remaining));
    yield { type, flags, sequence, portId, payload };
  }
}

/**
 * Reads the payload of NLMSG_ERROR, or of the NLMSG_DONE that ends a dump: the errno, and the extended ack where the socket asked
 * for it.
 */
export function parseAck(message: NetlinkMessage): NetlinkAck {
  if (message.type === NLMSG_DONE && message.payload.length < 4) return { errno: 0 };
  const reader = new ByteReader(message.payload);
  // A dump that ended well ends in 0, or in how much the kernel had left to say.
  const errno = Math.max(0, -reader.s32());
  if (!(message.flags & NLM_F_ACK_TLVS)) return { errno };
  const attributes = parseAttributes(message.payload, Math.min(ackAttributesOffset(message), message.payload.length));
  const extack = attributes.get(NLMSGERR_ATTR_MSG)?.string();
  const offset = attributes.get(NLMSGERR_ATTR_OFFS)?.u32();
  return { errno, ...(extack === undefined ? {} : { extack }), ...(offset === undefined ? {} : { offset }) };
}

function ackAttributesOffset(message: NetlinkMessage): number {
  if (message.type === NLMSG_DONE) return 4;
  // The header of our own message is repeated, its payload too unless the kernel capped it.
  if (message.flags & NLM_F_CAPPED) return 4 + NLMSG_HDRLEN;
  return 4 + align4(new ByteReader(message.payload, 4).u32());
}
