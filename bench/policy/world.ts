/**
 * A tenant with many policies: what an agent would have read of it from the store. Endpoints of label sets over many nodes, policies of
 * every kind (selectors of pods and of namespaces, port ranges, named ports, networks with holes), the same at every size. Pure.
 */
import { macOfAddress, type NodeFacts } from '../../cni-plugin/agent/desired/node-facts.ts';
import { formatRecord } from '../../controller/model/kinds/kind.ts';
import type {
  Block,
  ClusterConfig,
  Endpoint,
  LabelSelector,
  Node,
  PolicySpec,
  Tenant,
} from '../../controller/model/records.ts';
import { keys } from '../../controller/store/keys.ts';
import type { Entry } from '../../controller/store/store.ts';
import { addressAt, type IpPrefix, parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';

export interface WorldSize {
  readonly policies: number;
  readonly endpoints: number;
}

/** What the agent reads, and what it has here itself. */
export interface PolicyWorld {
  readonly facts: NodeFacts;
  readonly entries: readonly Entry[];
  readonly ownBlocks: readonly Block[];
  readonly local: readonly Endpoint[];
}

export const TENANT = 'bench';
const NODES = 100;
const HERE = nodeName(0);
const LOCALS = 100;
const NAMESPACES = 10;
/** Label sets: so many apps of so many tiers, each app in one namespace. */
const APPS = 50;
const TIERS = 4;
export const LABEL_SETS = APPS * TIERS;
const BLOCK = { length: 27, size: 32 } as const;
const SUBNET = parsePrefix('10.160.0.0/14');
const CREATED_AT = '2026-01-01T00:00:00Z';

const cluster: ClusterConfig = {
  pools: [parsePrefix('10.128.0.0/9')],
  systemSubnets: [parsePrefix('10.128.0.0/22')],
  subnetPrefixLength: { v4: 22, v6: 64 },
  blockPrefixLength: { v4: BLOCK.length, v6: 123 },
  platformNetworks: [],
  exceptions: [],
};

const tenant: Tenant = {
  name: TENANT,
  vni: 42,
  subnets: [SUBNET],
  namespaces: Array.from({ length: NAMESPACES }, (_, index) => namespaceName(index)),
  labels: {},
  quota: {},
  egress: { internet: true },
  ingress: { gateways: true },
  phase: 'active',
  createdAt: CREATED_AT,
};

export function planWorld({ policies, endpoints }: WorldSize): PolicyWorld {
  const nodes = Array.from({ length: NODES }, (_, index) => planNode(index));
  const all = Array.from({ length: endpoints }, (_, index) => planEndpoint(index));
  const blocks = blocksFor(all.length);
  const ofTenant = Array.from({ length: NAMESPACES }, (_, index) => ({
    tenant: TENANT,
    name: namespaceName(index),
    labels: { 'kubernetes.io/metadata.name': namespaceName(index), team: `team-${index % 5}` },
  }));
  const records: (readonly [string, object])[] = [
    [keys.cluster, cluster],
    [keys.tenant(TENANT), tenant],
    ...nodes.map((node) => [keys.node(node.name), node] as const),
    ...ofTenant.map((each) => [keys.namespace(TENANT, each.name), each] as const),
    ...blocks.map(({ prefix, node }) => [keys.block(TENANT, prefix), { node }] as const),
    ...all.map((each) => [endpointKey(each), each] as const),
  ];
  return {
    facts: {
      name: HERE,
      roles: ['compute'],
      underlay: {
        link: 'eth0',
        address: nodes[0]?.underlay ?? parseIp('192.168.9.1'),
        subnet: parsePrefix('192.168.9.0/24'),
        mac: nodes[0]?.underlayMac ?? parseMac('06:7e:4e:7a:09:01'),
        mtu: 1500,
      },
      checkUnderlayMac: true,
      storeAddresses: undefined,
      masqueradePorts: { from: 61_000, to: 65_535 },
      flows: { ofPod: 32_768, ofTenant: 65_536 },
    },
    entries: [
      ...records.map(([key, record]) => entryOf(key, record)),
      ...Array.from({ length: policies }, (_, index) =>
        policyEntry(namespaceName(index), `p-${index}`, planPolicy(index)),
      ),
    ],
    ownBlocks: blocks.filter(({ node }) => node === HERE),
    local: all.slice(0, LOCALS),
  };
}

/** The first are here, the others on all other nodes; their label sets one after the other. */
export function planEndpoint(index: number, labelSet = index % LABEL_SETS): Endpoint {
  const { node, place } = placeOf(index);
  const app = labelSet % APPS;
  const id = index.toString(16).padStart(12, '0');
  return {
    id,
    tenant: TENANT,
    namespace: namespaceName(app),
    name: `pod-${index}`,
    node: nodeName(node),
    ips: [addressAt(SUBNET, BigInt(place))],
    mac: macOfAddress(underlayOf(node)),
    labels: { app: `app-${app}`, tier: tierName(Math.floor(labelSet / APPS)) },
    ports: [{ name: 'http', containerPort: 8000 + (app % 7), protocol: 'TCP' }],
    containerId: `${id}0000`,
    ifname: 'eth0',
    createdAt: CREATED_AT,
  };
}

/** Each in the namespace of the app it selects: 1000 policies are 20 for each app. One in five is of networks, 300 in 1000. */
function planPolicy(index: number): PolicySpec {
  const round = Math.floor(index / APPS);
  const podSelector = { matchLabels: { app: `app-${index % APPS}` } };
  // An app of the same namespace.
  const other = { matchLabels: { app: `app-${(index + NAMESPACES * (1 + (round % 4))) % APPS}` } };
  const port = 1024 + index * 8;
  switch ((index + round) % 5) {
    case 0:
      return ingressOf(podSelector, { from: [{ podSelector: other }], ports: [{ protocol: 'TCP', port }] });
    case 1: {
      const namespaceSelector = { matchLabels: { team: `team-${(index + round) % 4}` } };
      const from = [{ namespaceSelector, podSelector: { matchLabels: { tier: tierName(index % TIERS) } } }];
      return ingressOf(podSelector, { from, ports: [{ protocol: 'TCP', port, endPort: port + 100 }] });
    }
    case 2: {
      const egress = [{ to: [{ podSelector: other }], ports: [{ protocol: 'TCP', port: 'http' } as const] }];
      return { podSelector, policyTypes: ['Egress'], egress };
    }
    case 3: {
      const blocks = Array.from({ length: 1 + (round % 2) }, (_, nth) => networkOf(index, nth));
      const egress = [{ to: blocks, ports: [{ protocol: 'TCP', port, endPort: port + 1000 } as const] }];
      return { podSelector, policyTypes: ['Egress'], egress };
    }
    default: {
      const tiers = [tierName(index % TIERS), tierName((index + 1) % TIERS)];
      const matchExpressions = [{ key: 'tier', operator: 'In', values: tiers } as const];
      return ingressOf(podSelector, { from: [{ podSelector: { matchExpressions } }], ports: [{ protocol: 'UDP' }] });
    }
  }
}

/** Half of them with a hole. */
function networkOf(index: number, nth: number) {
  const base = `${11 + (index % 80)}.${(index * 7) % 256}`;
  const cidr = parsePrefix(`${base}.${nth * 128}.0/17`);
  return { ipBlock: index % 2 === 0 ? { cidr } : { cidr, except: [parsePrefix(`${base}.${nth * 128 + 16}.0/20`)] } };
}

type Rule = NonNullable<PolicySpec['ingress']>[number];

export function ingressOf(podSelector: LabelSelector, rule: Rule): PolicySpec {
  return { podSelector, policyTypes: ['Ingress'], ingress: [rule] };
}

export function policyEntry(namespace: string, name: string, spec: PolicySpec): Entry {
  const record = { tenant: TENANT, namespace, name, spec, createdAt: CREATED_AT };
  return entryOf(keys.policy(TENANT, namespace, name), record);
}

export function endpointEntry(endpoint: Endpoint): Entry {
  return entryOf(endpointKey(endpoint), endpoint);
}

function endpointKey({ tenant: of, node, id }: Endpoint): string {
  return keys.endpoint(of, node, id);
}

function entryOf(key: string, record: object): Entry {
  return { key, value: formatRecord(record), createRevision: 1, modRevision: 1 };
}

/** On which node an endpoint is, and at which place of the tenant's subnet. Blocks are dealt out to the nodes in turn. */
function placeOf(index: number): { readonly node: number; readonly place: number } {
  if (index < LOCALS) {
    const block = Math.floor(index / BLOCK.size) * NODES;
    return { node: 0, place: block * BLOCK.size + (index % BLOCK.size) };
  }
  const elsewhere = index - LOCALS;
  const node = 1 + (elsewhere % (NODES - 1));
  const nth = Math.floor(elsewhere / (NODES - 1));
  const block = Math.floor(nth / BLOCK.size) * NODES + node;
  return { node, place: block * BLOCK.size + (nth % BLOCK.size) };
}

/** All blocks that so many endpoints and a few more are in. */
function blocksFor(endpoints: number): Block[] {
  const perNode = Math.max(LOCALS, Math.ceil(endpoints / (NODES - 1)) + 1);
  const rows = Math.ceil(perNode / BLOCK.size);
  return Array.from({ length: rows * NODES }, (_, index): Block => {
    const prefix: IpPrefix = parsePrefix(`${addressAt(SUBNET, BigInt(index * BLOCK.size))}/${BLOCK.length}`);
    return { tenant: TENANT, prefix, node: nodeName(index % NODES) };
  });
}

function planNode(index: number): Node {
  const last = (index + 1).toString(16).padStart(2, '0');
  return {
    name: nodeName(index),
    underlay: underlayOf(index),
    underlayMac: parseMac(`06:7e:4e:7a:09:${last}`),
    roles: ['compute'],
    version: '0.1.0',
  };
}

function underlayOf(node: number) {
  return parseIp(`192.168.9.${node + 1}`);
}

function nodeName(index: number): string {
  return `node${index + 1}`;
}

/** @param index of a namespace, or of an app or policy that is in it */
export function namespaceName(index: number): string {
  return `ns-${index % NAMESPACES}`;
}

export function tierName(index: number): string {
  return `tier-${index}`;
}
