/** Lets the desired state drop, a little later, what packets under way may still look up. */
import type { Desired } from '../desired/desired.ts';
import type { Reconciler } from './loop.ts';

/** A packet takes microseconds through the rules. */
const SWEEP_MS = 500;

export class Sweeper {
  readonly #desired: Desired;
  readonly #reconciler: Pick<Reconciler, 'request'>;
  #timer: NodeJS.Timeout | undefined;

  constructor(desired: Desired, reconciler: Pick<Reconciler, 'request'>) {
    this.#desired = desired;
    this.#reconciler = reconciler;
  }

  /** The kernel holds what is wanted: what is unused from now on may go once it is old enough. */
  applied(): void {
    if (!this.#desired.hasUnused || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#desired.sweep();
      this.#reconciler.request();
    }, SWEEP_MS).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
