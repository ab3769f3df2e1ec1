/**
 * Tells the cluster what is wrong on this node: one record with all of it, written when it changes, gone when nothing is wrong. Each
 * write waits for the same kind of budget as what nodes see of packets does, so problems that come and go fill no store. What cannot
 * be told is in the log all the same, and in the answers to STATUS.
 */

import type { Logger } from 'pino';
import { problems as problemsKind } from '../../../controller/model/kinds/problems.ts';
import { ProblemBook, toNodeProblems } from '../../../controller/model/problems.ts';
import { keys, STORE_PREFIX } from '../../../controller/store/keys.ts';
import { pause } from '../../../controller/store/pause.ts';
import { isAway, type Store } from '../../../controller/store/store.ts';
import { WriteBudget } from './write-budget.ts';

export interface ProblemTellerOptions {
  readonly store: Store;
  readonly node: string;
  readonly book: ProblemBook;
  /** how many the cluster has, which share the budget */
  readonly nodes: () => number;
  readonly log: Logger;
  /** between two writes, and after one that failed; 1 s unless given */
  readonly pauseMs?: number;
}

export class ProblemTeller {
  readonly #options: ProblemTellerOptions;
  readonly #budget = new WriteBudget(performance.now());
  readonly #stopping = new AbortController();
  /** as the store has it; undefined: not known */
  #told: { readonly value: string | undefined } | undefined;
  #isDirty = false;
  #working: Promise<void> | undefined;

  constructor(options: ProblemTellerOptions) {
    this.#options = options;
  }

  /** The book says something else; or what was told may have gone, as with a node that was forgotten and is registered again. */
  tell(mayBeGone = false): void {
    if (mayBeGone) this.#told = undefined;
    this.#isDirty = true;
    if (this.#stopping.signal.aborted) return;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      if (this.#isDirty) this.tell();
    });
  }

  /** What is waiting to be told is lost: the node's next life finds it again. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { nodes, pauseMs = 1_000 } = this.#options;
    const { signal } = this.#stopping;
    while (this.#isDirty && !signal.aborted) {
      await pause(this.#budget.waitMs(performance.now(), nodes()), signal);
      if (signal.aborted) return;
      this.#isDirty = false;
      if (!(await this.#tell())) this.#isDirty = true;
      await pause(pauseMs, signal);
    }
  }

  /** @returns false when it has to be tried again */
  async #tell(): Promise<boolean> {
    const { store, node, book, log } = this.#options;
    const key = keys.problems(node);
    const said = toNodeProblems(book.all());
    const value = said === undefined ? undefined : problemsKind.format(said);
    try {
      const told = this.#told ?? { value: (await store.get(key)).entry?.value };
      this.#told = told;
      if (value === told.value) return true;
      this.#budget.spend(STORE_PREFIX.length + key.length + Buffer.byteLength(value ?? ''));
      // A node that was forgotten says nothing, for it would be said for ever. Once it is registered it is told again.
      const guard = { kind: 'present', key: keys.node(node) } as const;
      const write = value === undefined ? ({ kind: 'delete', key } as const) : ({ kind: 'put', key, value } as const);
      const { committed } = await store.commit([guard], [write]);
      this.#told = committed ? { value } : undefined;
      return true;
    } catch (error) {
      this.#told = undefined;
      const away = isAway(error);
      log[away ? 'debug' : 'error']({ op: 'problems', err: error }, away ? 'store away' : 'problems cannot be told');
      return false;
    }
  }
}

/** What is wrong on this node, logged when it begins and when it is over. @param tell after each change */
export function loggedBook(log: Logger, tell: () => void): ProblemBook {
  return new ProblemBook({
    now: () => new Date().toISOString(),
    onChange: ({ kind, about, tenant, text }, change) => {
      const isOver = change === 'ended';
      const fields = { op: 'problem', kind, about, tenant, reason: text };
      log[isOver ? 'info' : 'error'](fields, isOver ? 'problem is over' : 'problem');
      tell();
    },
  });
}
