/** Node states for kernel tests, from a list of items. */
import { type Item, itemKey, type NodeState } from '../../dataplane/state.ts';

/** Of several items of one key the last counts. */
export function stateOf(items: readonly Item[]): NodeState {
  return new Map(items.map((item) => [itemKey(item), item]));
}
