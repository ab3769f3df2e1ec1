/** What every node holds whatever runs on it: the rules, who the nodes are, what is open to all, what is never "beyond". Pure. */
import type { Exception, Node } from '../../../controller/model/records.ts';
import type { ElementItem, Item } from '../../../dataplane/state.ts';
import { isOnSegment, type NodeFacts, VXLAN_PORT } from './node-facts.ts';
import { PROTOCOL_NUMBER } from './protocol-number.ts';
import type { World } from './world.ts';

export function* clusterItems({ snapshot, facts }: World): Generator<Item> {
  const { cluster } = snapshot;
  if (cluster === undefined) return;
  yield {
    kind: 'ruleSet',
    pools: cluster.pools,
    platformNetworks: [...new Set([...cluster.platformNetworks, facts.underlay.subnet])].sort(),
    blockPrefixLength: cluster.blockPrefixLength,
    vxlanPort: VXLAN_PORT,
    masqueradePorts: facts.masqueradePorts,
  };
  for (const destination of cluster.pools) yield { kind: 'route', type: 'blackhole', destination };
  for (const exception of cluster.exceptions) yield exceptionElement(exception);
  yield { kind: 'element', collection: 'node', fields: [facts.underlay.address] };
}

/** A node is closed to pods; another one may send VXLAN. */
export function* nodeItems(node: Node, { facts }: World): Generator<Item> {
  yield { kind: 'element', collection: 'node', fields: [node.underlay] };
  if (node.name !== facts.name) yield vxlanPeer(node, facts);
}

function exceptionElement(exception: Exception): ElementItem {
  const fields = [exception.address, PROTOCOL_NUMBER[exception.protocol], exception.port];
  return { kind: 'element', collection: 'exception', fields };
}

function vxlanPeer(node: Node, facts: NodeFacts): ElementItem {
  return facts.checkUnderlayMac && isOnSegment(facts, node)
    ? { kind: 'element', collection: 'vxlanPeer', fields: [node.underlay, node.underlayMac] }
    : { kind: 'element', collection: 'vxlanRouted', fields: [node.underlay] };
}
