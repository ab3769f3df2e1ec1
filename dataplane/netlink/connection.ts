/**
 * Requests and replies over a netlink transport: sequence numbers, acknowledgements, dumps with retry, errors that name the object.
 * Synchronous, on the thread that calls: the kernel works inside `send`, and nearly all it is asked takes microseconds.
 */
import { ERRNO, isErrno, KernelError } from '../errors.ts';
import {
  type NetlinkMessage,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  numberMessages,
  parseAck,
  parseMessages,
} from './message.ts';
import type { Transport } from './transport.ts';

/**
 * Names the request for errors: the operation and the object, of the message at `index`. `offset`, from the start of that message,
 * is that of the attribute the kernel objected to, where it named one: a message may be about several objects.
 */
export type Describe = (index: number, offset?: number) => { readonly op: string; readonly object: string };

const DUMP_TRIES = 20;

export class NetlinkConnection {
  readonly #transport: Transport;
  #sequence = 1;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Sends messages that each carry NLM_F_ACK and waits for all of their answers.
   * @returns what was refused, by message index: the kernel does the others all the same
   * @throws KernelError when sending fails or replies were lost (ENOBUFS: read the state again)
   */
  requestEach(bytes: Uint8Array, describe: Describe): Map<number, KernelError> {
    const [first, count] = this.#number(bytes);
    this.#transport.send(bytes);
    return this.#answers(first, count, describe);
  }

  /** As {@link requestEach} for what takes the kernel long. Nothing else may use the connection meanwhile. */
  async requestEachAsync(bytes: Uint8Array, describe: Describe): Promise<Map<number, KernelError>> {
    const [first, count] = this.#number(bytes);
    await this.#transport.sendAsync(bytes);
    return this.#answers(first, count, describe);
  }

  #number(bytes: Uint8Array): readonly [first: number, count: number] {
    const first = this.#sequence;
    const count = numberMessages(bytes, first);
    this.#sequence += count;
    return [first, count];
  }

  #answers(first: number, count: number, describe: Describe): Map<number, KernelError> {
    const errors = new Map<number, KernelError>();
    for (let answered = 0; answered < count; ) {
      for (const message of parseMessages(this.#transport.receive())) {
        const index = message.sequence - first;
        if (index < 0 || index >= count || message.type !== NLMSG_ERROR) continue;
        answered++;
        const error = errorOf(message, describe, index);
        if (error !== undefined) errors.set(index, error);
      }
    }
    return errors;
  }

  /** As {@link requestEach}, throwing the first refusal. */
  request(bytes: Uint8Array, describe: Describe): void {
    for (const error of this.requestEach(bytes, describe).values()) throw error;
  }

  /**
   * Sends a batch whose LAST message alone carries NLM_F_ACK: its acknowledgement comes on commit and on nothing else. Kernels
   * before 6.10 do not acknowledge it at all: there silence means commit, for lost answers would show as ENOBUFS.
   * @throws KernelError of the first message refused, or of the whole batch; nothing was done then
   */
  batch(bytes: Uint8Array, describe: Describe): void {
    const [first, count] = this.#number(bytes);
    this.#transport.send(bytes);
    let committed = false;
    let refused: KernelError | undefined;
    // All answers are queued by now: an error, in the middle or of the commit, leaves the last message unanswered.
    while (!committed) {
      const datagram = this.#transport.poll();
      if (datagram === undefined) break;
      for (const message of parseMessages(datagram)) {
        const index = message.sequence - first;
        if (index < 0 || index >= count || message.type !== NLMSG_ERROR) continue;
        const error = errorOf(message, describe, index);
        if (error !== undefined) refused ??= error;
        else if (index === count - 1) committed = true;
      }
    }
    if (refused !== undefined) throw refused;
  }

  /** One message that is answered by one message of its own kind, such as a GET without dump. */
  get(bytes: Uint8Array, describe: Describe): NetlinkMessage {
    const sequence = this.#sequence++;
    numberMessages(bytes, sequence);
    this.#transport.send(bytes);
    for (;;) {
      for (const message of parseMessages(this.#transport.receive())) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG_ERROR) return copy(message);
        const error = errorOf(message, describe, 0);
        if (error !== undefined) throw error;
      }
    }
  }

  /**
   * Reads a dump, again from the start when it was changed under way (NLM_F_DUMP_INTR).
   * @throws KernelError, EINTR after too many tries
   */
  dump(bytes: Uint8Array, describe: Describe): NetlinkMessage[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      try {
        const messages = this.#dumpOnce(bytes, describe);
        if (messages !== undefined) return messages;
      } catch (error) {
        if (!isErrno(error, ERRNO.EBUSY, ERRNO.EINTR)) throw error;
      }
    }
    const { op, object } = describe(0);
    throw new KernelError(op, object, ERRNO.EINTR);
  }

  close(): void {
    this.#transport.close();
  }

  #dumpOnce(bytes: Uint8Array, describe: Describe): NetlinkMessage[] | undefined {
    const sequence = this.#sequence++;
    numberMessages(bytes, sequence);
    this.#transport.send(bytes);
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of parseMessages(this.#transport.receive())) {
        if (message.sequence !== sequence) continue;
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true;
        if (message.type === NLMSG_ERROR) {
          const error = errorOf(message, describe, 0);
          if (error !== undefined) throw error;
          return messages;
        }
        if (message.type === NLMSG_DONE) return interrupted ? undefined : messages;
        messages.push(copy(message));
        if (!(message.flags & NLM_F_MULTI)) return messages;
      }
    }
  }
}

/** A message outlives the receive buffer only as a copy. */
function copy(message: NetlinkMessage): NetlinkMessage {
  return { ...message, payload: message.payload.slice() };
}

function errorOf(message: NetlinkMessage, describe: Describe, index: number): KernelError | undefined {
  const { errno, ...detail } = parseAck(message);
  if (errno === 0) return undefined;
  const { op, object } = describe(index, detail.offset);
  return new KernelError(op, object, errno, detail);
}
