/**
 * Hears a link's frames, each with the time at which the kernel took it from the link: however late they are read, that is when they came.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { ERRNO, KernelError } from '../../dataplane/errors.ts';
import { linkIndex } from '../../dataplane/system/libc.ts';
import { readTimespec } from './clock.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
  recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
  ioctl: libc.func('int ioctl(int, unsigned long, void *)'),
};

/** @see include/linux/socket.h, include/linux/net.h, include/uapi/linux/if_ether.h, include/uapi/linux/if_packet.h */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_IP = 0x0800;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
/** @see include/uapi/asm-generic/sockios.h, SIOCGSTAMPNS_OLD: the time of the frame read last */
const SIOCGSTAMPNS = 0x8907;
const RECEIVE_BUFFER = 64 * 1024 * 1024;
/** Of a frame, headers alone. */
const SNAP = 64;

export interface Heard {
  /** microseconds since 1970 */
  readonly atUs: number;
  /** its first bytes, from the destination MAC on */
  readonly frame: Uint8Array;
}

/** A link, heard from the moment this is made. What it sends itself is not heard: that goes to taps of every protocol alone. */
export class PacketTap {
  readonly #fd: number;
  readonly #stamp = new Uint8Array(16);

  /** @param run does something in the link's namespace @throws KernelError */
  constructor(run: <T>(work: () => T) => T, link: string) {
    this.#fd = run(() => {
      const index = linkIndex(link);
      if (index === undefined) throw new KernelError('bind', `link ${link}`, ERRNO.ENODEV);
      const fd = checked(c.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), 'socket');
      checked(c.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, Int32Array.of(RECEIVE_BUFFER), 4), 'setsockopt');
      // Asked for the first time, the kernel begins to keep times. There is none yet, which it says.
      c.ioctl(fd, SIOCGSTAMPNS, this.#stamp);
      const address = new DataView(new ArrayBuffer(20));
      address.setUint16(0, AF_PACKET, true);
      address.setUint16(2, ETH_P_IP);
      address.setInt32(4, index, true);
      checked(c.bind(fd, new Uint8Array(address.buffer), address.byteLength), 'bind');
      return fd;
    });
  }

  /** The next frame. @returns undefined when none is left for now */
  next(): Heard | undefined {
    const frame = new Uint8Array(SNAP);
    const length = Number(c.recv(this.#fd, frame, SNAP, MSG_DONTWAIT));
    if (length < 0 && koffi.errno() === ERRNO.EAGAIN) return undefined;
    checked(length, 'recv');
    checked(c.ioctl(this.#fd, SIOCGSTAMPNS, this.#stamp), 'ioctl');
    return { atUs: readTimespec(this.#stamp), frame: frame.subarray(0, length) };
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function checked(result: number, op: string): number {
  if (result < 0) throw new KernelError(op, 'packet socket', koffi.errno());
  return result;
}
