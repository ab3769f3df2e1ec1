/**
 * The ordered changes that turn one node state into another. Order is what keeps a node safe half-way: isolation first (elements
 * and rules are one transaction), then what is added, bottom up, then what is removed, top down. Pure.
 */
import { type Item, itemKey, type NodeState, sameItem } from './state.ts';

export type Change =
  | { readonly op: 'add'; readonly item: Item }
  | { readonly op: 'replace'; readonly item: Item; readonly previous: Item }
  | { readonly op: 'remove'; readonly item: Item };

/**
 * rtnetlink has no transaction, so its order matters: a link must exist before what stands on it, a gateway's neighbour before the
 * route that uses it; and a pod's link goes up last, when everything that guards it is there.
 */
const ADD_ORDER = {
  ruleSet: 0,
  element: 1,
  overlayLink: 2,
  address: 3,
  fdb: 4,
  neighbour: 5,
  podLink: 6,
  route: 7,
} as const satisfies Record<Item['kind'], number>;

/** @returns changes in the order in which to make them; empty when the states are equal */
export function diff(desired: NodeState, observed: NodeState): Change[] {
  return diffOf(allKeys(desired, observed), desired, observed);
}

/**
 * As {@link diff}, of some keys alone: costs what they cost, however large the states are.
 * @param keys all in which the states can differ
 */
export function diffOf(keys: Iterable<string>, desired: NodeState, observed: NodeState): Change[] {
  const changes: Change[] = [];
  const removals: Change[] = [];
  for (const key of keys) {
    const item = desired.get(key);
    const previous = observed.get(key);
    if (item === undefined) {
      if (previous !== undefined) removals.push({ op: 'remove', item: previous });
    } else if (previous === undefined) changes.push({ op: 'add', item });
    else if (!sameItem(item, previous)) changes.push({ op: 'replace', item, previous });
  }
  changes.sort(byOrder(1));
  removals.sort(byOrder(-1));
  return [...changes, ...removals];
}

function byOrder(sign: 1 | -1) {
  return (a: Change, b: Change) => sign * (ADD_ORDER[a.item.kind] - ADD_ORDER[b.item.kind]);
}

function* allKeys(desired: NodeState, observed: NodeState): Generator<string> {
  yield* desired.keys();
  for (const key of observed.keys()) if (!desired.has(key)) yield key;
}

/** Makes `changes` to a state in place, those in `failed` (by item key) left undone. */
export function applyTo(
  state: Map<string, Item>,
  changes: readonly Change[],
  failed: { has(key: string): boolean } = new Set(),
): void {
  for (const change of changes) {
    const key = itemKey(change.item);
    if (failed.has(key)) continue;
    if (change.op === 'remove') state.delete(key);
    else state.set(key, change.item);
  }
}
