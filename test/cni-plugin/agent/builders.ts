/** Builders of cluster records for the agent's tests: sensible defaults, overridden field by field. */

import type { NodeFacts } from '../../../cni-plugin/agent/desired/node-facts.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import type { ClusterConfig, Endpoint, Node, Tenant } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Entry } from '../../../controller/store/store.ts';
import { parseIp, parseMac, parsePrefix } from '../../../dataplane/address.ts';

export const cluster: ClusterConfig = {
  pools: [parsePrefix('10.128.0.0/9')],
  systemSubnets: [parsePrefix('10.128.0.0/22')],
  subnetPrefixLength: { v4: 22, v6: 64 },
  blockPrefixLength: { v4: 27, v6: 123 },
  platformNetworks: [],
  exceptions: [],
};

export function facts(tweak: Partial<NodeFacts> = {}): NodeFacts {
  return {
    name: 'node1',
    roles: ['compute'],
    underlay: {
      link: 'eth0',
      address: parseIp('192.168.9.1'),
      subnet: parsePrefix('192.168.9.0/24'),
      mac: parseMac('02:00:00:00:00:01'),
      mtu: 1500,
    },
    checkUnderlayMac: true,
    storeAddresses: [],
    masqueradePorts: { from: 61_000, to: 65_535 },
    flows: { ofPod: 32_768, ofTenant: 65_536 },
    ...tweak,
  };
}

export function node(number: number, tweak: Partial<Node> = {}): Node {
  return {
    name: `node${number}`,
    underlay: parseIp(`192.168.9.${number}`),
    underlayMac: parseMac(`02:00:00:00:00:0${number}`),
    roles: ['compute'],
    version: '0.1.0',
    ...tweak,
  };
}

export function tenant(name: string, vni: number, tweak: Partial<Tenant> = {}): Tenant {
  return {
    name,
    vni,
    subnets: [parsePrefix(`10.${128 + vni}.0.0/22`)],
    namespaces: [name],
    labels: {},
    quota: {},
    egress: { internet: true },
    ingress: { gateways: true },
    phase: 'active',
    createdAt: '2026-01-01T00:00:00Z',
    ...tweak,
  };
}

export function endpoint(id: string, of: Tenant, ip: string, tweak: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    tenant: of.name,
    namespace: of.name,
    name: `pod-${id}`,
    node: 'node1',
    ips: [parseIp(ip)],
    mac: parseMac('0a:58:0a:81:00:01'),
    labels: {},
    ports: [],
    containerId: `c-${id}`,
    ifname: 'eth0',
    createdAt: '2026-01-01T00:00:00Z',
    ...tweak,
  };
}

/** The store entries of a cluster of these parts; revisions count up. */
export function entries(parts: {
  readonly cluster?: ClusterConfig;
  readonly nodes?: readonly Node[];
  readonly tenants?: readonly Tenant[];
  /** `[tenant, block, node]` */
  readonly blocks?: readonly (readonly [string, string, string])[];
}): Entry[] {
  const pairs: [string, object][] = [
    [keys.cluster, parts.cluster ?? cluster],
    ...(parts.nodes ?? []).map((each): [string, object] => [keys.node(each.name), each]),
    ...(parts.tenants ?? []).map((each): [string, object] => [keys.tenant(each.name), each]),
    ...(parts.tenants ?? []).flatMap(({ name, namespaces }) =>
      namespaces.map((namespace): [string, object] => [keys.namespaceClaim(namespace), { tenant: name }]),
    ),
    ...(parts.blocks ?? []).map(([owner, block, on]): [string, object] => [
      keys.block(owner, parsePrefix(block)),
      { node: on },
    ]),
  ];
  return pairs.map(([key, record], index) => ({
    key,
    value: formatRecord(record),
    createRevision: index + 1,
    modRevision: index + 1,
  }));
}

/** A book of problems that no test looks at, or one that it does. */
export function problemBook(): ProblemBook {
  return new ProblemBook({ now: () => new Date().toISOString() });
}
