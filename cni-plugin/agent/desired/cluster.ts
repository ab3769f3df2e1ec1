/** What every node holds whatever runs on it: the rules, who the nodes are, what is open to all, what is never "beyond". Pure. */
import type { ClusterConfig, Exception, Node } from '../../../controller/model/records.ts';
import type { ElementItem, Item } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { isOnSegment, type NodeFacts, VXLAN_PORT } from './node-facts.ts';

/** @see https://www.iana.org/assignments/protocol-numbers */
const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;

export function* clusterItems(cluster: ClusterConfig, snapshot: Snapshot, facts: NodeFacts): Generator<Item> {
  yield {
    kind: 'ruleSet',
    pools: cluster.pools,
    platformNetworks: [...new Set([...cluster.platformNetworks, facts.underlay.subnet])].sort(),
    blockPrefixLength: cluster.blockPrefixLength,
    vxlanPort: VXLAN_PORT,
  };
  for (const destination of cluster.pools) yield { kind: 'route', type: 'blackhole', destination };
  for (const exception of cluster.exceptions) yield exceptionElement(exception);
  yield { kind: 'element', collection: 'node', fields: [facts.underlay.address] };
  for (const node of snapshot.nodes.values()) {
    yield { kind: 'element', collection: 'node', fields: [node.underlay] };
    if (node.name !== facts.name) yield vxlanPeer(node, facts);
  }
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
