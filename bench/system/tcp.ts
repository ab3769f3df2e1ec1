/**
 * TCP with blocking calls and nothing in between: what Node's streams and event loop cost would hide what the way costs. Knows addresses
 * and bytes, never waits longer than the kernel's own time-outs, and measures nothing.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { ipToBytes, parseIp } from '../../dataplane/address.ts';
import { KernelError } from '../../dataplane/errors.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  listen: libc.func('int listen(int, int)'),
  accept: libc.func('int accept(int, void *, void *)'),
  connect: libc.func('int connect(int, const void *, uint32_t)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
  recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
  shutdown: libc.func('int shutdown(int, int)'),
  prctl: libc.func('int prctl(int, unsigned long)'),
};

/** @see include/linux/socket.h, include/linux/net.h, include/uapi/linux/in.h, include/uapi/linux/tcp.h */
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
/** @see include/uapi/linux/prctl.h */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const PATIENCE_S = 5n;

/** Ends this process with the one that started it, however that ends. */
export function endWithParent(): void {
  checked('prctl', c.prctl(PR_SET_PDEATHSIG, SIGKILL));
}

/** Both ends of a conversation are of this. A call that takes 5 s throws; so does whatever the kernel refuses. */
export class Connection {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
    c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, Int32Array.of(1), 4);
  }

  /** @throws KernelError */
  static open(address: string, port: number): Connection {
    const fd = newSocket();
    try {
      // struct timeval. Its send time-out is connect's too. @see socket(7)
      for (const option of [SO_RCVTIMEO, SO_SNDTIMEO])
        c.setsockopt(fd, SOL_SOCKET, option, BigInt64Array.of(PATIENCE_S, 0n), 16);
      const peer = sockaddr(address, port);
      checked(`connect ${address}`, c.connect(fd, peer, peer.length));
      return new Connection(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The next that connects, however long it takes. @param listener of {@link listen} */
  static accept(listener: number): Connection {
    return new Connection(checked('accept', c.accept(listener, null, null)));
  }

  /** Sends all of it. */
  send(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0; )
      rest = rest.subarray(checked('send', c.send(this.#fd, rest, rest.length, MSG_NOSIGNAL)));
  }

  /** @returns how many bytes came; 0 when there will be no more */
  receive(buffer: Uint8Array): number {
    return checked('recv', c.recv(this.#fd, buffer, buffer.length, 0));
  }

  /** Sends what fits and throws away what has come, without waiting: for a stream whose contents do not matter. */
  exchange(bytes: Uint8Array, scratch: Uint8Array): void {
    c.send(this.#fd, bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (Number(c.recv(this.#fd, scratch, scratch.length, MSG_DONTWAIT)) === scratch.length);
  }

  /** There will be no more of ours. */
  finish(): void {
    checked('shutdown', c.shutdown(this.#fd, SHUT_WR));
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** @returns a descriptor for {@link Connection.accept}, on every address of this namespace */
export function listen(port: number): number {
  const fd = newSocket();
  c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Int32Array.of(1), 4);
  const own = sockaddr('0.0.0.0', port);
  checked(`bind port ${port}`, c.bind(fd, own, own.length));
  checked('listen', c.listen(fd, 64));
  return fd;
}

function newSocket(): number {
  return checked('socket', c.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

/** struct sockaddr_in */
export function sockaddr(address: string, port: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  const bytes = new Uint8Array(view.buffer);
  bytes.set(ipToBytes(parseIp(address)), 4);
  return bytes;
}

function checked(op: string, result: number | bigint): number {
  if (Number(result) < 0) throw new KernelError(op, 'TCP socket', koffi.errno());
  return Number(result);
}
