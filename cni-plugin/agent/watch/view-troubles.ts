/** What keeps the view of the cluster from being whole, as problems: prefixes that cannot be followed, records that cannot be read. */
import type { Logger } from 'pino';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { followingProblems, unreadableFinding } from '../../../controller/store/findings.ts';
import type { FollowWatcher } from '../../../controller/store/follow.ts';
import type { Snapshot } from './snapshot.ts';

export class ViewTroubles implements FollowWatcher {
  readonly #book: ProblemBook;
  readonly #log: Logger;
  readonly #problems: FollowWatcher;
  readonly #onRecovered: () => void;
  readonly #deafTo = new Set<string>();

  /** @param onRecovered called when a prefix is followed again */
  constructor(book: ProblemBook, log: Logger, onRecovered: () => void) {
    this.#book = book;
    this.#log = log;
    this.#problems = followingProblems(book);
    this.#onRecovered = onRecovered;
  }

  /** A prefix whose changes do not arrive here though the store answers, if there is one. */
  get deafTo(): string | undefined {
    const [prefix] = this.#deafTo;
    return prefix;
  }

  failed(prefix: string, error: unknown): void {
    if (!this.#deafTo.has(prefix)) this.#log.debug({ op: 'follow', prefix, err: error }, 'cannot be followed');
    this.#deafTo.add(prefix);
    this.#problems.failed(prefix, error);
  }

  recovered(prefix: string): void {
    if (!this.#deafTo.delete(prefix)) return;
    this.#problems.recovered(prefix);
    this.#onRecovered();
  }

  noteUnreadable({ unreadable }: Snapshot): void {
    this.#book.replace('record_unreadable', [...unreadable.values()].map(unreadableFinding));
  }
}
