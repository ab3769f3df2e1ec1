/** Port sets by what they hold: made when a part first uses one, kept for a while after the last has stopped. Pure. */
import type { Item } from '../../../../dataplane/state.ts';
import { Numbers } from './numbers.ts';
import { FIXED_PORT_SETS, portPrefixes } from './port-ranges.ts';

export class PortSets {
  readonly #onNew: (number: number) => void;
  readonly #numbers = new Numbers();
  /** parts that use each */
  readonly #uses = new Map<number, number>();
  readonly #usedBy = new Map<string, ReadonlySet<number>>();
  readonly #unused = new Set<number>();
  /** those of them that were so at the last sweep already */
  #old = new Set<number>();

  /** @param onNew told of each that comes or goes: its part has to be made */
  constructor(onNew: (number: number) => void) {
    this.#onNew = onNew;
  }

  /** The items of a part that uses port sets. @param make is given what turns the text of ports into a port set's number */
  using(part: string, make: (use: (text: string) => number) => Iterable<Item>): Item[] {
    const used = new Set<number>();
    const items = [
      ...make((text) => {
        const fixed = FIXED_PORT_SETS.get(text);
        if (fixed !== undefined) return fixed;
        const number = this.#numbers.take(text);
        if (!used.has(number)) this.#use(number);
        used.add(number);
        return number;
      }),
    ];
    for (const number of this.#usedBy.get(part) ?? []) this.#release(number);
    if (used.size === 0) this.#usedBy.delete(part);
    else this.#usedBy.set(part, used);
    return items;
  }

  *parts(): Generator<string> {
    for (const number of this.#uses.keys()) yield `ports ${number}`;
  }

  *items(number: number): Generator<Item> {
    const text = this.#numbers.textOf(number);
    if (text === undefined) return;
    for (const { protocol, port, bits } of portPrefixes(text)) {
      yield { kind: 'element', collection: `port/${bits}`, fields: [number, protocol, port] };
    }
  }

  get hasUnused(): boolean {
    return this.#unused.size > 0;
  }

  /** Lets go of those that nothing has used since the last sweep. */
  sweep(): void {
    for (const number of this.#unused) {
      if (!this.#old.has(number)) continue;
      this.#unused.delete(number);
      this.#uses.delete(number);
      this.#numbers.release(number);
      this.#onNew(number);
    }
    this.#old = new Set(this.#unused);
  }

  #use(number: number): void {
    const uses = this.#uses.get(number);
    if (uses === undefined) this.#onNew(number);
    this.#uses.set(number, (uses ?? 0) + 1);
    this.#unused.delete(number);
    this.#old.delete(number);
  }

  #release(number: number): void {
    const uses = (this.#uses.get(number) ?? 0) - 1;
    this.#uses.set(number, uses);
    if (uses === 0) this.#unused.add(number);
  }
}
