/**
 * Is a record really what it says it is? Whatever lies in the store under our keys, the desired state is computed from records of the
 * right shape alone. Throws; the snapshot treats what throws as absent. Pure.
 */
import type { ClusterConfig, Node, Tenant } from '../../../controller/model/records.ts';
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
const text = (value: unknown) => expect(typeof value === 'string', 'a name');

/** @throws Error naming the field */
export function checkCluster(cluster: ClusterConfig): ClusterConfig {
  each(cluster.pools, 'pools', prefix);
  each(cluster.systemSubnets, 'systemSubnets', prefix);
  each(cluster.platformNetworks, 'platformNetworks', prefix);
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
