/**
 * A node's state as the union of named parts: replacing one part costs its own items, and says which keys may have changed. Several
 * parts may hold the same item (two blocks on one node share its neighbour entry); it stays while any of them does. Pure.
 */
import { type Item, itemKey, type NodeState } from '../../../dataplane/state.ts';

export class PartedState {
  readonly #state = new Map<string, Item>();
  readonly #parts = new Map<string, readonly string[]>();
  /** parts that hold a key */
  readonly #holders = new Map<string, number>();
  #changed = new Set<string>();

  /** All items of all parts; changes with them. */
  get state(): NodeState {
    return this.#state;
  }

  /** Parts that have items. */
  names(): Iterable<string> {
    return this.#parts.keys();
  }

  /** @param items of equal keys must be equal in all parts, once all that changed have been set */
  set(name: string, items: readonly Item[]): void {
    const before = this.#parts.get(name) ?? [];
    const now = new Map(items.map((item) => [itemKey(item), item]));
    for (const [key, item] of now) {
      this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
      this.#state.set(key, item);
      this.#changed.add(key);
    }
    for (const key of before) {
      const left = (this.#holders.get(key) ?? 0) - 1;
      this.#changed.add(key);
      if (left > 0) this.#holders.set(key, left);
      else {
        this.#holders.delete(key);
        this.#state.delete(key);
      }
    }
    if (now.size === 0) this.#parts.delete(name);
    else this.#parts.set(name, [...now.keys()]);
  }

  /** Keys that any part set since the last call held or holds. */
  takeChanged(): ReadonlySet<string> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }
}
