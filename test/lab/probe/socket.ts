/**
 * Sockets born in another network namespace, for probes: the libc calls that Node has no words for, with plain file descriptors.
 * Every descriptor is non-blocking. Knows no protocol above the socket address and never waits.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { ipToBytes, parseIp } from '../../../dataplane/address.ts';
import { withNetns } from '../../../dataplane/system/netns.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  connect: libc.func('int connect(int, const void *, uint32_t)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
  getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
  sendto: libc.func('intptr_t sendto(int, const void *, size_t, int, const void *, uint32_t)'),
  recvfrom: libc.func('intptr_t recvfrom(int, void *, size_t, int, void *, void *)'),
  ifNameToIndex: libc.func('uint32_t if_nametoindex(const char *)'),
  poll: libc.func('int poll(void *, unsigned long, int)'),
};

/** @see include/linux/socket.h, include/linux/net.h, include/uapi/linux/in.h */
const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const TYPE = { stream: 1, datagram: 2, raw: 3 } as const;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUFFORCE = 33;
const POLLIN = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const SEGMENTS_OUT = 136;
const ETH_P_ALL = 3;
const EAGAIN = 11;
const EINPROGRESS = 115;

/** Names of the errors that a probe's caller tells apart; others appear as `errno N`. @see errno(3) */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  13: 'EACCES',
  22: 'EINVAL',
  90: 'EMSGSIZE',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
  100: 'ENETDOWN',
  101: 'ENETUNREACH',
  105: 'ENOBUFS',
  111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH',
};

/** A refused call; `code` is the errno's name, as in Node's own errors. */
export class SocketError extends Error {
  readonly code: string;
  constructor(op: string, errno: number) {
    const code = ERROR_NAMES[errno] ?? `errno ${errno}`;
    super(`${op}: ${code}`);
    this.code = code;
  }
}

