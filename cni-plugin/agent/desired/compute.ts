/** The desired state made at once, of a world that stays as it is. Pure. */
import type { Block, Endpoint } from '../../../controller/model/records.ts';
import type { NodeState } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { Desired } from './desired.ts';
import type { NodeFacts } from './node-facts.ts';

/** What this node itself has: known here first, and kept when the store is away. */
export interface LocalState {
  readonly endpoints: Iterable<Endpoint>;
  readonly blocks: Iterable<Block>;
}

/** The desired state made from nothing. @returns undefined while the cluster's configuration is unknown */
export function computeDesired(snapshot: Snapshot, facts: NodeFacts, local: LocalState): NodeState | undefined {
  const desired = new Desired(snapshot, facts);
  for (const block of local.blocks) desired.setOwnBlock(block);
  for (const endpoint of local.endpoints) desired.setEndpoint(endpoint);
  return desired.update()?.state;
}
