/**
 * On which processor the calling thread runs. The kernel hands a packet from link to link in the queue of the processor it was sent on,
 * so what has to come behind a packet is sent from the same one. Never changes what other threads or processes may use.
 */
import { getPriority, setPriority } from 'node:os';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const c = {
  getAffinity: libc.func('int sched_getaffinity(int, size_t, void *)'),
  setAffinity: libc.func('int sched_setaffinity(int, size_t, const void *)'),
};

/** Bytes of a cpu_set_t. @see sched_setaffinity(2), CPU_SET(3) */
const CPU_SET_BYTES = 128;
/** On a busy machine, a thread that moves to another processor else waits there for its turn. @see setpriority(2) */
const AHEAD_OF_OTHERS = -19;

/** Runs `work` once on each processor that this thread may use, then lets it use all of them again. @throws Error with the errno */
export function onEachProcessor(work: () => void): void {
  const allowed = Buffer.alloc(CPU_SET_BYTES);
  check('sched_getaffinity', c.getAffinity(0, CPU_SET_BYTES, allowed));
  const priority = getPriority();
  try {
    setPriority(AHEAD_OF_OTHERS);
    for (const processor of numbersIn(allowed)) {
      const only = Buffer.alloc(CPU_SET_BYTES);
      only.writeUInt8(1 << (processor & 7), processor >> 3);
      check('sched_setaffinity', c.setAffinity(0, CPU_SET_BYTES, only));
      work();
    }
  } finally {
    setPriority(priority);
    check('sched_setaffinity', c.setAffinity(0, CPU_SET_BYTES, allowed));
  }
}

function numbersIn(set: Buffer): number[] {
  return Array.from({ length: set.length * 8 }, (_, processor) => processor).filter(
    (processor) => ((set[processor >> 3] ?? 0) >> (processor & 7)) & 1,
  );
}

function check(op: string, result: number): void {
  if (result < 0) throw new Error(`${op}: errno ${koffi.errno()}`);
}
