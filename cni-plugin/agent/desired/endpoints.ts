/**
 * One endpoint of this node: its link, the way to it, and who may call whom. Without its tenant it keeps its link and nothing
 * else: a missing referent denies. Pure.
 */
import { type Endpoint, SYSTEM_VNI, type Tenant } from '../../../controller/model/records.ts';
import { hostPrefix, parseIp } from '../../../dataplane/address.ts';
import { POD_GATEWAY, podLinkName } from '../../../dataplane/ownership.ts';
import type { Collection, Item } from '../../../dataplane/state.ts';
import { type NodeFacts, overlayMtu } from './node-facts.ts';
import { identityOf } from './overlays.ts';

export function* endpointItems(endpoint: Endpoint, tenant: Tenant | undefined, facts: NodeFacts): Generator<Item> {
  const link = podLinkName(endpoint.id);
  yield { kind: 'podLink', name: link, mtu: overlayMtu(facts), up: true };
  if (tenant === undefined) return;
  const element = (collection: Collection, ...fields: (string | number)[]): Item => ({
    kind: 'element',
    collection,
    fields,
  });
  for (const address of endpoint.ips) {
    yield { kind: 'neighbour', link, address, mac: endpoint.mac };
    yield {
      kind: 'route',
      type: 'unicast',
      destination: hostPrefix(address),
      link,
      // Probes and ICMP errors come from the gateway's address, so that a pod never learns its node's.
      source: parseIp(POD_GATEWAY),
    };
    yield element('guard', link, endpoint.mac, address);
    yield element('podAddress', link, address);
  }
  yield element('egress', identityOf(tenant), link);
  yield element('ingress', identityOf(tenant), link);
  if (tenant.ingress.gateways) yield element('ingress', SYSTEM_VNI, link);
  if (tenant.egress.internet) yield element('internet', link);
}
