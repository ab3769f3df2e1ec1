/**
 * Work that is done one after the other within this process, because side by side it would only get into its own way. What other
 * processes do meanwhile, guards of commits must catch. Work of different names is apart.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does the work once all that came before it under this name has ended, however it ended. */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const own = before === undefined ? work() : before.then(work, work);
    this.#last.set(name, own);
    try {
      return await own;
    } finally {
      if (this.#last.get(name) === own) this.#last.delete(name);
    }
  }
}
