/** A transport whose other end is a function: it is given each message sent and says what the kernel would answer. */
import { KernelError } from '../../../dataplane/errors.ts';
import { ByteWriter } from '../../../dataplane/netlink/bytes.ts';
import { type NetlinkMessage, parseMessages } from '../../../dataplane/netlink/message.ts';
import type { Transport } from '../../../dataplane/netlink/transport.ts';

/** One thing that receiving yields: a datagram, or an errno that recv(2) fails with. */
export type Answer = Uint8Array | { readonly errno: number };

export class ScriptedTransport implements Transport {
  /** every send, split into messages */
  readonly sent: NetlinkMessage[][] = [];
  readonly #kernel: (messages: readonly NetlinkMessage[], sends: number) => readonly Answer[];
  readonly #waiting: Answer[] = [];
  closed = false;

  /** @param kernel is given the messages of one send, and how many sends there were before */
  constructor(kernel: (messages: readonly NetlinkMessage[], sends: number) => readonly Answer[]) {
    this.#kernel = kernel;
  }

  send(bytes: Uint8Array): void {
    const messages = [...parseMessages(bytes.slice())];
    this.sent.push(messages);
    this.#waiting.push(...this.#kernel(messages, this.sent.length - 1));
  }

  async sendAsync(bytes: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.send(bytes);
  }

  receive(): Uint8Array {
    const datagram = this.poll();
    if (datagram === undefined) throw new Error('would wait for ever');
    return datagram;
  }

  poll(): Uint8Array | undefined {
    const answer = this.#waiting.shift();
    if (answer === undefined || answer instanceof Uint8Array) return answer;
    throw new KernelError('recv', 'scripted', answer.errno);
  }

  close(): void {
    this.closed = true;
  }

  /** Answers that were not read. */
  get unread(): number {
    return this.#waiting.length;
  }
}

/** One message as the kernel would write it. */
export function reply(to: NetlinkMessage, type: number, payload: Uint8Array, flags = 0): Uint8Array {
  const out = new ByteWriter();
  out
    .u32(16 + payload.length)
    .u16(type)
    .u16(flags)
    .u32(to.sequence)
    .u32(0)
    .bytes(payload)
    .pad4();
  return out.finish().slice();
}

/** NLMSG_ERROR as with NETLINK_CAP_ACK and NETLINK_EXT_ACK. @param errno 0: an acknowledgement */
export function ack(to: NetlinkMessage, errno = 0, detail: { extack?: string; offset?: number } = {}): Uint8Array {
  const payload = new ByteWriter();
  payload.s32(-errno).u32(16).u16(to.type).u16(to.flags).u32(to.sequence).u32(0);
  const { extack, offset } = detail;
  if (extack !== undefined) {
    const text = new TextEncoder().encode(extack);
    payload
      .u16(5 + text.length)
      .u16(1)
      .bytes(text)
      .u8(0)
      .pad4();
  }
  if (offset !== undefined) payload.u16(8).u16(2).u32(offset);
  // NLM_F_CAPPED, and NLM_F_ACK_TLVS where attributes follow
  return reply(to, 2, payload.finish(), 0x100 | (extack === undefined && offset === undefined ? 0 : 0x200));
}

/** NLMSG_DONE. */
export function done(to: NetlinkMessage, errno = 0, flags = 0): Uint8Array {
  return reply(to, 3, new ByteWriter().s32(-errno).finish(), 2 | flags);
}
