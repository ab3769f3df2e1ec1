/**
 * Named network namespaces, made and unmade by system calls: what `ip netns add` and `ip netns delete` do, without a process for each, for
 * tests make thousands. A name is a file in /run/netns with the namespace mounted on it; that /run/netns itself is a mount of its own is
 * left to iproute2, which makes the first ones of every lab.
 */
import { closeSync, openSync, rmSync } from 'node:fs';
import koffi from 'koffi';
import { unshareNetns, withNetns } from '../../dataplane/system/netns.ts';
import { netnsPath } from './probe/netns-path.ts';

const libc = koffi.load('libc.so.6');
const c = {
  mount: libc.func('int mount(const char *, const char *, const char *, unsigned long, const void *)'),
  umount2: libc.func('int umount2(const char *, int)'),
  socket: libc.func('int socket(int, int, int)'),
  ioctl: libc.func('int ioctl(int, unsigned long, const void *)'),
};

/** Of this thread, whichever process's. */
const OWN = '/proc/thread-self/ns/net';
/** @see include/uapi/linux/mount.h, include/linux/fs.h */
const MS_BIND = 4096;
const MNT_DETACH = 2;
/** @see include/linux/socket.h, include/linux/net.h */
const AF_INET = 2;
const SOCK_DGRAM = 2;
/** @see include/uapi/linux/sockios.h, include/uapi/linux/if.h: struct ifreq has the name in 16 bytes, then the flags in 2 */
const SIOCSIFFLAGS = 0x8914;
const IFREQ_BYTES = 40;
const IFF_UP = 1;
/** What is unmounted or unlinked already. */
const GONE = [2, 22];

function check(op: string, result: number, expected: readonly number[] = []): number {
  if (result < 0 && !expected.includes(koffi.errno())) throw new Error(`${op}: errno ${koffi.errno()}`);
  return result;
}

/** Makes a namespace with its loopback up. @throws Error if the name is taken */
export function addNetns(name: string): void {
  const path = netnsPath(name);
  closeSync(openSync(path, 'wx', 0));
  try {
    // This thread is back in its own when the work is over.
    withNetns(OWN, () => {
      unshareNetns();
      setLoopbackUp();
      check(`mount ${path}`, c.mount(OWN, path, 'none', MS_BIND, null));
    });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** Takes the name away; the namespace goes with the last that uses it. One that is gone already is fine. @throws Error */
export function deleteNetns(name: string): void {
  const path = netnsPath(name);
  check(`umount ${path}`, c.umount2(path, MNT_DETACH), GONE);
  rmSync(path, { force: true });
}

function setLoopbackUp(): void {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write('lo');
  request.writeUInt16LE(IFF_UP, 16);
  const socket = check('socket', c.socket(AF_INET, SOCK_DGRAM, 0));
  try {
    check('ioctl SIOCSIFFLAGS lo', c.ioctl(socket, SIOCSIFFLAGS, request));
  } finally {
    closeSync(socket);
  }
}
