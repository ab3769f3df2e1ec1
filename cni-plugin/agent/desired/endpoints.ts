/**
 * What one endpoint of this node takes: its link, its addresses, whose packets may come out of it, and that gateways may call it unless
 * its tenant forbids them. Policies decide all other peers (policy/policy-state.ts). An endpoint whose tenant is unknown
 * gets its link and nothing else: a missing referent denies. Pure.
 */
import { type Endpoint, SYSTEM_VNI } from '../../../controller/model/records.ts';
import { hostPrefix, parseIp } from '../../../dataplane/address.ts';
import { POD_GATEWAY, podLinkName } from '../../../dataplane/ownership.ts';
import { type Collection, type ElementItem, type Item, PORT_SET } from '../../../dataplane/state.ts';
import { overlayMtu } from './node-facts.ts';
import type { World } from './world.ts';

export function* endpointItems(endpoint: Endpoint, { snapshot, facts }: World): Generator<Item> {
  const link = podLinkName(endpoint.id);
  yield { kind: 'podLink', name: link, mtu: overlayMtu(facts), up: true };
  const tenant = snapshot.tenant(endpoint.tenant);
  if (tenant === undefined) return;
  const element = (collection: Collection, ...fields: (string | number)[]): ElementItem => ({
    kind: 'element',
    collection,
    fields,
  });
  yield element('refused', link);
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
  if (tenant.ingress.gateways) yield { ...element('ingress', SYSTEM_VNI, link), value: PORT_SET.all };
  if (tenant.egress.internet) yield element('internet', link);
}
