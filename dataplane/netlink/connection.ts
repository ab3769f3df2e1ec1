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
  splitMessages,
} from './message.ts';
import type { Transport } from './transport.ts';

/**
 * Names the request for errors: the operation and the object, of the message at `index`. `offset`, from the start of that message,
 * is that of the attribute the kernel objected to, where it named one: a message may be about several objects.
 */
export type Describe = (index: number, offset?: number) => { readonly op: string; readonly object: string };

const DUMP_TRIES = 20;
/** Messages a send: their acknowledgements have to fit the receive buffer together. */
const MESSAGES_PER_SEND = 4096;

export class NetlinkConnection {
  readonly #transport: Transport;
  #sequence: number;
  #messagesSent = 0;
  /** this kernel has been seen to acknowledge the end of a batch */
  #acknowledgesEnd = false;

  /** @param sequence u32, of the first message; they go round */
  constructor(transport: Transport, sequence = 1) {
    this.#transport = transport;
    this.#sequence = sequence;
  }

  /** So far: what a change costs can be counted. */
  get messagesSent(): number {
    return this.#messagesSent;
  }

  /**
   * Sends messages that each carry NLM_F_ACK, up to thousands in one send, and reads all of their answers.
   * @returns what was refused, by message index: the kernel does the others all the same
   * @throws KernelError when sending fails or answers were lost (ENOBUFS: read the state again)
   */
  requestEach(bytes: Uint8Array, describe: Describe): Map<number, KernelError> {
    const errors = new Map<number, KernelError>();
    let done = 0;
    for (const run of splitMessages(bytes, MESSAGES_PER_SEND)) {
      const [first, count] = this.#number(run);
      this.#transport.send(run);
      this.#answers(first, count, errors, done, describe);
      done += count;
    }
    return errors;
  }

  /**
   * As {@link requestEach}, in one send on another thread: for what takes the kernel milliseconds. Nothing else may use the
   * connection, nor `bytes`, meanwhile.
   */
  async requestEachAsync(bytes: Uint8Array, describe: Describe): Promise<Map<number, KernelError>> {
    const errors = new Map<number, KernelError>();
    const [first, count] = this.#number(bytes);
    await this.#transport.sendAsync(bytes);
    this.#answers(first, count, errors, 0, describe);
    return errors;
  }

  /** As {@link requestEach}, throwing the first refusal. */
  request(bytes: Uint8Array, describe: Describe): void {
    for (const error of this.requestEach(bytes, describe).values()) throw error;
  }

