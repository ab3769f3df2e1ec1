/** What every node holds whatever runs on it: the rules, who the nodes are, what is open to all, what is never "beyond". Pure. */
import { type Exception, type Node, SYSTEM_VNI } from '../../../controller/model/records.ts';
import { closedServiceNetworks } from '../../../controller/model/service-networks.ts';
import { familyOf, type IpPrefix } from '../../../dataplane/address.ts';
import { overlayLinkName } from '../../../dataplane/ownership.ts';
import type { ElementItem, Item } from '../../../dataplane/state.ts';
import { isOnSegment, isPinned, type NodeFacts, VXLAN_PORT } from './node-facts.ts';
import { PROTOCOL_NUMBER } from './protocol-number.ts';
import type { World } from './world.ts';

export function* clusterItems({ snapshot, facts, isCrowded }: World): Generator<Item> {
  const { cluster } = snapshot;
  if (cluster === undefined) return;
  const services = closedServiceNetworks(cluster.openNetworks ?? []);
  yield {
    kind: 'ruleSet',
    pools: cluster.pools,
    platformNetworks: [...new Set([...cluster.platformNetworks, facts.underlay.subnet, ...services])].sort(),
    blockPrefixLength: cluster.blockPrefixLength,
    vxlanPort: VXLAN_PORT,
    underlay: facts.underlay.link,
    segment: facts.underlay.subnet,
    masqueradePorts: facts.masqueradePorts,
    flows: facts.flows,
  };
  for (const destination of cluster.pools) yield unknownTo(destination);
  for (const exception of cluster.exceptions) yield exceptionElement(exception);
  yield { kind: 'element', collection: 'node', fields: [facts.underlay.address] };
  for (const half of isCrowded ? ['0.0.0.0', '128.0.0.0'] : [])
    yield { kind: 'element', collection: 'crowded', fields: [half] };
}

/** A node is closed to pods; another one may send VXLAN. */
export function* nodeItems(node: Node, { facts }: World): Generator<Item> {
  yield { kind: 'element', collection: 'node', fields: [node.underlay] };
  if (node.name !== facts.name) yield vxlanPeer(node, facts);
}

/**
 * The MAC of the node that says it is at an address of our own segment: no other word for it is taken then. Where two say so, ARP
 * has to tell. @param nodes all that have the same address
 */
export function* neighbourItems(nodes: readonly Node[], { facts }: World): Generator<Item> {
  const [node, ...others] = nodes;
  if (node === undefined || node.underlay === facts.underlay.address || !isPinned(facts, node)) return;
  if (others.some(({ underlayMac }) => underlayMac !== node.underlayMac)) return;
  yield { kind: 'neighbour', link: facts.underlay.link, address: node.underlay, mac: node.underlayMac };
}

/**
 * Where packets to addresses of a pool go that nothing more particular is known of. Into the system overlay, which has no way for them:
 * on their way there the rules see, refuse, count and show them like all others. IPv6 has no overlay.
 */
function unknownTo(destination: IpPrefix): Item {
  return familyOf(destination) === 4
    ? { kind: 'route', type: 'unicast', destination, link: overlayLinkName(SYSTEM_VNI) }
    : { kind: 'route', type: 'blackhole', destination };
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
