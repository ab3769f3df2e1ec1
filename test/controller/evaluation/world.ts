/** Small worlds to ask about, and short words for what they are made of. No test of its own. */
import { evaluate, type Verdict } from '../../../controller/evaluation/evaluate.ts';
import type { World, WorldIndex } from '../../../controller/evaluation/world.ts';
import { namespaceWithLabels } from '../../../controller/model/namespace.ts';
import type {
  EgressRule,
  Endpoint,
  IngressRule,
  LabelSelector,
  Labels,
  NamedPort,
  Namespace,
  Policy,
  PolicySpec,
  Tenant,
} from '../../../controller/model/records.ts';
import { parseIp, parseMac, parsePrefix } from '../../../dataplane/address.ts';

const SINCE = '2026-11-24T11:00:00Z';

export function tenant(name: string, more: Partial<Tenant> = {}): Tenant {
  return {
    name,
    vni: 100,
    subnets: [],
    namespaces: [name],
    labels: {},
    quota: {},
    egress: { internet: true },
    ingress: { gateways: true },
    phase: 'active',
    createdAt: SINCE,
    ...more,
  };
}

export function namespace(owner: string, name: string, labels: Labels = {}): Namespace {
  return namespaceWithLabels(owner, name, labels);
}

/** @param path `tenant/namespace/name` */
export function endpoint(path: string, ip: string, labels: Labels = {}, more: Partial<Endpoint> = {}): Endpoint {
  const [owner = '', space = '', name = ''] = path.split('/');
  return {
    id: parseIp(ip)
      .split('.')
      .map((octet) => Number(octet).toString(16).padStart(3, '0'))
      .join(''),
    tenant: owner,
    namespace: space,
    name,
    node: 'node1',
    ips: [parseIp(ip)],
    mac: parseMac('02:00:00:00:00:01'),
    labels,
    ports: [],
    containerId: `container-${name}`,
    ifname: 'eth0',
    createdAt: SINCE,
    ...more,
  };
}

export function port(name: string, containerPort: number, protocol: NamedPort['protocol'] = 'TCP'): NamedPort {
  return { name, containerPort, protocol };
}

export const ALL: LabelSelector = {};

/** @param path `tenant/namespace/name` */
export function policy(path: string, spec: PolicySpec): Policy {
  const [owner = '', space = '', name = ''] = path.split('/');
  return { tenant: owner, namespace: space, name, spec, createdAt: SINCE };
}

/** Isolates for ingress those selected, and allows what the rules say. */
export function ingress(path: string, rules: readonly IngressRule[], podSelector = ALL): Policy {
  return policy(path, { podSelector, policyTypes: ['Ingress'], ingress: rules });
}

export function egress(path: string, rules: readonly EgressRule[], podSelector = ALL): Policy {
  return policy(path, { podSelector, policyTypes: ['Egress'], egress: rules });
}

/**
 * blue with namespaces blue (web, db) and test (web), red with red/red/web and an endpoint in `blue`'s labels, green without peers;
 * two nodes and a gateway. blue and red have both asked.
 */
export function world(more: Partial<World> = {}): World {
  return {
    cluster: {
      pools: [parsePrefix('10.128.0.0/9')],
      platformNetworks: [parsePrefix('192.168.0.0/16')],
      exceptions: [
        { name: 'dns', address: parseIp('192.168.0.53'), protocol: 'UDP', port: 53 },
        { name: 'time', address: parseIp('198.51.100.7'), protocol: 'UDP', port: 123 },
      ],
    },
    tenants: [tenant('blue'), tenant('red'), tenant('green')],
    namespaces: [
      namespace('blue', 'blue', { stage: 'live' }),
      namespace('blue', 'test', { stage: 'test' }),
      namespace('red', 'red', { stage: 'live' }),
      namespace('green', 'green', { stage: 'live' }),
    ],
    endpoints: [
      endpoint('blue/blue/web', '10.128.4.1', { app: 'web' }, { ports: [port('http', 8080)] }),
      endpoint('blue/blue/db', '10.128.4.2', { app: 'db' }, { ports: [port('sql', 5432)], node: 'node2' }),
      endpoint('blue/test/web', '10.128.4.3', { app: 'web', tier: 'front' }),
      endpoint('red/red/web', '10.128.8.1', { app: 'web' }, { ports: [port('http', 9090)] }),
      endpoint('green/green/web', '10.128.12.1', { app: 'web' }),
    ],
    policies: [],
    peerings: [
      { tenant: 'blue', peer: 'red' },
      { tenant: 'red', peer: 'blue' },
      { tenant: 'green', peer: 'blue' },
    ],
    nodes: [
      { name: 'node1', underlay: parseIp('192.0.2.11'), underlaySubnet: parsePrefix('192.0.2.0/24') },
      { name: 'node2', underlay: parseIp('192.0.2.12') },
      { name: 'gateway1', underlay: parseIp('192.0.2.21') },
    ],
    blocks: [{ tenant: 'system', prefix: parsePrefix('10.128.0.32/27'), node: 'gateway1' }],
    ...more,
  };
}

/** `tenant/namespace/name`, or an address. */
export function end(text: string) {
  const [owner = '', space, name] = text.split('/');
  return space === undefined || name === undefined ? { ip: owner } : { tenant: owner, namespace: space, name };
}

/** @param how `TCP 80`, `ICMP` */
export function ask(about: World | WorldIndex, from: string, to: string, how = 'TCP 80'): Verdict {
  const [protocol, number] = how.split(' ');
  return evaluate(about, {
    from: end(from),
    to: end(to),
    protocol: protocol as 'TCP',
    ...(number === undefined ? {} : { port: Number(number) }),
  });
}