  /**
   * Sends a batch whose LAST message alone carries NLM_F_ACK: its acknowledgement comes on commit and on nothing else. Linux
   * before 6.10 does not acknowledge the end of a batch; there a commit is silent, while every refusal is told all the same.
   * @throws KernelError of the first message refused, or of the whole batch (nothing was done then); ENOBUFS when answers were
   * lost and it is unknown what was done: read the state again
   */
  batch(bytes: Uint8Array, describe: Describe): void {
    const [first, count] = this.#number(bytes);
    this.#transport.send(bytes);
    let committed = false;
    let refused: KernelError | undefined;
    const complete = this.#drain((message) => {
      const index = (message.sequence - first) >>> 0;
      if (index >= count || message.type !== NLMSG_ERROR) return false;
      const { errno } = parseAck(message);
      if (errno !== 0) refused ??= errorOf(message, describe, index);
      else if (index === count - 1) committed = true;
      return committed;
    });
    if (refused !== undefined) throw refused;
    if (committed) this.#acknowledgesEnd = true;
    else if (!complete || this.#acknowledgesEnd) {
      throw new KernelError('commit', describe(count - 1).object, ERRNO.ENOBUFS);
    }
  }

  /** One message that is answered by one message of its own kind, such as a GET without dump. @throws KernelError */
  get(bytes: Uint8Array, describe: Describe): NetlinkMessage {
    const [first] = this.#number(bytes);
    this.#transport.send(bytes);
    let answer: NetlinkMessage | undefined;
    this.#drain((message) => {
      if (message.sequence === first) answer = message.type === NLMSG_DONE ? undefined : copy(message);
      return answer !== undefined;
    });
    const error = answer?.type === NLMSG_ERROR ? errorOf(answer, describe, 0) : undefined;
    if (error !== undefined) throw error;
    if (answer === undefined || answer.type === NLMSG_ERROR) throw lost(describe);
    return answer;
  }

  /**
   * Reads a dump, again from the start when it was changed under way (NLM_F_DUMP_INTR).
   * @throws KernelError, EINTR after too many tries
   */
  dump(bytes: Uint8Array, describe: Describe): NetlinkMessage[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const [first] = this.#number(bytes);
      this.#transport.send(bytes);
      const reading = this.#readDump(first, describe);
      let read = reading.next();
      while (!read.done) read = reading.next();
      if (read.value !== undefined) return read.value;
    }
    throw interrupted(describe);
  }

  /**
   * As {@link dump} for one that keeps the kernel searching for long, or is long: what the first datagram holds is searched for on
   * another thread, and every other datagram has a turn of the event loop of its own. Nothing else may use the connection, nor `bytes`,
   * meanwhile.
   */
  async dumpAsync(bytes: Uint8Array, describe: Describe): Promise<NetlinkMessage[]> {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const [first] = this.#number(bytes);
      await this.#transport.sendAsync(bytes);
      const reading = this.#readDump(first, describe);
      let read = reading.next();
      while (!read.done) {
        await new Promise(setImmediate);
        read = reading.next();
      }
      if (read.value !== undefined) return read.value;
    }
    throw interrupted(describe);
  }

  close(): void {
    this.#transport.close();
  }

  #number(bytes: Uint8Array): readonly [first: number, count: number] {
    const first = this.#sequence;
    const count = numberMessages(bytes, first);
    this.#sequence = (first + count) >>> 0;
    this.#messagesSent += count;
    return [first, count];
  }

  #answers(first: number, count: number, errors: Map<number, KernelError>, base: number, describe: Describe): void {
    let answered = 0;
    this.#drain((message) => {
      const index = (message.sequence - first) >>> 0;
      if (index >= count || message.type !== NLMSG_ERROR) return false;
      answered++;
      const error = errorOf(message, describe, base + index);
      if (error !== undefined) errors.set(base + index, error);
      return answered === count;
    });
    if (answered < count) throw lost(describe);
  }

  /**
   * Hands over what is waiting. The kernel has queued every answer to a request by the time `send` returns.
   * @param visit says true when nothing more is to come
   * @returns false if something was lost
   */
  #drain(visit: (message: NetlinkMessage) => boolean): boolean {
    for (let complete = true; ; ) {
      const datagram = this.#poll();
      if (datagram === undefined) return complete;
      if (datagram === 'lost') complete = false;
      else for (const message of parseMessages(datagram)) if (visit(message)) return complete;
    }
  }

  #discard(): void {
    while (this.#poll() !== undefined);
  }

  #poll(): Uint8Array | 'lost' | undefined {
    try {
      return this.#transport.poll();
    } catch (error) {
      if (isErrno(error, ERRNO.ENOBUFS)) return 'lost';
      throw error;
    }
  }

  /** Stops after each datagram. @returns undefined when it has to be asked for again */
  *#readDump(first: number, describe: Describe): Generator<void, NetlinkMessage[] | undefined> {
    const messages: NetlinkMessage[] = [];
    let inconsistent = false;
    try {
      for (; ; yield) {
        for (const message of parseMessages(this.#transport.receive())) {
          if (message.sequence !== first) continue;
          if (message.flags & NLM_F_DUMP_INTR) inconsistent = true;
          if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
            const error = errorOf(message, describe, 0);
            if (error !== undefined) throw error;
            return inconsistent ? undefined : messages;
          }
          messages.push(copy(message));
          if (!(message.flags & NLM_F_MULTI)) return messages;
        }
      }
    } catch (error) {
      // A dump that was given up stays under way, and makes the next one EBUSY, until it has been read.
      this.#discard();
      if (isErrno(error, ERRNO.EBUSY, ERRNO.EINTR)) return undefined;
      throw error;
    }
  }
}

/** A message outlives the receive buffer only as a copy. */
function copy(message: NetlinkMessage): NetlinkMessage {
  return { ...message, payload: message.payload.slice() };
}

function lost(describe: Describe): KernelError {
  const { op, object } = describe(0);
  return new KernelError(op, `${object}: answers lost`, ERRNO.ENOBUFS);
}

function interrupted(describe: Describe): KernelError {
  const { op, object } = describe(0);
  return new KernelError(op, object, ERRNO.EINTR);
}

function errorOf(message: NetlinkMessage, describe: Describe, index: number): KernelError | undefined {
  const { errno, ...detail } = parseAck(message);
  if (errno === 0) return undefined;
  const { op, object } = describe(index, detail.offset);
  return new KernelError(op, object, errno, detail);
}
