/** UDP in one direction, without waiting for anything. What arrives stays in the kernel, which throws away what there is no room for. */
import koffi from 'koffi';
import { KernelError } from '../../dataplane/errors.ts';
import { sockaddr } from './tcp.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  connect: libc.func('int connect(int, const void *, uint32_t)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
};

/** @see include/linux/socket.h, include/linux/net.h */
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;

/** One pair of ports, the same at both ends. Open as long as the process. */
export class Datagrams {
  readonly #fd: number;

  /** @throws KernelError */
  constructor(peer: string, port: number) {
    this.#fd = checked('socket', c.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const [own, other] = [sockaddr('0.0.0.0', port), sockaddr(peer, port)];
    checked(`bind port ${port}`, c.bind(this.#fd, own, own.length));
    checked(`connect ${peer}`, c.connect(this.#fd, other, other.length));
  }

  /** Whether it goes is not said. */
  send(bytes: Uint8Array): void {
    c.send(this.#fd, bytes, bytes.length, MSG_DONTWAIT);
  }
}

function checked(op: string, result: number): number {
  if (result < 0) throw new KernelError(op, 'UDP socket', koffi.errno());
  return result;
}
