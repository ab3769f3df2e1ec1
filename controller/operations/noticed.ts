/**
 * Records that requests came across and could not read: problems of this controller. No watch says when such a problem is over, so each
 * look at what is wrong reads them again.
 */
import { readRecord } from '../model/kinds/all.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import type { ProblemBook } from '../model/problems.ts';
import { noteReading } from '../store/findings.ts';
import type { Store } from '../store/store.ts';

/** Records read again at once. */
const AT_ONCE = 50;

export class Noticed {
  readonly #store: Pick<Store, 'get'>;
  readonly #book: ProblemBook;
  readonly #keys = new Set<string>();

  constructor(store: Pick<Store, 'get'>, book: ProblemBook) {
    this.#store = store;
    this.#book = book;
  }

  /** @param found what came of reading the record of a key just now */
  note(key: string, found: unknown): void {
    if (found instanceof Unreadable) this.#keys.add(key);
    else if (!this.#keys.delete(key)) return;
    noteReading(this.#book, key, found);
  }

  /** Ends the problems of records that were mended or are gone. @throws Unavailable */
  async lookAgain(): Promise<void> {
    const all = [...this.#keys];
    for (let start = 0; start < all.length; start += AT_ONCE) {
      const look = async (key: string) => {
        const { entry } = await this.#store.get(key);
        this.note(key, entry && readRecord(entry));
      };
      await Promise.all(all.slice(start, start + AT_ONCE).map(look));
    }
  }
}
