/**
 * The cluster's configuration as REST sees it, and what of it may change.
 */
import { InvalidInput, NotFound } from '../errors.ts';
import { type ClusterPatch, patchCluster } from '../model/cluster.ts';
import { type ClusterConfig, clusters } from '../model/kinds/cluster.ts';
import { SYSTEM_TENANT, tenants } from '../model/kinds/tenant.ts';
import { keys } from '../store/keys.ts';
import type { Guard, Store } from '../store/store.ts';
import { checkPrecondition, commitSurely, findRecord, type Precondition, retryLost, type Stored } from './stored.ts';

/** @throws NotFound before the cluster is born, Unavailable */
export async function getCluster(store: Store): Promise<Stored<ClusterConfig>> {
  const found = await findRecord(store, clusters, keys.cluster);
  if (found === undefined) throw new NotFound('cluster', 'configuration');
  return found;
}

/** @throws InvalidInput, PreconditionFailed, Unavailable */
export async function changeCluster(
  store: Store,
  patch: ClusterPatch,
  precondition: Precondition,
): Promise<Stored<ClusterConfig>> {
  return await retryLost(async () => {
    const { entry } = await store.get(keys.cluster);
    checkPrecondition(entry, precondition);
    if (entry === undefined) throw new NotFound('cluster', 'configuration');
    const record = patchCluster(clusters.get(entry), patch);
    const guards: Guard[] = [{ kind: 'unchanged', key: entry.key, modRevision: entry.modRevision }];
    if (typeof patch.defaultTenant === 'string') guards.push(await tenantGuard(store, patch.defaultTenant));
    const value = clusters.format(record);
    const write = { kind: 'put', key: entry.key, value } as const;
    const { committed, revision } = await commitSurely(store, guards, [write], write);
    return committed ? { record, revision } : undefined;
  });
}

/** Holds while the tenant is there and not going away. @throws InvalidInput */
async function tenantGuard(store: Store, tenant: string): Promise<Guard> {
  const key = keys.tenant(tenant);
  const found = await findRecord(store, tenants, key);
  if (tenant === SYSTEM_TENANT || found?.record.phase !== 'active')
    throw new InvalidInput('defaultTenant', `there is no active tenant ${JSON.stringify(tenant)} for containers`);
  return { kind: 'unchanged', key, modRevision: found.revision };
}
