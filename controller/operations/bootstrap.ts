/**
 * How a cluster is born: the first controller writes its configuration and the system tenant in one commit; every later one reads
 * what is there and holds its own flags against it.
 */
import { InvalidInput } from '../errors.ts';
import { type ClusterOptions, differences, newCluster } from '../model/cluster.ts';
import { type ClusterConfig, clusters } from '../model/kinds/cluster.ts';
import { namespaces } from '../model/kinds/namespace.ts';
import { SYSTEM_TENANT, SYSTEM_VNI, type Tenant, tenants } from '../model/kinds/tenant.ts';
import { namespaceWithLabels } from '../model/namespace.ts';
import { keys } from '../store/keys.ts';
import type { Guard, Store, Write } from '../store/store.ts';
import { putClaim } from './claims.ts';
import { commitSurely, findRecord } from './stored.ts';

/** The cluster as it is, and which options given hold no longer because REST's word is newer. */
export interface Bootstrapped {
  readonly cluster: ClusterConfig;
  readonly born: boolean;
  readonly overruled: readonly (keyof ClusterOptions)[];
}

/**
 * @param now for the system tenant, if it is to be made
 * @throws InvalidInput when an option contradicts what can never change, Unavailable
 */
export async function ensureCluster(store: Store, options: ClusterOptions, now: Date): Promise<Bootstrapped> {
  const found = await findRecord(store, clusters, keys.cluster);
  if (found !== undefined) return compare(found.record, options);
  const cluster = newCluster(options);
  const value = clusters.format(cluster);
  const writes: Write[] = [{ kind: 'put', key: keys.cluster, value }, ...systemTenantWrites(cluster, now)];
  const guards = writes.flatMap((write): Guard[] => (write.kind === 'put' ? [{ kind: 'absent', key: write.key }] : []));
  const { committed } = await commitSurely(store, guards, writes, { key: keys.cluster, value });
  if (committed) return { cluster, born: true, overruled: [] };
  const other = await findRecord(store, clusters, keys.cluster);
  if (other === undefined)
    throw new InvalidInput('etcd', "holds parts of a cluster without its configuration: it is not Tenet's, or damaged");
  return compare(other.record, options);
}

function compare(cluster: ClusterConfig, options: ClusterOptions): Bootstrapped {
  const { fixed, changeable } = differences(cluster, options);
  const [first, ...more] = fixed.map((field) => ({
    field,
    message: `is ${JSON.stringify(fixedValue(cluster, field))} since the cluster was made, and cannot change`,
  }));
  if (first !== undefined) throw new InvalidInput(first.field, first.message, more);
  return { cluster, born: false, overruled: changeable };
}

function fixedValue(cluster: ClusterConfig, field: keyof ClusterOptions): unknown {
  const value = cluster[field];
  return typeof value === 'object' && 'v4' in value ? value.v4 : value;
}

function systemTenantWrites(cluster: ClusterConfig, now: Date): Write[] {
  const tenant: Tenant = {
    name: SYSTEM_TENANT,
    vni: SYSTEM_VNI,
    subnets: cluster.systemSubnets,
    namespaces: [SYSTEM_TENANT],
    labels: {},
    quota: {},
    egress: { internet: true },
    ingress: { gateways: true },
    phase: 'active',
    createdAt: now.toISOString(),
  };
  const namespace = namespaceWithLabels(SYSTEM_TENANT, SYSTEM_TENANT);
  return [
    { kind: 'put', key: keys.tenant(SYSTEM_TENANT), value: tenants.format(tenant) },
    { kind: 'put', key: keys.namespace(SYSTEM_TENANT, SYSTEM_TENANT), value: namespaces.format(namespace) },
    putClaim(keys.vniClaim(SYSTEM_VNI), SYSTEM_TENANT),
    putClaim(keys.namespaceClaim(SYSTEM_TENANT), SYSTEM_TENANT),
    ...cluster.systemSubnets.map((subnet) => putClaim(keys.subnetClaim(subnet), SYSTEM_TENANT)),
  ];
}
