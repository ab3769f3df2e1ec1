/**
 * Many frames sent with few calls: frames laid out in memory once, ready for sendmmsg(2), so that the sender costs little and always the
 * same. Knows no protocol above Ethernet and measures nothing.
 */
import { closeSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { ERRNO, KernelError } from '../../dataplane/errors.ts';
import { linkIndex } from '../../dataplane/system/libc.ts';
import type { BenchNamespace } from '../namespace.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
  sendmmsg: libc.func('int sendmmsg(int, uintptr_t, unsigned int, int)'),
};

/** @see include/linux/socket.h, include/linux/net.h, include/uapi/linux/if_packet.h */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;

/** struct iovec: base, length. struct mmsghdr: struct msghdr (56 bytes), u32 sent, padding. @see recvmmsg(2), 64-bit layout */
const IOVEC = 16;
const MMSGHDR = 64;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
/** Each frame begins a cache line. */
const LINE = 64;
/** What one sendmmsg takes. @see include/linux/socket.h, UIO_MAXIOV */
const MOST_AT_ONCE = 1024;

/** Frames in the order they leave in. Its memory lasts as long as the process. */
export class FrameTrain {
  readonly length: number;
  readonly #messages: bigint;

  /**
   * @param frames each as it goes onto the link, at most 64 bytes
   * @param order indexes of `frames`, as often as wanted
   */
  constructor(frames: readonly Uint8Array[], order: readonly number[]) {
    this.length = order.length;
    const bodies = allocate(frames.length * LINE);
    for (const [index, frame] of frames.entries()) {
      if (frame.length > LINE) throw new RangeError(`a frame of ${frame.length} bytes, at most ${LINE}`);
      bodies.bytes.set(frame, index * LINE);
    }
    const vectors = allocate(order.length * IOVEC);
    const messages = allocate(order.length * MMSGHDR);
    for (const [place, index] of order.entries()) {
      vectors.view.setBigUint64(place * IOVEC, bodies.address + BigInt(index * LINE), true);
      vectors.view.setBigUint64(place * IOVEC + 8, BigInt(frames[index]?.length ?? 0), true);
      messages.view.setBigUint64(place * MMSGHDR + MSG_IOV, vectors.address + BigInt(place * IOVEC), true);
      messages.view.setBigUint64(place * MMSGHDR + MSG_IOVLEN, 1n, true);
    }
    this.#messages = messages.address;
  }

  /** Address of the message header at a place, for sendmmsg. */
  at(place: number): bigint {
    return this.#messages + BigInt(place * MMSGHDR);
  }
}

/** Zeroed memory that never moves, which sendmmsg's pointers need. */
function allocate(size: number): { readonly address: bigint; readonly bytes: Uint8Array; readonly view: DataView } {
  const pointer = koffi.alloc('uint8_t', size);
  const buffer = koffi.view(pointer, size);
  new Uint8Array(buffer).fill(0);
  return { address: koffi.address(pointer), bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}

/** A raw socket on one link that sends past the link's queue: what happens next, happens before the call returns. */
export class FrameSender {
  readonly #fd: number;

  /** @throws KernelError */
  constructor(namespace: Pick<BenchNamespace, 'run'>, link: string) {
    this.#fd = namespace.run(() => {
      const index = linkIndex(link);
      if (index === undefined) throw new KernelError('bind', `link ${link}`, ERRNO.ENODEV);
      // For no protocol: it hears nothing.
      const fd = checked(c.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), 'socket');
      const address = new DataView(new ArrayBuffer(20));
      address.setUint16(0, AF_PACKET, true);
      address.setInt32(4, index, true);
      checked(c.bind(fd, new Uint8Array(address.buffer), address.byteLength), 'bind');
      checked(c.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, Int32Array.of(1), 4), 'setsockopt');
      return fd;
    });
  }

  /** Sends `count` frames of the train from a place on. @throws KernelError; also if not all went */
  send(train: FrameTrain, from: number, count: number): void {
    if (from + count > train.length || count > MOST_AT_ONCE) throw new RangeError(`${count} frames from ${from}`);
    const sent = checked(c.sendmmsg(this.#fd, train.at(from), count, 0), 'sendmmsg');
    if (sent !== count) throw new KernelError('sendmmsg', `${sent} of ${count} frames`, ERRNO.EAGAIN);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Packets that a link of this thread's namespace has received. @throws Error if there is no such link */
export function packetsReceived(link: string): number {
  // Name, then bytes and packets received. @see proc_pid_net(5)
  const [, packets] =
    new RegExp(`^ *${link}: *\\d+ +(\\d+)`, 'm').exec(readFileSync('/proc/thread-self/net/dev', 'utf8')) ?? [];
  if (packets === undefined) throw new Error(`no link ${link}`);
  return Number(packets);
}

function checked(result: number, op: string): number {
  if (result < 0) throw new KernelError(op, 'packet socket', koffi.errno());
  return result;
}
