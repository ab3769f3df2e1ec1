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
  const changes: Change[] = [];
  const removals: Change[] = [];
  for (const [key, item] of desired) {
    const previous = observed.get(key);
    if (previous === undefined) changes.push({ op: 'add', item });
    else if (!sameItem(item, previous)) changes.push({ op: 'replace', item, previous });
  }
  for (const [key, item] of observed) if (!desired.has(key)) removals.push({ op: 'remove', item });
  changes.sort(byOrder(1));
  removals.sort(byOrder(-1));
  return [...changes, ...removals];
}

function byOrder(sign: 1 | -1) {
  return (a: Change, b: Change) => sign * (ADD_ORDER[a.item.kind] - ADD_ORDER[b.item.kind]);
}

/** The state after `changes`, those in `failed` (by item key) left undone. */
export function applied(
  state: NodeState,
  changes: readonly Change[],
  failed: ReadonlySet<string> = new Set(),
): NodeState {
  const next = new Map(state);
  for (const change of changes) {
    const key = itemKey(change.item);
    if (failed.has(key)) continue;
    if (change.op === 'remove') next.delete(key);
    else next.set(key, change.item);
  }
  return next;
}
