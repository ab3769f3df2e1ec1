/** What a benchmark hands back, and what its JSON file holds. Types only. */
import type { Machine } from './machine.ts';
import type { Timing } from './sample.ts';

export interface RunOptions {
  /** fewer rounds, a third of the time */
  readonly quick: boolean;
  /** says what is going on */
  readonly progress: (what: string) => void;
}

/** One line of the comparison. */
export interface Figure extends Timing {
  /** rules or elements that were there already */
  readonly existing: number;
  /** medianUs over that of Tenet's own subject, same operation, same `existing`; 1 for Tenet itself */
  readonly timesTenet: number;
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
  /** peers that were left out, and why */
  readonly skipped: readonly string[];
}

/** One benchmark. */
export interface Part {
  readonly name: string;
  readonly title: string;
  readonly run: (options: RunOptions) => PartResult;
}

/** One part in a result file. */
export interface Report extends PartResult {
  readonly part: string;
  /** RFC 3339 */
  readonly at: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly machine: Machine;
}
