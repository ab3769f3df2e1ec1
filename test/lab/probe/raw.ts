/**
 * Whole Ethernet frames on one link of another namespace: sends any, hears all. That something was dropped is proved by listening
 * where it would have arrived. Frames between veth ends may carry unfinished checksums: the kernel leaves those to hardware.
 */
import { closeSync } from 'node:fs';
import { waitFor } from './deadline.ts';
import { dissect, type FrameFields } from './dissect.ts';
import { netnsPath } from './netns-path.ts';
import { type Datagram, openPacket, receiveNow, SocketError, sendNow } from './socket.ts';

/** @see include/uapi/linux/if_packet.h, PACKET_OUTGOING */
const PACKET_OUTGOING = 4;
/** The socket itself holds thousands of frames. */
const DRAIN_MS = 25;
const LOOK_MS = 2;
/** Frames kept that no test has asked about yet. */
const BACKLOG = 10_000;

export interface Captured {
  readonly frame: Buffer;
  readonly fields: FrameFields;
  /** `out`: this namespace sent it */
  readonly direction: 'in' | 'out';
}

/** One link, open for sending and hearing from the moment it is made. Keeps its namespace alive until closed. */
export class RawLink {
  readonly #fd: number;
  readonly #timer: NodeJS.Timeout;
  #heard: Captured[] = [];
  #closed = false;

  /** @param netns name of a namespace @throws SocketError if it has no such link */
  constructor(netns: string, link = 'eth0') {
    this.#fd = openPacket(netnsPath(netns), link);
    this.#timer = setInterval(() => this.#drain(), DRAIN_MS);
    this.#timer.unref();
  }

  /** @throws SocketError, such as ENOBUFS, EMSGSIZE or ENETDOWN */
  send(frame: Uint8Array): void {
    sendNow(this.#fd, frame);
  }

  /** All frames heard so far, oldest first; the oldest are forgotten beyond ten thousand. */
  heard(): readonly Captured[] {
    this.#drain();
    return this.#heard;
  }

  /** Forgets what was heard so far, so that a later `capture` starts from now. */
  forget(): void {
    this.#drain();
    this.#heard = [];
  }

  /**
   * The first frame wanted, among those heard already and those to come.
   * @throws WaitTimeout
   */
  capture(wanted: (captured: Captured) => boolean): Promise<Captured> {
    return waitFor(() => this.heard().find(wanted), { what: 'a frame', everyMs: LOOK_MS });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    closeSync(this.#fd);
  }

  #drain(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.#heard.push(toCaptured(next));
      if (this.#heard.length > BACKLOG) this.#heard.shift();
    }
  }

  /** A link that goes down or away is silence, not a failure of the listener. */
  #next(): Datagram | undefined {
    if (this.#closed) return undefined;
    try {
      return receiveNow(this.#fd);
    } catch (error) {
      if (error instanceof SocketError) return undefined;
      throw error;
    }
  }
}

/** struct sockaddr_ll: packet type at offset 10. @see packet(7) */
function toCaptured({ bytes, from }: Datagram): Captured {
  return { frame: bytes, fields: dissect(bytes), direction: from.readUInt8(10) === PACKET_OUTGOING ? 'out' : 'in' };
}
