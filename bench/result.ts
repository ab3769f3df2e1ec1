/** What a benchmark is, what it hands back, and what its JSON file holds (bench/README.md describes that for readers). Types only. */
import type { Machine } from './machine.ts';

/** `µs` stands for all times, `/s` for all rates; the table shows them in the unit that suits. */
export type Unit = 'µs' | '/s' | 'MiB' | 'Gbit/s' | '×' | 'elements';

export interface RunOptions {
  /** fewer runs and sizes: the part takes less than a minute */
  readonly quick: boolean;
  /** aborted on Ctrl-C and when the part's time is up: unwind, take down what was built, and throw its reason */
  readonly signal: AbortSignal;
  /** says what is going on */
  readonly progress: (what: string) => void;
}

/** The middle of many runs, and their bad end. */
export interface Summary {
  readonly unit: Unit;
  /** median */
  readonly value: number;
  /** what 95 % of the runs are not worse than: of a rate, its slow end */
  readonly p95: number;
  /** likewise 99 %; where there are a hundred runs */
  readonly p99?: number;
  /** median of each turn's first run, right after the other subjects had the processor's caches */
  readonly cold?: number;
  /** measured runs that the figures stand on */
  readonly runs: number;
}

/** One line of a comparison: how `subject` did `operation` at `scale`. */
export interface Figure extends Summary {
  /** what was done, such as `add one element` */
  readonly operation: string;
  /** who or what did it, such as `nft -f -` */
  readonly subject: string;
  /** how much was there, or at once; {@link Part.scale} says of what */
  readonly scale: number;
}

/** One of the design's targets and how it came out. */
export interface Target {
  readonly what: string;
  readonly wanted: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface PartResult {
  readonly figures: readonly Figure[];
  readonly targets: readonly Target[];
  /** versions of the tools measured beside us, by name */
  readonly tools: Readonly<Record<string, string>>;
  /** subjects that were left out, and why */
  readonly skipped: readonly string[];
}

/** One picture of a part: what it shows of the figures. */
export interface Chart {
  readonly title: string;
  /** `lines`: over the scale, both axes logarithmic. `bars`: one for each subject, grouped by operation and scale. */
  readonly kind: 'lines' | 'bars';
  /** whose figures are shown; of one unit */
  readonly operations: readonly string[];
  /** bars: their length is the logarithm, for figures that are far apart */
  readonly log?: boolean;
}

/** One benchmark. */
export interface Part {
  /** for `--only`, and its files in bench/results */
  readonly name: string;
  readonly title: string;
  /** what {@link Figure.scale} counts, such as `elements there already` */
  readonly scale: string;
  /** the subject that the others are compared with, in each operation and scale */
  readonly baseline: string;
  readonly charts: readonly Chart[];
  /**
   * Measures. Whatever it starts is ended and removed when it settles, however it does.
   * @throws PartUnavailable on a machine that cannot run it
   */
  readonly run: (options: RunOptions) => Promise<PartResult>;
}

/** A figure as reported. */
export interface ComparedFigure extends Figure {
  /** `value` over that of the part's baseline in the same operation and scale; absent where there is none */
  readonly ratio?: number;
}

/** One part in a result file. */
export interface Report extends Omit<PartResult, 'figures'> {
  readonly part: string;
  readonly scale: string;
  readonly baseline: string;
  readonly figures: readonly ComparedFigure[];
  /** why the whole part was left out; there are no figures then */
  readonly unavailable?: string;
  /** RFC 3339 */
  readonly at: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly machine: Machine;
}

/** This machine cannot run a part: a kernel feature or a program is missing. Not a failure. */
export class PartUnavailable extends Error {
  readonly code = 'unavailable';
}
