/**
 * Is a record really what it says it is? Whatever lies in the store under our keys, the desired state is computed from records of the
 * right shape alone. Throws; the snapshot treats what throws as absent. Pure.
 */
import type {
  ClusterConfig,
  Endpoint,
  LabelSelector,
  Labels,
  Node,
  PolicyPeer,
  PolicyPort,
  PolicySpec,
  Tenant,
} from '../../../controller/model/records.ts';
import { parseIp, parseMac, parsePrefix } from '../../../dataplane/address.ts';

/** A field that is not what it should be. */
class ShapeError extends Error {
  readonly code = 'bad_shape';
}

function expect(holds: boolean, field: string): void {
  if (!holds) throw new ShapeError(`${field} is not what it should be`);
}

function each(value: unknown, field: string, check: (item: unknown) => void): void {
  expect(Array.isArray(value), field);
  for (const item of value as readonly unknown[]) check(item);
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isLength = (value: unknown, most: number) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most;
const prefix = (value: unknown) => void parsePrefix(String(value));
const isText = (value: unknown) => typeof value === 'string';
const isProtocol = (value: unknown) => value === 'TCP' || value === 'UDP' || value === 'SCTP';
const text = (value: unknown) => expect(isText(value), 'a name');

/** @throws Error naming the field */
export function checkCluster(cluster: ClusterConfig): ClusterConfig {
  each(cluster.pools, 'pools', prefix);
  each(cluster.systemSubnets, 'systemSubnets', prefix);
  each(cluster.platformNetworks, 'platformNetworks', prefix);
  each(cluster.openNetworks ?? [], 'openNetworks', prefix);
  const { blockPrefixLength } = cluster;
  expect(isObject(blockPrefixLength), 'blockPrefixLength');
  expect(isLength(blockPrefixLength.v4, 32) && isLength(blockPrefixLength.v6, 128), 'blockPrefixLength');
  each(cluster.exceptions, 'exceptions', (item) => {
    expect(isObject(item), 'exceptions');
    const { address, protocol, port } = item as ClusterConfig['exceptions'][number];
    parseIp(String(address));
    expect(['TCP', 'UDP', 'SCTP'].includes(protocol) && isLength(port, 65_535), 'exceptions');
  });
  return cluster;
}

/** @throws Error naming the field */
export function checkNode(node: Node): Node {
  text(node.name);
  parseIp(String(node.underlay));
  parseMac(String(node.underlayMac));
  each(node.roles, 'roles', text);
  return node;
}

/** @throws Error naming the field */
export function checkTenant(tenant: Tenant): Tenant {
  text(tenant.name);
  expect(isLength(tenant.vni, 0xffffff) && tenant.vni > 0, 'vni');
  each(tenant.subnets, 'subnets', prefix);
  each(tenant.namespaces, 'namespaces', text);
  expect(isObject(tenant.quota), 'quota');
  expect(isObject(tenant.egress) && typeof tenant.egress.internet === 'boolean', 'egress');
  expect(isObject(tenant.ingress) && typeof tenant.ingress.gateways === 'boolean', 'ingress');
  expect(tenant.phase === 'active' || tenant.phase === 'deleting', 'phase');
  return tenant;
}

/** @throws Error naming the field */
export function checkLabels(labels: Labels): Labels {
  expect(isObject(labels) && Object.values(labels).every((value) => typeof value === 'string'), 'labels');
  return labels;
}

/** @throws Error naming the field */
export function checkEndpoint(endpoint: Endpoint): Endpoint {
  for (const field of ['id', 'tenant', 'namespace', 'node', 'createdAt'] as const)
    expect(isText(endpoint[field]), field);
  each(endpoint.ips, 'ips', (ip) => void parseIp(String(ip)));
  checkLabels(endpoint.labels);
  each(endpoint.ports, 'ports', (item) => {
    const { name, containerPort, protocol } = item as Endpoint['ports'][number];
    expect(isText(name) && isLength(containerPort, 65_535) && isProtocol(protocol), 'ports');
  });
  return endpoint;
}

/** @throws Error naming the field */
export function checkPolicySpec(spec: PolicySpec): PolicySpec {
  expect(isObject(spec), 'spec');
  checkSelector(spec.podSelector, 'spec.podSelector');
  // One that restricts nothing was not written by REST.
  expect(spec.policyTypes?.length > 0, 'spec.policyTypes');
  each(spec.policyTypes, 'spec.policyTypes', (type) =>
    expect(type === 'Ingress' || type === 'Egress', 'spec.policyTypes'),
  );
  checkRules(spec.ingress, 'spec.ingress', 'from');
  checkRules(spec.egress, 'spec.egress', 'to');
  return spec;
}

function checkRules(rules: unknown, field: string, peers: 'from' | 'to'): void {
  if (rules === undefined) return;
  each(rules, field, (item) => {
    expect(isObject(item), field);
    const rule = item as Readonly<Record<string, unknown>>;
    if (rule[peers] !== undefined)
      each(rule[peers], `${field}.${peers}`, (peer) => checkPeer(peer as PolicyPeer, field));
    if (rule.ports !== undefined) each(rule.ports, `${field}.ports`, (port) => checkPort(port as PolicyPort, field));
  });
}

/** One that says nothing would be anybody. */
function checkPeer(peer: PolicyPeer, field: string): void {
  expect(isObject(peer), field);
  const { podSelector, namespaceSelector, ipBlock } = peer;
  expect((podSelector ?? namespaceSelector ?? ipBlock) !== undefined, field);
  for (const selector of [podSelector, namespaceSelector]) if (selector !== undefined) checkSelector(selector, field);
  if (ipBlock === undefined) return;
  expect(isObject(ipBlock), field);
  prefix(ipBlock.cidr);
  if (ipBlock.except !== undefined) each(ipBlock.except, field, prefix);
}

function checkPort({ protocol, port, endPort }: PolicyPort, field: string): void {
  expect(isProtocol(protocol) && (port === undefined || isText(port) || isLength(port, 65_535)), field);
  expect(endPort === undefined || (typeof port === 'number' && isLength(endPort, 65_535)), field);
}

function checkSelector({ matchLabels, matchExpressions }: LabelSelector, field: string): void {
  if (matchLabels !== undefined) checkLabels(matchLabels);
  if (matchExpressions === undefined) return;
  each(matchExpressions, field, (item) => {
    const { key, operator, values } = item as NonNullable<LabelSelector['matchExpressions']>[number];
    expect(isText(key) && ['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator), field);
    if (values !== undefined) each(values, field, (value) => expect(isText(value), field));
  });
}
