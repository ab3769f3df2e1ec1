/**
 * What a node knows in this benchmark: its own two pods that packets go between, and as many other endpoints as wanted, each by itself
 * and by its block. The state follows from that as in the agent (computeDesired). Pure.
 */
import { computeDesired } from '../../cni-plugin/agent/desired/compute.ts';
import type { NodeFacts } from '../../cni-plugin/agent/desired/node-facts.ts';
import { Snapshot } from '../../cni-plugin/agent/watch/snapshot.ts';
import { formatRecord } from '../../controller/model/kinds/kind.ts';
import type { Block, ClusterConfig, Endpoint, Node, Tenant } from '../../controller/model/records.ts';
import { keys } from '../../controller/store/keys.ts';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { type Item, itemKey, type NodeState } from '../../dataplane/state.ts';

const CLUSTER: ClusterConfig = {
  pools: [parsePrefix('10.128.0.0/9')],
  systemSubnets: [parsePrefix('10.128.0.0/22')],
  subnetPrefixLength: { v4: 22, v6: 64 },
  blockPrefixLength: { v4: 27, v6: 123 },
  platformNetworks: [],
  exceptions: [],
};
export const UNDERLAY: NodeFacts['underlay'] = {
  link: 'eth0',
  address: parseIp('192.168.9.1'),
  subnet: parsePrefix('192.168.9.0/24'),
  mac: parseMac('02:00:00:00:00:01'),
  mtu: 1500,
};
const FACTS: NodeFacts = {
  name: 'node1',
  roles: ['compute'],
  underlay: UNDERLAY,
  checkUnderlayMac: true,
  storeAddresses: undefined,
  masqueradePorts: { from: 61_000, to: 65_535 },
  // More than there are flows: their bound is not what is measured.
  flows: { ofPod: 16_777_216, ofTenant: 16_777_216 },
};
const OTHER_NODE: Node = {
  name: 'node2',
  underlay: parseIp('192.168.9.2'),
  underlayMac: parseMac('02:00:00:00:00:02'),
  roles: ['compute'],
  version: '0.1.0',
};
const CREATED_AT = '2026-01-01T00:00:00Z';

/** Its endpoints may all talk to each other. */
const OURS = tenant('ours', 42, ['10.130.0.0/15', '10.129.0.0/24']);
/** Has an endpoint here too: known, and closed to ours. */
const THEIRS = tenant('theirs', 43, ['10.140.0.0/24']);
/** Other tenants with endpoints on this node. */
const NEIGHBOURS = Array.from({ length: 50 }, (_, index) =>
  tenant(`t${index}`, 44 + index, [`10.${150 + index}.0.0/24`]),
);
/** Endpoints on this node, of all that it knows: as many as a kubelet lets be, and some. */
const MOST_HERE = 250;
/** Addresses in a block of the cluster, a /27. */
const BLOCK = 32;

export const SENDER = local(1, OURS, '10.129.0.1');
export const RECEIVER = local(2, OURS, '10.129.0.2');
/** Nothing for {@link SENDER}. */
export const FORBIDDEN = parseIp('10.140.0.1');
/** Both are behind {@link RECEIVER}'s link here, so that a packet to any of their addresses takes the same way. */
export const BEHIND_RECEIVER = ['10.130.0.0/15', '10.140.0.0/24'] as const;

/** The address of the `index`th endpoint of {@link OURS} elsewhere, below 2^17. */
export function addressOf(index: number): string {
  return `10.${130 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

/** The links and routes of such a node without anything that filters. */
export function stateWithoutRules(): NodeState {
  return new Map([...stateKnowing(2)].filter(([, { kind }]) => kind !== 'element' && kind !== 'ruleSet'));
}

/** Everything that should be in the kernel of a node that knows so many endpoints. */
export function stateKnowing(endpoints: number): NodeState {
  const snapshot = new Snapshot();
  const records: readonly (readonly [string, object])[] = [
    [keys.cluster, CLUSTER],
    [keys.node(OTHER_NODE.name), OTHER_NODE],
    ...[OURS, THEIRS, ...NEIGHBOURS].map((each) => [keys.tenant(each.name), each] as const),
  ];
  for (const [key, record] of records)
    snapshot.put({ key, value: formatRecord(record), createRevision: 1, modRevision: 1 });
  const blocks = ['10.129.0.0/27', ...blocksOf(endpoints)].map(
    (prefix): Block => ({ tenant: OURS.name, prefix: parsePrefix(prefix), node: FACTS.name }),
  );
  const desired = (here: readonly Endpoint[]) => computeDesired(snapshot, FACTS, { endpoints: here, blocks });
  const state = new Map(desired([SENDER, RECEIVER]));
  // The other pods here are in the rules alone: their links would carry nothing.
  for (const item of desired([SENDER, RECEIVER, ...othersHere(Math.min(endpoints, MOST_HERE) - 2)])?.values() ?? [])
    if (item.kind === 'element') state.set(itemKey(item), item);
  for (let index = 0; index < endpoints; index++) add(state, identity(addressOf(index), OURS.vni));
  add(state, identity(FORBIDDEN, THEIRS.vni));
  return state;
}

function add(state: Map<string, Item>, item: Item): void {
  state.set(itemKey(item), item);
}

function identity(address: string, value: number): Item {
  return { kind: 'element', collection: 'identity', fields: [address], value };
}

function blocksOf(endpoints: number): string[] {
  return Array.from({ length: Math.ceil(endpoints / BLOCK) }, (_, index) => `${addressOf(index * BLOCK)}/27`);
}

function othersHere(count: number): Endpoint[] {
  return Array.from({ length: count }, (_, index) => {
    const [of, nth] = index === 0 ? [THEIRS, 0] : [NEIGHBOURS[index % NEIGHBOURS.length] ?? THEIRS, index];
    return local(3 + index, of, `${of.subnets[0]?.split('0.0/')[0]}0.${1 + (nth >> 1)}`);
  });
}

function tenant(name: string, vni: number, subnets: readonly string[]): Tenant {
  return {
    name,
    vni,
    subnets: subnets.map(parsePrefix),
    namespaces: [name],
    labels: {},
    quota: {},
    egress: { internet: true },
    ingress: { gateways: true },
    phase: 'active',
    createdAt: CREATED_AT,
  };
}

function local(number: number, of: Tenant, ip: string): Endpoint {
  const id = number.toString(16).padStart(12, '0');
  const bytes = ip.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return {
    id,
    tenant: of.name,
    namespace: of.name,
    name: `pod-${id}`,
    node: FACTS.name,
    ips: [parseIp(ip)],
    mac: parseMac(`0a:58:${bytes.join(':')}`),
    labels: {},
    ports: [],
    containerId: id,
    ifname: 'eth0',
    createdAt: CREATED_AT,
  };
}
