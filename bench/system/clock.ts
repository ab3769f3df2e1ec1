/** The machine's clock, finer than Date: what the kernel stamps packets with, the same in every process and network namespace. */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const c = {
  clock_gettime: libc.func('int clock_gettime(int, void *)'),
  usleep: libc.func('int usleep(unsigned int)'),
};

/** @see include/uapi/linux/time.h */
const CLOCK_REALTIME = 0;

/** struct timespec, 64-bit. @returns microseconds since 1970, to a fraction of one */
export function readTimespec(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Number(view.getBigInt64(0, true)) * 1e6 + Number(view.getBigInt64(8, true)) / 1e3;
}

/** Microseconds since 1970, to a fraction of one. */
export function realtimeUs(): number {
  const timespec = new Uint8Array(16);
  c.clock_gettime(CLOCK_REALTIME, timespec);
  return readTimespec(timespec);
}

/** Blocks this thread: for processes that do nothing else. */
export function sleepUs(us: number): void {
  c.usleep(us);
}
