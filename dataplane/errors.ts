/** Errors the dataplane raises: what the kernel refused, and bytes that are not what they should be. */

/** errno values by name; Node's os.constants lacks ERESTART. @see include/uapi/asm-generic/errno.h */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  ERANGE: 34,
  ENOSYS: 38,
  ERESTART: 85,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
} as const;

const errnoNames = new Map<number, string>(Object.entries(ERRNO).map(([name, value]) => [value, name]));

/** `ENOENT` for 2; `errno 200` for one without a name here. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** A system call or a netlink request that the kernel refused. */
export class KernelError extends Error {
  readonly code = 'kernel';
  /** what was asked, such as `RTM_NEWROUTE` or `setns` */
  readonly op: string;
  /** which object, such as `route 10.0.0.0/24 dev tnt42` */
  readonly object: string;
  readonly errno: number;
  /** the kernel's extended-ack message, where it gave one */
  readonly extack: string | undefined;
  /** byte offset of the offending attribute in the request, where the kernel gave one */
  readonly offset: number | undefined;
  constructor(op: string, object: string, errno: number, detail: { extack?: string; offset?: number } = {}) {
    super(`${op} ${object}: ${errnoName(errno)}${detail.extack ? ` (${detail.extack})` : ''}`);
    this.op = op;
    this.object = object;
    this.errno = errno;
    this.extack = detail.extack;
    this.offset = detail.offset;
  }
}

/** Bytes that cannot be read as what they should be, or a value that cannot be written. */
export class CodecError extends Error {
  readonly code = 'codec';
  /** byte offset into what was being read; 0 when writing */
  readonly offset: number;
  constructor(expected: string, offset = 0) {
    super(`at byte ${offset}: ${expected}`);
    this.offset = offset;
  }
}

/** A path that is no network namespace, is gone, or cannot be entered. */
export class InvalidNetns extends Error {
  readonly code = 'invalid_netns';
  /** @param why such as `it is a FIFO` */
  constructor(path: string, why: string, options?: ErrorOptions) {
    super(`${path} is not a network namespace that can be entered: ${why}`, options);
  }
}

/** Is this a KernelError with one of these errno values? */
export function isErrno(error: unknown, ...errnos: readonly number[]): error is KernelError {
  return error instanceof KernelError && errnos.includes(error.errno);
}
