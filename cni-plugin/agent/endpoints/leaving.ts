/** What DEL leaves to be done after its answer: links that the kernel is still taking away, whose addresses are free in a moment. */
export class Leaving {
  readonly #work = new Set<Promise<void>>();
  readonly #onGone: () => void;
  #ended = 0;

  /** @param onGone told after each */
  constructor(onGone: () => void) {
    this.#onGone = onGone;
  }

  /** Counts work as under way until it ends, well or not. @throws what it throws */
  async wait(work: Promise<void>): Promise<void> {
    this.#work.add(work);
    try {
      await work;
    } finally {
      this.#work.delete(work);
      this.#ended++;
      this.#onGone();
    }
  }

  /** How much has ended so far: what was refused before may be free since. */
  get ended(): number {
    return this.#ended;
  }

  /** Waits for all that is under way now. @returns whether there was any */
  async settled(): Promise<boolean> {
    const work = [...this.#work];
    await Promise.allSettled(work);
    return work.length > 0;
  }
}
