/**
 * What waits for one who listens to a tenant's denials. One who takes it too slowly loses the oldest and is told how many: what waits
 * is bounded, whatever is refused and however slow he is.
 */

import type { NumberedDenial, Position } from '../model/denials.ts';
import type { Denial } from '../model/records.ts';

/** What a listener hears, in this order; after `gone` nothing, for the tenant has been deleted. */
export type DenialEvent =
  | { readonly kind: 'denial'; readonly denial: NumberedDenial }
  /** so many more were refused, and are not told */
  | { readonly kind: 'skipped'; readonly count: number }
  | { readonly kind: 'gone' };

/** Events that wait for a slow listener at most: some hundred kilobytes. */
export const MAX_WAITING = 500;

export class DenialSubscription {
  readonly #isWanted: (denial: Denial) => boolean;
  readonly #leave: () => void;
  readonly #waiting: DenialEvent[] = [];
  /** of what has been taken: the node of the last one at the end */
  readonly #position = new Map<string, number>();
  #skipped = 0;
  #ended = false;
  #onReady: () => void = () => {};

  /** @param leave called once, when it is closed or has ended */
  constructor(isWanted: (denial: Denial) => boolean, leave: () => void) {
    this.#isWanted = isWanted;
    this.#leave = leave;
  }

  /** Called whenever there may be something to take, or nothing any more. */
  set onReady(listener: () => void) {
    this.#onReady = listener;
  }

  /** Has it ended, and everything been taken? */
  get isOver(): boolean {
    return this.#ended && this.#waiting.length === 0 && this.#skipped === 0;
  }

  /** How far its reader has come, to go on from there by another connection. */
  get position(): Position {
    return this.#position;
  }

  /** Where it begins. */
  startAt(position: Position): void {
    for (const [node, sequence] of position) this.#position.set(node, sequence);
  }

  /** The next event; undefined while there is none. What was lost comes before what it was older than. */
  take(): DenialEvent | undefined {
    if (this.#skipped === 0) {
      const event = this.#waiting.shift();
      if (event?.kind === 'denial') {
        const { node, sequence } = event.denial;
        this.#position.delete(node);
        this.#position.set(node, sequence);
      }
      return event;
    }
    const count = this.#skipped;
    this.#skipped = 0;
    return { kind: 'skipped', count };
  }

  offer(event: DenialEvent): void {
    if (this.#ended || (event.kind === 'denial' && !this.#isWanted(event.denial))) return;
    this.#waiting.push(event);
    if (this.#waiting.length > MAX_WAITING) {
      const lost = this.#waiting.shift();
      this.#skipped += lost?.kind === 'skipped' ? lost.count : 1;
    }
    this.#onReady();
  }

  /** Nothing comes after what waits. @param gone the tenant is */
  end(gone: boolean): void {
    if (this.#ended) return;
    if (gone) this.#waiting.push({ kind: 'gone' });
    this.#ended = true;
    this.#leave();
    this.#onReady();
  }

  /** Its reader takes nothing any more. */
  close(): void {
    this.#waiting.length = 0;
    this.#skipped = 0;
    this.end(false);
  }
}