function checked(op: string, result: number | bigint): number {
  if (Number(result) < 0) throw new SocketError(op, koffi.errno());
  return Number(result);
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** By their text: few addresses, and packets without end. */
const addressBytes = new Map<string, Uint8Array>();

/** struct sockaddr_in or sockaddr_in6. @see include/uapi/linux/in.h, in6.h */
function sockaddr({ address, port }: Endpoint): Buffer {
  const ip = addressBytes.get(address) ?? ipToBytes(parseIp(address));
  addressBytes.set(address, ip);
  const bytes = Buffer.alloc(ip.length === 4 ? 16 : 28);
  bytes.writeUInt16LE(ip.length === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ip, ip.length === 4 ? 4 : 8);
  return bytes;
}

/** @param netns path of a namespace file @param kind `icmp` is a raw IPv4 socket of that protocol */
function openSocket(netns: string, kind: 'tcp' | 'udp' | 'icmp', family: 4 | 6): number {
  const type = kind === 'tcp' ? TYPE.stream : kind === 'udp' ? TYPE.datagram : TYPE.raw;
  const domain = family === 4 ? AF_INET : AF_INET6;
  const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  return withNetns(netns, () => checked('socket', c.socket(domain, type | flags, kind === 'icmp' ? 1 : 0)));
}

/** Closes the descriptor if `work` throws. */
export function owning<T>(fd: number, work: (fd: number) => T): T {
  try {
    return work(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const familyOfText = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** @returns a descriptor, bound, not yet listening @throws SocketError */
export function openBound(netns: string, kind: 'tcp' | 'udp', local: Endpoint): number {
  const fd = openSocket(netns, kind, familyOfText(local.address));
  return owning(fd, () => {
    if (kind === 'tcp') c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Int32Array.of(1), 4);
    const address = sockaddr(local);
    checked('bind', c.bind(fd, address, address.length));
    return fd;
  });
}

/**
 * A TCP socket on its way to a connection, or a UDP one that knows its peer and hears its ICMP errors.
 * @throws SocketError what the kernel says at once, such as ENETUNREACH
 */
export function openConnected(netns: string, kind: 'tcp' | 'udp', remote: Endpoint, local?: Endpoint): number {
  const fd = local ? openBound(netns, kind, local) : openSocket(netns, kind, familyOfText(remote.address));
  return owning(fd, () => {
    const address = sockaddr(remote);
    if (c.connect(fd, address, address.length) < 0 && koffi.errno() !== EINPROGRESS)
      throw new SocketError('connect', koffi.errno());
    return fd;
  });
}

/** A raw IPv4 socket: sends what follows the IP header, hears all ICMP that reaches this namespace, IP header included. */
export function openIcmp(netns: string, local?: string): number {
  const fd = openSocket(netns, 'icmp', 4);
  return owning(fd, () => {
    if (local !== undefined) {
      const address = sockaddr({ address: local, port: 0 });
      checked('bind', c.bind(fd, address, address.length));
    }
    return fd;
  });
}

/** A raw IPv4 socket of one protocol: sends and hears whole packets, IP header included; the kernel still answers them too. */
export function openRaw(netns: string, protocol: number): number {
  const type = TYPE.raw | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = withNetns(netns, () => checked('socket', c.socket(AF_INET, type, protocol)));
  return owning(fd, () => {
    setOption(fd, IPPROTO_IP, IP_HDRINCL, 1);
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
    return fd;
  });
}

/** Whole Ethernet frames in and out of one link. @see packet(7) @throws SocketError if there is no such link */
export function openPacket(netns: string, link: string): number {
  return withNetns(netns, () => {
    const index = c.ifNameToIndex(link);
    if (index === 0) throw new SocketError(`link ${link}`, koffi.errno());
    const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8);
    // Opened for no protocol: until it is bound it would hear every link.
    const fd = checked('socket', c.socket(AF_PACKET, TYPE.raw | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return owning(fd, () => {
      c.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, Int32Array.of(8 << 20), 4);
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16LE(protocol, 2);
      address.writeInt32LE(index, 4);
      checked('bind', c.bind(fd, address, address.length));
      return fd;
    });
  });
}

/** Sets an integer option. @throws SocketError */
export function setOption(fd: number, level: number, option: number, value: number): void {
  checked('setsockopt', c.setsockopt(fd, level, option, Int32Array.of(value), 4));
}

/** Segments that a connection has sent, repeated ones included. @see include/uapi/linux/tcp.h, struct tcp_info, tcpi_segs_out */
export function tcpSegmentsSent(fd: number): number {
  const info = Buffer.alloc(256);
  checked('getsockopt', c.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, Uint32Array.of(info.length)));
  return info.readUInt32LE(SEGMENTS_OUT);
}

/** Sends one datagram or frame on a socket that is connected or bound to a link. @throws SocketError */
export function sendNow(fd: number, bytes: Uint8Array): void {
  checked('send', c.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** @throws SocketError */
export function sendToNow(fd: number, bytes: Uint8Array, remote: Endpoint): void {
  const address = sockaddr(remote);
  checked('sendto', c.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length));
}

/** Sleeps, the whole thread, until there is something to receive or the time is over. @see poll(2), struct pollfd */
export function waitReadable(fd: number, atMostMs: number): void {
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLIN, 4);
  checked('poll', c.poll(pollfd, 1, atMostMs));
}

export interface Datagram {
  readonly bytes: Buffer;
  /** struct sockaddr of the sender */
  readonly from: Buffer;
}

const receiveBuffer = Buffer.alloc(70_000);
const senderBuffer = Buffer.alloc(28);
const senderLength = new Uint32Array(1);

/** @returns what has arrived, or undefined if nothing has @throws SocketError, such as a pending ICMP error's */
export function receiveNow(fd: number): Datagram | undefined {
  senderLength[0] = senderBuffer.length;
  const length = Number(c.recvfrom(fd, receiveBuffer, receiveBuffer.length, MSG_DONTWAIT, senderBuffer, senderLength));
  if (length >= 0) return { bytes: Buffer.from(receiveBuffer.subarray(0, length)), from: Buffer.from(senderBuffer) };
  const errno = koffi.errno();
  if (errno === EAGAIN) return undefined;
  throw new SocketError('recv', errno);
}
