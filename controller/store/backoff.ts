/** How long to wait before trying again: doubling, capped, with jitter so that many clients do not come back as one. */
import { pause } from './pause.ts';

const FIRST_MS = 40;
const CAP_MS = 1000;

/** Delays between tries at one thing; `reset` when it works. */
export class Backoff {
  #tries = 0;

  /** Milliseconds, a random half to the whole of 40, 80, 160 … 1000. */
  nextMs(): number {
    const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** this.#tries);
    this.#tries = Math.min(this.#tries + 1, 10);
    return ceiling * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#tries = 0;
  }

  /** Waits the next delay; returns early, without throwing, when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    await pause(this.nextMs(), signal);
  }
}
