/**
 * What callers of REST want to be told just now of what nodes see, as their controllers ask for it in the store. Follows it, and
 * decides nothing.
 */
import { type Subject, wanted } from '../../../controller/model/kinds/wanted.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { followingProblems } from '../../../controller/store/findings.ts';
import { follow } from '../../../controller/store/follow.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Entry, Store, WatchBatch } from '../../../controller/store/store.ts';

export interface DemandOptions {
  readonly store: Store;
  readonly book: ProblemBook;
  /** a subject that was not wanted, or has been asked for once more, such as `traffic` or `denials/blue` */
  readonly onWanted: (subject: Subject) => void;
}

export class Demand {
  readonly #options: DemandOptions;
  readonly #stopping = new AbortController();
  /** keys of those who ask, by subject */
  #asked = new Map<Subject, Set<string>>();

  constructor(options: DemandOptions) {
    this.#options = options;
  }

  isWanted(subject: Subject): boolean {
    return this.#asked.has(subject);
  }

  start(): void {
    const { store, book } = this.#options;
    const sink = {
      snapshot: (entries: readonly Entry[]) => {
        const before = this.#asked;
        this.#asked = new Map();
        for (const { key } of entries) this.#add(key);
        for (const [subject, askers] of this.#asked) {
          const known = before.get(subject);
          if ([...askers].some((key) => known?.has(key) !== true)) this.#options.onWanted(subject);
        }
      },
      events: ({ events }: WatchBatch) => {
        for (const event of events) {
          if (event.kind === 'delete') {
            this.#remove(event.key);
            continue;
          }
          const subject = this.#add(event.entry.key);
          if (subject !== undefined) this.#options.onWanted(subject);
        }
      },
    };
    void follow(store, keys.wanted, sink, this.#stopping.signal, followingProblems(book));
  }

  close(): void {
    this.#stopping.abort();
  }

  /** @returns undefined for a key of another form */
  #add(key: string): Subject | undefined {
    const subject = wanted.place(key)?.subject;
    if (subject === undefined) return undefined;
    const askers = this.#asked.get(subject) ?? new Set();
    this.#asked.set(subject, askers.add(key));
    return subject;
  }

  #remove(key: string): void {
    const subject = wanted.place(key)?.subject;
    const askers = subject && this.#asked.get(subject);
    if (subject !== undefined && askers?.delete(key) === true && askers.size === 0) this.#asked.delete(subject);
  }
}
