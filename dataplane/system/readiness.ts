/** Waiting, off the main thread, until sockets have something to read. One libuv pool thread sleeps in poll(2) meanwhile. */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const poll = libc.func('int poll(void *, unsigned long, int)');

/** struct pollfd: s32 fd, s16 events, s16 revents */
const POLLFD = 8;
const POLLIN = 1;
/** how long one sleep lasts at most: closing waits for its end */
const SLEEP_MS = 300;

/** Calls back each time one of the descriptors is readable, and again while it stays so. @returns a function that ends it */
export function whenReadable(fds: readonly number[], onReadable: () => void): () => void {
  const pollfds = new DataView(new ArrayBuffer(fds.length * POLLFD));
  fds.forEach((fd, index) => {
    pollfds.setInt32(index * POLLFD, fd, true);
    pollfds.setInt16(index * POLLFD + 4, POLLIN, true);
  });
  let ended = false;
  const wait = () => {
    if (ended) return;
    poll.async(new Uint8Array(pollfds.buffer), fds.length, SLEEP_MS, (_error: unknown, ready: number) => {
      if (ended) return;
      if (ready > 0) onReadable();
      wait();
    });
  };
  wait();
  return () => {
    ended = true;
  };
}
