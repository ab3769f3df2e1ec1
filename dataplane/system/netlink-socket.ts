/** A netlink socket of the namespace it was opened in, with the options Tenet wants. Knows bytes, not messages. */
import { ERRNO, KernelError } from '../errors.ts';
import {
  AF_NETLINK,
  bind,
  close,
  getsockname,
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  recv,
  SOCK_CLOEXEC,
  SOCK_RAW,
  send,
  sendAsync,
  setsockopt,
  socket,
  trySetsockopt,
} from './libc.ts';

/** @see include/uapi/linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
/** @see include/uapi/asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** struct sockaddr_nl: u16 family, u16 pad, u32 port id, u32 groups */
const SOCKADDR_NL = 12;

/** A transaction of millions of elements is one send. */
const SEND_BUFFER = 128 * 1024 * 1024;
const RECEIVE_BUFFER = 16 * 1024 * 1024;
/** The kernel cuts dumps into datagrams of at most this; longer single messages make the buffer grow. */
const FIRST_DATAGRAM = 64 * 1024;

export class NetlinkSocket {
  /** for {@link whenReadable} */
  readonly fd: number;
  readonly #name: string;
  #buffer: Uint8Array;
  /** our address: the kernel puts it into notifications of what we did ourselves */
  readonly portId: number;

  /**
   * @param groups multicast groups to join, by number
   * @param room bytes there are for a datagram at first
   * @throws KernelError
   */
  constructor(
    protocol: typeof NETLINK_ROUTE | typeof NETLINK_NETFILTER,
    groups: readonly number[] = [],
    room = FIRST_DATAGRAM,
  ) {
    this.#buffer = new Uint8Array(room);
    this.#name = protocol === NETLINK_ROUTE ? 'rtnetlink socket' : 'nfnetlink socket';
    this.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol, this.#name);
    try {
      this.#setOptions(protocol);
      this.portId = this.#bind();
      for (const group of groups) setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, this.#name);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  #setOptions(protocol: number): void {
    setsockopt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1, this.#name);
    setsockopt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1, this.#name);
    if (protocol === NETLINK_ROUTE) trySetsockopt(this.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    for (const [force, plain, size] of [
      [SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER],
      [SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER],
    ] as const) {
      if (!trySetsockopt(this.fd, SOL_SOCKET, force, size)) trySetsockopt(this.fd, SOL_SOCKET, plain, size);
    }
  }

  /** @returns the port the kernel chose */
  #bind(): number {
    const address = new Uint8Array(SOCKADDR_NL);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
    bind(this.fd, address, this.#name);
    return new DataView(getsockname(this.fd, SOCKADDR_NL, this.#name).buffer).getUint32(4, true);
  }

  send(bytes: Uint8Array): void {
    const sent = send(this.fd, bytes, 0, `${this.#name}, ${bytes.length} bytes`);
    if (sent !== bytes.length) throw new KernelError('send', this.#name, ERRNO.EMSGSIZE);
  }

  /** As {@link send} without keeping this thread waiting while the kernel works. */
  async sendAsync(bytes: Uint8Array): Promise<void> {
    const sent = await sendAsync(this.fd, bytes, 0, `${this.#name}, ${bytes.length} bytes`);
    if (sent !== bytes.length) throw new KernelError('send', this.#name, ERRNO.EMSGSIZE);
  }

  /** Blocks until a datagram is there. */
  receive(): Uint8Array {
    // Looks at the length first: what is longer than the buffer would be lost.
    for (;;) {
      const length = recv(this.fd, this.#buffer, MSG_PEEK | MSG_TRUNC, this.#name);
      if (length === undefined) continue;
      if (length > this.#buffer.length) this.#buffer = new Uint8Array(length * 2);
      const received = recv(this.fd, this.#buffer, 0, this.#name);
      if (received !== undefined) return this.#buffer.subarray(0, received);
    }
  }

  /**
   * Without a look at the length first, which would cost as much again: acknowledgements and notifications are short.
   * @returns undefined when none is waiting @throws KernelError, ENOBUFS when one was lost, be it for want of room here
   */
  poll(): Uint8Array | undefined {
    const length = recv(this.fd, this.#buffer, MSG_DONTWAIT | MSG_TRUNC, this.#name);
    if (length === undefined) return undefined;
    if (length <= this.#buffer.length) return this.#buffer.subarray(0, length);
    this.#buffer = new Uint8Array(length * 2);
    throw new KernelError('recv', `${this.#name}, ${length} bytes`, ERRNO.ENOBUFS);
  }

  close(): void {
    close(this.fd);
  }
}
