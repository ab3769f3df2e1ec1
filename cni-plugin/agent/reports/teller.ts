/**
 * Writes what this node saw: one key after the other, each with its latest value, no faster than its budget allows. What the store
 * does not take is lost.
 */

import type { Logger } from 'pino';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { noteStoreError } from '../../../controller/store/findings.ts';
import { keys, STORE_PREFIX } from '../../../controller/store/keys.ts';
import { pause } from '../../../controller/store/pause.ts';
import type { Store } from '../../../controller/store/store.ts';
import { WriteBudget } from './write-budget.ts';

export interface TellerOptions {
  readonly store: Store;
  readonly node: string;
  /** how many the cluster has, which share the budget */
  readonly nodes: () => number;
  readonly book: ProblemBook;
  readonly log: Logger;
}

/** What a problem of it is about. */
const ABOUT = 'what is refused and counted';

interface Untold {
  readonly value: string;
  readonly present: readonly string[];
}

export class Teller {
  readonly #options: TellerOptions;
  readonly #budget = new WriteBudget(performance.now());
  readonly #stopping = new AbortController();
  /** in the order in which they are told: a key that has been told goes to the end */
  readonly #untold = new Map<string, Untold>();
  #working: Promise<void> | undefined;

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** Replaces what is waiting to be told under this key. @param present keys of what it is about: it is lost where they are gone */
  tell(key: string, value: string, present: readonly string[]): void {
    if (this.#stopping.signal.aborted) return;
    this.#untold.set(key, { value, present });
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** What waits for the budget is lost. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { store, node, nodes, book, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const waitMs = this.#budget.waitMs(performance.now(), nodes());
      if (waitMs > 0) {
        await pause(waitMs, signal);
        continue;
      }
      const [next] = this.#untold;
      if (next === undefined) return;
      const [key, { value, present }] = next;
      this.#untold.delete(key);
      // Only while the node is known, and what it is about.
      const guards = [keys.node(node), ...present].map((each) => ({ kind: 'present', key: each }) as const);
      this.#budget.spend(STORE_PREFIX.length + Buffer.byteLength(key) + Buffer.byteLength(value));
      try {
        await store.commit(guards, [{ kind: 'put', key, value }]);
        book.solved('store_refused', ABOUT);
      } catch (error) {
        if (noteStoreError(book, ABOUT, error)) log.debug({ op: 'sightings', key, err: error }, 'store away');
      }
    }
  }
}
