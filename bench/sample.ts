/**
 * Sampling: runs the subjects of a comparison in turns, so that whatever else the machine does hits all of them, and sums up
 * how long each of their operations took. Knows nothing of what is measured.
 */

/** One side of a comparison. */
export interface Subject {
  readonly name: string;
  /** how often the operations are done in one turn; below {@link WARM_UP} of them, the first of a turn count as well */
  readonly turns: number;
  /** Each is timed by itself; they run in this order, each undoing what the one before did. */
  readonly operations: Readonly<Record<string, () => void>>;
}

/** How long one operation of one subject took. */
export interface Timing {
  readonly subject: string;
  readonly operation: string;
  /** microseconds */
  readonly medianUs: number;
  readonly p95Us: number;
  /** median of each round's first, right after the other subjects had the processor's caches */
  readonly coldMedianUs: number;
  /** measured runs that the median and p95 stand on */
  readonly runs: number;
}

export interface SampleOptions {
  readonly rounds: number;
  /** no further round begins after this, once there were `fewest` */
  readonly budgetMs: number;
  readonly fewest: number;
}

/** Runs at the beginning of a turn that are not counted, where a turn has more than so many. */
const WARM_UP = 10;

/** Lets every subject have a turn, round after round. The first round is for compilers and caches, and counts nowhere. */
export function sampleInterleaved(subjects: readonly Subject[], { rounds, budgetMs, fewest }: SampleOptions): Timing[] {
  const recorders = subjects.map((subject) => new Recorder(subject));
  for (const recorder of recorders) recorder.turn(false);
  const end = performance.now() + budgetMs;
  for (let round = 0; round < rounds; round++) {
    if (round >= fewest && performance.now() > end) break;
    for (const recorder of recorders) recorder.turn(true);
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

  turn(counts: boolean): void {
    const { turns, operations } = this.#subject;
    const uncounted = turns > WARM_UP ? WARM_UP : 0;
    for (let run = 0; run < turns; run++) {
      for (const [operation, work] of Object.entries(operations)) {
        const started = performance.now();
        work();
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
      medianUs: round(percentile(times, 50)),
      p95Us: round(percentile(times, 95)),
      coldMedianUs: round(percentile(this.#cold.get(operation) ?? [], 50)),
      runs: times.length,
    }));
  }
}

/** To what the clock can tell. */
function round(us: number): number {
  return Math.round(us * 100) / 100;
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
