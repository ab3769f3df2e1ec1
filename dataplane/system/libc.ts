/**
 * The few libc calls Node does not offer: sockets of any family, setns, unshare, kinds of namespaces. Only this folder imports koffi.
 * Every call throws KernelError with the errno.
 */
import koffi from 'koffi';
import { ERRNO, KernelError } from '../errors.ts';

const libc = koffi.load('libc.so.6');
const c = {
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  getsockname: libc.func('int getsockname(int, void *, void *)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
  send: libc.func('intptr_t send(int, const void *, size_t, int)'),
  recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
  setns: libc.func('int setns(int, int)'),
  unshare: libc.func('int unshare(int)'),
  ioctl: libc.func('int ioctl(int, unsigned long)'),
  close: libc.func('int close(int)'),
  flock: libc.func('int flock(int, int)'),
  if_nametoindex: libc.func('unsigned int if_nametoindex(const char *)'),
  if_indextoname: libc.func('void *if_indextoname(unsigned int, void *)'),
};

/** @see include/uapi/linux/sched.h */
export const CLONE_NEWNET = 0x40000000;
/** @see include/linux/socket.h */
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_PEEK = 0x02;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

/** A descriptor that names a file without opening it. @see include/uapi/asm-generic/fcntl.h */
export const O_PATH = 0o10000000;
/** `_IO(0xb7, 0x3)`, since Linux 4.11. @see include/uapi/linux/nsfs.h */
const NS_GET_NSTYPE = 0xb703;

function checked(result: number, op: string, object: string): number {
  if (result < 0) throw new KernelError(op, object, koffi.errno());
  return result;
}

/** @param object names the socket in errors */
export function socket(family: number, type: number, protocol: number, object: string): number {
  return checked(c.socket(family, type, protocol), 'socket', object);
}

/** @param address a struct sockaddr of the socket's family */
export function bind(fd: number, address: Uint8Array, object: string): void {
  checked(c.bind(fd, address, address.length), 'bind', object);
}

/** @returns the struct sockaddr, `size` bytes */
export function getsockname(fd: number, size: number, object: string): Uint8Array {
  const address = new Uint8Array(size);
  checked(c.getsockname(fd, address, Uint32Array.of(size)), 'getsockname', object);
  return address;
}

/** Sets an integer option. @returns false where the kernel refuses it */
export function trySetsockopt(fd: number, level: number, option: number, value: number): boolean {
  return c.setsockopt(fd, level, option, Int32Array.of(value), 4) === 0;
}

export function setsockopt(
  fd: number,
  level: number,
  option: number,
  value: Uint8Array | number,
  object: string,
): void {
  const bytes = typeof value === 'number' ? Int32Array.of(value) : value;
  checked(c.setsockopt(fd, level, option, bytes, bytes.byteLength), 'setsockopt', object);
}

/** @returns bytes sent */
export function send(fd: number, bytes: Uint8Array, flags: number, object: string): number {
  return checked(c.send(fd, bytes, bytes.length, flags), 'send', object);
}

/** As {@link send}, on a libuv pool thread: for what the kernel takes long to do. `bytes` must not change meanwhile. */
export function sendAsync(fd: number, bytes: Uint8Array, flags: number, object: string): Promise<number> {
  return new Promise((resolve, reject) => {
    c.send.async(fd, bytes, bytes.length, flags, (failure: unknown, result: number) => {
      // koffi brings the errno of the pool's thread along into this callback.
      if (failure) reject(failure);
      else if (result < 0) reject(new KernelError('send', object, koffi.errno()));
      else resolve(result);
    });
  });
}

/**
 * @returns bytes received; with MSG_TRUNC the datagram's real length, which may be more than fits. undefined when nothing is
 * waiting (MSG_DONTWAIT) or a signal came first: both are everyday, and too frequent for an exception
 */
export function recv(fd: number, buffer: Uint8Array, flags: number, object: string): number | undefined {
  const received = c.recv(fd, buffer, buffer.length, flags);
  if (received >= 0) return received;
  const errno = koffi.errno();
  if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return undefined;
  throw new KernelError('recv', object, errno);
}

/** Enters a namespace with THIS thread alone. @param fd of a namespace file @param type CLONE_NEW… */
export function setns(fd: number, type: number, object: string): void {
  checked(c.setns(fd, type), 'setns', object);
}

/** @param fd of a namespace file @returns CLONE_NEW… */
export function namespaceType(fd: number): number {
  return checked(c.ioctl(fd, NS_GET_NSTYPE), 'ioctl', 'NS_GET_NSTYPE');
}

/** Gives THIS thread new namespaces. @param flags CLONE_NEW… */
export function unshare(flags: number): void {
  checked(c.unshare(flags), 'unshare', `0x${flags.toString(16)}`);
}

export function close(fd: number): void {
  c.close(fd);
}

/** The number of a link of this thread's namespace. @returns undefined when there is none of that name */
export function linkIndex(name: string): number | undefined {
  return c.if_nametoindex(name) || undefined;
}

/** @returns undefined when there is no link of that number */
export function linkName(index: number): string | undefined {
  const name = new Uint8Array(16);
  if (c.if_indextoname(index, name) === null) return undefined;
  return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
}

/** @see sys/file.h */
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Locks an open file for this process, until the descriptor is closed or the process ends. @returns false if another has it */
export function tryLock(fd: number): boolean {
  return c.flock(fd, LOCK_EX | LOCK_NB) === 0;
}
