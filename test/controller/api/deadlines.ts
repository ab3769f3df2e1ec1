/**
 * Deadlines that a test runs out. Those of a second and more are over when the test says so; shorter ones once the event loop has
 * turned so often that whatever needs no timer has happened: how long that takes decides nothing.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { SetDeadline } from '../../../controller/enforcement/deadline.ts';

const SHORT_MS = 1000;
const TURNS = 50;

/** Several turns of the event loop, in which whatever was going to happen without a timer has happened. */
export async function settle(): Promise<void> {
  for (let turns = 0; turns < TURNS; turns++) await turn();
}

export class Deadlines {
  readonly #running = new Map<AbortController, number>();

  /** those that are neither over nor cancelled, milliseconds each */
  get running(): readonly number[] {
    return [...this.#running.values()];
  }

  readonly set: SetDeadline = (ms) => {
    const over = new AbortController();
    this.#running.set(over, ms);
    if (ms < SHORT_MS) void settle().then(() => this.#end(over));
    return { signal: over.signal, cancel: () => void this.#running.delete(over) };
  };

  /** All of them are over. */
  elapse(): void {
    for (const over of [...this.#running.keys()]) this.#end(over);
  }

  #end(over: AbortController): void {
    if (this.#running.delete(over)) over.abort();
  }
}
