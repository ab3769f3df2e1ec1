/**
 * What callers of REST want to be told just now of what nodes see, as their controllers ask for it in the store. Follows it, and
 * decides nothing.
 */
import { type Subject, wanted } from '../../../controller/model/kinds/wanted.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { followingProblems } from '../../../controller/store/findings.ts';
import { keys } from '../../../controller/store/keys.ts';
import { Replica } from '../../../controller/store/replica.ts';
import type { Revision, Store } from '../../../controller/store/store.ts';

export interface DemandOptions {
  readonly store: Store;
  readonly book: ProblemBook;
  /** a subject that was not wanted, or has been asked for once more, such as `traffic` or `denials/blue` */
  readonly onWanted: (subject: Subject) => void;
}

interface Ask {
  readonly subject: Subject;
  /** another one: it has been asked for once more */
  readonly revision: Revision;
}

export class Demand {
  readonly #options: DemandOptions;
  readonly #stopping = new AbortController();
  readonly #asks: Replica<Ask>;
  /** so many ask for it */
  readonly #asked = new Map<Subject, number>();

  constructor(options: DemandOptions) {
    this.#options = options;
    this.#asks = new Replica({
      book: options.book,
      read: ({ key, modRevision }, before) => {
        const subject = wanted.place(key)?.subject;
        if (before?.revision === modRevision) return before;
        return subject && { subject, revision: modRevision };
      },
      onChange: (_, now, before) => {
        if (now !== undefined) this.#count(now.subject, 1);
        if (before !== undefined) this.#count(before.subject, -1);
        if (now !== undefined) options.onWanted(now.subject);
      },
    });
  }

  isWanted(subject: Subject): boolean {
    return this.#asked.has(subject);
  }

  start(): void {
    const { store, book } = this.#options;
    void this.#asks.follow(store, keys.wanted, this.#stopping.signal, followingProblems(book));
  }

  close(): void {
    this.#stopping.abort();
  }

  #count(subject: Subject, change: 1 | -1): void {
    const count = (this.#asked.get(subject) ?? 0) + change;
    if (count > 0) this.#asked.set(subject, count);
    else this.#asked.delete(subject);
  }
}
