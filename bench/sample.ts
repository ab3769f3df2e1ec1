/**
 * Sampling: runs the subjects of a comparison in turns, so that whatever else the machine does hits all of them, and sums up
 * how long each of their operations took. Knows nothing of what is measured.
 */
import { setImmediate } from 'node:timers/promises';
import type { Summary, Unit } from './result.ts';

/** One side of a comparison. */
export interface Subject {
  readonly name: string;
  /** how often the operations are done in one turn; below {@link WARM_UP} of them, the first of a turn count as well */
  readonly turns: number;
  /** Each is timed by itself, to the end of what it promises; they run in this order, each undoing what the one before did. */
  readonly operations: Readonly<Record<string, () => unknown>>;
}

/** How long one operation of one subject took. */
export interface Timing extends Summary {
  readonly subject: string;
  readonly operation: string;
}

export interface SampleOptions {
  readonly rounds: number;
  /** no further round begins after this, once there were `fewest` */
  readonly budgetMs: number;
  readonly fewest: number;
  /** looked at between turns */
  readonly signal?: AbortSignal;
}

/** Runs at the beginning of a turn that are not counted, where a turn has more than so many. */
const WARM_UP = 10;
/** Runs that a 99th percentile needs. */
const ENOUGH_FOR_P99 = 100;

/**
 * Lets every subject have a turn, round after round. The first round is for compilers and caches, and counts nowhere.
 * @throws the signal's reason
 */
export async function sampleInterleaved(
  subjects: readonly Subject[],
  { rounds, budgetMs, fewest, signal }: SampleOptions,
): Promise<Timing[]> {
  const recorders = subjects.map((subject) => new Recorder(subject));
  const takeTurns = async (counts: boolean): Promise<void> => {
    for (const recorder of recorders) {
      // Lets signals in: most of what is measured never waits for anything.
      await setImmediate();
      signal?.throwIfAborted();
      await recorder.turn(counts);
    }
  };
  await takeTurns(false);
  const end = performance.now() + budgetMs;
  for (let round = 0; round < rounds; round++) {
    if (round >= fewest && performance.now() > end) break;
    await takeTurns(true);
  }
  return recorders.flatMap((recorder) => recorder.timings());
}

/** The times of one subject, by operation, in microseconds. */
class Recorder {
  readonly #subject: Subject;
  readonly #times = new Map<string, number[]>();
  readonly #cold = new Map<string, number[]>();

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  async turn(counts: boolean): Promise<void> {
    const { turns, operations } = this.#subject;
    const uncounted = turns > WARM_UP ? WARM_UP : 0;
    for (let run = 0; run < turns; run++) {
      for (const [operation, work] of Object.entries(operations)) {
        const started = performance.now();
        const done = work();
        // An await costs as much as what is measured, where nothing is promised.
        if (done instanceof Promise) await done;
        const tookUs = (performance.now() - started) * 1000;
        if (!counts) continue;
        if (run === 0) push(this.#cold, operation, tookUs);
        if (run >= uncounted) push(this.#times, operation, tookUs);
      }
    }
  }

  timings(): Timing[] {
    return Array.from(this.#times, ([operation, times]) => ({
      subject: this.#subject.name,
      operation,
      ...summarise(times, 'µs'),
      cold: toClock(percentile(this.#cold.get(operation) ?? [], 50)),
    }));
  }
}

/** Median and bad end of values of one unit. Of rates and ratios to be high the bad end is the low one. */
export function summarise(values: readonly number[], unit: Unit): Summary {
  const higherIsBetter = unit === '/s' || unit === 'Gbit/s';
  const worst = (percent: number) => toClock(percentile(values, higherIsBetter ? 100 - percent : percent));
  return {
    unit,
    value: toClock(percentile(values, 50)),
    p95: worst(95),
    ...(values.length >= ENOUGH_FOR_P99 && { p99: worst(99) }),
    runs: values.length,
  };
}

/** To what the clock can tell. */
function toClock(value: number): number {
  return Math.round(value * 100) / 100;
}

function push(lists: Map<string, number[]>, name: string, value: number): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}

/** The smallest value that at least `percent` of all are not above (nearest rank). NaN of nothing. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil((percent / 100) * sorted.length), 1) - 1] ?? Number.NaN;
}
