/**
 * Waiting, off the main thread, until sockets have something to read. One libuv pool thread sleeps in poll(2) meanwhile; an eventfd
 * wakes it when no caller waits any more. Reads nothing itself.
 */
import { closeSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import { KernelError } from '../errors.ts';

const libc = koffi.load('libc.so.6');
const c = {
  poll: libc.func('int poll(void *, unsigned long, int)'),
  eventfd: libc.func('int eventfd(unsigned int, int)'),
};

/** struct pollfd: s32 fd, s16 events, s16 revents */
const POLLFD = 8;
const POLLIN = 1;
/** @see sys/eventfd.h */
const EFD_CLOEXEC = 0o2000000;
/** How long one sleep lasts at most. A process that exits without ending the wait lasts that much longer. */
const SLEEP_MS = 300;

/**
 * Calls back each time one of the descriptors is readable, and again while it stays so. Keeps the process alive until ended.
 * @returns a function that ends it: no call follows, and the descriptors may be closed
 * @throws KernelError
 */
export function whenReadable(fds: readonly number[], onReadable: () => void): () => void {
  const wake = c.eventfd(0, EFD_CLOEXEC);
  if (wake < 0) throw new KernelError('eventfd', 'wake-up', koffi.errno());
  const pollfds = pollfdsOf([...fds, wake]);
  let ended = false;
  const wait = () => {
    c.poll.async(pollfds, fds.length + 1, SLEEP_MS, (_error: unknown, ready: number) => {
      if (!ended && ready > 0) onReadable();
      // Asked again: the call back may have ended it.
      if (ended) closeSync(wake);
      else wait();
    });
  };
  wait();
  return () => {
    if (ended) return;
    ended = true;
    writeSync(wake, BigUint64Array.of(1n));
  };
}

function pollfdsOf(fds: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(fds.length * POLLFD));
  for (const [index, fd] of fds.entries()) {
    view.setInt32(index * POLLFD, fd, true);
    view.setInt16(index * POLLFD + 4, POLLIN, true);
  }
  return new Uint8Array(view.buffer);
}
