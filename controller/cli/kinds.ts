/**
 * The kinds of objects tenetctl knows: their names on the command line, their columns and how `-o name` calls them.
 * Reads REST's JSON leniently, for an older or newer controller may leave fields out. Pure.
 */
import type { Json } from './connection.ts';
import { isJson } from './connection.ts';
import { type Column, formatAge, type View } from './output.ts';

export type KindName =
  | 'tenants'
  | 'namespaces'
  | 'policies'
  | 'peerings'
  | 'nodes'
  | 'endpoints'
  | 'cluster'
  | 'problems';

const column = (title: string, value: Column['value']): Column => ({ title, value });
const wide = (title: string, value: Column['value']): Column => ({ title, value, wide: true });

/** A field as text; lists with commas, nothing for what is absent. `path` goes into objects: `egress.internet`. */
function field(path: string): Column['value'] {
  return (object) => asText(readField(object, path));
}

/** @param path field names joined by dots */
function readField(object: Json, path: string): unknown {
  return path.split('.').reduce<unknown>((at, name) => (isJson(at) ? at[name] : undefined), object);
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.map(asText).join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (isJson(value)) return pairs(value);
  return String(value);
}

/** `a=1,b=2` */
const pairs = (value: Json) =>
  Object.entries(value)
    .map(([name, content]) => `${name}=${asText(content)}`)
    .join(',');

/** `app=web,tier in (a, b),!legacy`, as kubectl writes it; `all` for an empty one. */
function formatSelector(selector: unknown): string {
  if (!isJson(selector)) return '';
  const { matchLabels, matchExpressions } = selector;
  const labelled = isJson(matchLabels) ? [pairs(matchLabels)] : [];
  const expressions = (Array.isArray(matchExpressions) ? matchExpressions.filter(isJson) : []).map(formatRequirement);
  return [...labelled, ...expressions].join(',') || 'all';
}

function formatRequirement({ key, operator, values }: Json): string {
  if (operator === 'Exists') return asText(key);
  if (operator === 'DoesNotExist') return `!${asText(key)}`;
  return `${asText(key)} ${operator === 'In' ? 'in' : 'notin'} (${asText(values)})`;
}

const name = column('NAME', field('name'));
const tenant = column('TENANT', field('tenant'));
const labels = (path = 'labels') => wide('LABELS', field(path));
const age = column('AGE', (object, nowMs) => formatAge(object.createdAt, nowMs));
const ports: Column['value'] = (object) =>
  (Array.isArray(object.ports) ? object.ports.filter(isJson) : [])
    .map((port) => `${asText(port.name)}:${asText(port.containerPort)}/${asText(port.protocol)}`)
    .join(',');

