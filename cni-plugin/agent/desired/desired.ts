/**
 * The whole desired state of a node: what it knows of the cluster and its own endpoints in, kernel items out. Every part
 * contributes items by itself and equal keys are equal items, so the order of parts means nothing. Pure.
 *
 *   snapshot ─┬─ cluster.ts    rules, nodes, exceptions, pools
 *             ├─ overlays.ts   system overlay, tenants' overlays, remote blocks
 *   endpoints ┴─ endpoints.ts  pod links, addresses, who may call whom
 */
import type { Block, Endpoint } from '../../../controller/model/records.ts';
import { type Item, itemKey, type NodeState } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { clusterItems } from './cluster.ts';
import { endpointItems } from './endpoints.ts';
import type { NodeFacts } from './node-facts.ts';
import { overlayItems } from './overlays.ts';

/** What this node itself has: known here first, and kept when the store is away. */
export interface LocalState {
  readonly endpoints: Iterable<Endpoint>;
  readonly blocks: Iterable<Block>;
}

/** @returns undefined while the cluster's configuration is unknown: then nothing may be written */
export function computeDesired(snapshot: Snapshot, facts: NodeFacts, local: LocalState): NodeState | undefined {
  const { cluster } = snapshot;
  if (cluster === undefined) return undefined;
  const endpoints = [...local.endpoints];
  const tenants = new Set(endpoints.map((endpoint) => endpoint.tenant));
  const state = new Map<string, Item>();
  const add = (items: Iterable<Item>) => {
    for (const item of items) state.set(itemKey(item), item);
  };
  add(clusterItems(cluster, snapshot, facts));
  add(overlayItems(snapshot, facts, tenants, [...local.blocks]));
  for (const endpoint of endpoints) add(endpointItems(endpoint, snapshot.tenant(endpoint.tenant), facts));
  return state;
}