const VIEWS: Readonly<Record<KindName, View>> = {
  tenants: {
    columns: [
      name,
      column('VNI', field('vni')),
      column('SUBNETS', field('subnets')),
      column('NAMESPACES', field('namespaces')),
      column('ENDPOINTS', field('endpoints')),
      column('PHASE', field('phase')),
      wide('INTERNET', field('egress.internet')),
      wide('GATEWAYS', field('ingress.gateways')),
      wide('QUOTA', field('quota')),
      labels(),
      age,
    ],
    reference: (object) => `tenant/${asText(object.name)}`,
  },
  namespaces: {
    columns: [name, tenant, column('LABELS', field('labels'))],
    reference: (object) => `namespace/${asText(object.tenant)}/${asText(object.name)}`,
  },
  policies: {
    columns: [
      column('NAME', field('metadata.name')),
      tenant,
      column('NAMESPACE', field('metadata.namespace')),
      column('SELECTS', (object) => formatSelector(readField(object, 'spec.podSelector'))),
      column('TYPES', field('spec.policyTypes')),
      labels('metadata.labels'),
      column('AGE', (object, nowMs) => formatAge(readField(object, 'metadata.creationTimestamp'), nowMs)),
    ],
    reference: (object) =>
      `policy/${asText(object.tenant)}/${asText(readField(object, 'metadata.namespace'))}/${asText(readField(object, 'metadata.name'))}`,
  },
  peerings: {
    columns: [tenant, column('PEER', field('peer')), column('IN FORCE', field('inForce')), age],
    reference: (object) => `peering/${asText(object.tenant)}/${asText(object.peer)}`,
  },
  nodes: {
    columns: [
      name,
      column('STATUS', (object) => (object.live === true ? 'live' : 'dead')),
      column('ROLES', field('roles')),
      column('UNDERLAY', field('underlay')),
      column('ENDPOINTS', field('endpoints')),
      column('ENFORCED', (object, nowMs) => formatAge(readField(object, 'enforced.at'), nowMs)),
      column('VERSION', field('version')),
      column('PROBLEMS', (object) => String(problemsOf(object).length)),
      wide('REVISION', field('enforced.revision')),
      wide('MAC', field('underlayMac')),
    ],
    reference: (object) => `node/${asText(object.name)}`,
  },
  endpoints: {
    columns: [
      column('ID', field('id')),
      tenant,
      column('NAMESPACE', field('namespace')),
      name,
      column('ADDRESSES', field('ips')),
      column('NODE', field('node')),
      wide('MAC', field('mac')),
      wide('INTERFACE', field('ifname')),
      wide('CONTAINER', (object) => asText(object.containerId).slice(0, 12)),
      wide('PORTS', ports),
      labels(),
      age,
    ],
    reference: (object) => `endpoint/${asText(object.tenant)}/${asText(object.id)}`,
  },
  problems: {
    columns: [
      column('AGE', (object, nowMs) => formatAge(object.since, nowMs)),
      column('KIND', field('kind')),
      column('WHERE', (object) => asText(object.node ?? object.controller)),
      tenant,
      column('ABOUT', field('about')),
      column('REASON', field('text')),
      wide('REMEDY', field('remedy')),
    ],
    reference: (object) => `problem/${asText(object.kind)}/${asText(object.about)}`,
  },
  cluster: {
    columns: [
      column('POOLS', field('pools')),
      column('SYSTEM SUBNETS', field('systemSubnets')),
      column('TENANT SUBNET', (object) => `/${asText(readField(object, 'subnetPrefixLength.v4'))}`),
      column('NODE BLOCK', (object) => `/${asText(readField(object, 'blockPrefixLength.v4'))}`),
      column('DEFAULT TENANT', field('defaultTenant')),
      wide('PLATFORM NETWORKS', field('platformNetworks')),
      wide('OPEN NETWORKS', field('openNetworks')),
      wide('EXCEPTIONS', (object) =>
        (Array.isArray(object.exceptions) ? object.exceptions.filter(isJson) : [])
          .map((exception) => `${asText(exception.name)}=${asText(exception.address)}:${asText(exception.port)}`)
          .join(','),
      ),
    ],
    reference: () => 'cluster',
  },
};

/** What a node tells of itself. */
export function problemsOf(node: Json): readonly Json[] {
  return Array.isArray(node.problems) ? node.problems.filter(isJson) : [];
}

export function viewOf(kind: KindName): View {
  return VIEWS[kind];
}

const SPELLINGS: Readonly<Record<string, KindName>> = {
  tenant: 'tenants',
  tenants: 'tenants',
  namespace: 'namespaces',
  namespaces: 'namespaces',
  ns: 'namespaces',
  policy: 'policies',
  policies: 'policies',
  networkpolicy: 'policies',
  networkpolicies: 'policies',
  netpol: 'policies',
  peering: 'peerings',
  peerings: 'peerings',
  node: 'nodes',
  nodes: 'nodes',
  endpoint: 'endpoints',
  endpoints: 'endpoints',
  ep: 'endpoints',
  cluster: 'cluster',
  problem: 'problems',
  problems: 'problems',
};

/** @returns undefined for a word that is no kind */
export function findKind(word: string): KindName | undefined {
  return Object.hasOwn(SPELLINGS, word) ? SPELLINGS[word] : undefined;
}
