/**
 * Making a tenant: one commit that holds all its claims or none. VNI and subnets are picked locally and guarded in the store, so
 * controllers need not know of each other; who loses a race picks again.
 */
import { Conflict, InvalidInput, QuotaExceeded } from '../errors.ts';
import { namespaces as namespaceKind } from '../model/kinds/namespace.ts';
import { type Tenant, tenants } from '../model/kinds/tenant.ts';
import { namespaceWithLabels } from '../model/namespace.ts';
import type { TenantSpec } from '../model/tenant.ts';
import { MAX_COMMIT_OPERATIONS } from '../store/commit-rules.ts';
import { keys } from '../store/keys.ts';
import { NEW_CLAIM, refuseDuringRecovery } from '../store/recovery.ts';
import { type Guard, IndeterminateCommit, type Revision, type Store, type Write } from '../store/store.ts';
import { type Candidates, learnHolders, learnOwn, type Pools, pickCandidates } from './candidates.ts';
import { putClaim, refuseTakenNamespace, refuseTakenSubnet, subnetGuards } from './claims.ts';
import type { Registry } from './registry.ts';
import { findRecord, retryLost, type Stored } from './stored.ts';
import { writtenTenant } from './tenants.ts';
import type { Written } from './written.ts';

/**
 * @throws Conflict when the name, a namespace or a subnet that the caller named is taken; Exhausted, QuotaExceeded, InvalidInput,
 * Unavailable; nothing is written then
 */
export async function createTenant(registry: Registry, spec: TenantSpec): Promise<Written<Tenant>> {
  const limit = spec.quota.subnets;
  if (limit !== undefined && spec.subnets.length > limit)
    throw new QuotaExceeded('quota.subnets', `${spec.subnets.length} subnets are requested, the quota is ${limit}`);
  const pools: Pools = { store: registry.store, claims: registry.claims, cluster: registry.cluster() };
  const operation = registry.newId();
  const createdAt = registry.now().toISOString();
  const made = await retryLost(async (): Promise<Stored<Tenant> | undefined> => {
    const candidates = await pickCandidates(pools, spec.subnets, { vni: true });
    try {
      const tenant = tenantOf(spec, candidates, { operation, createdAt });
      const revision = await tryToCommit(pools, tenant);
      if (revision !== undefined) {
        learnOwn(pools.claims, candidates, revision);
        return { record: tenant, revision };
      }
      const own = await findOwn(registry.store, spec.name, operation);
      if (own !== undefined) return own;
      await refuseDuringRecovery(registry.store);
      await refuseTaken(pools, spec);
      await learnHolders(pools, candidates);
      return undefined;
    } finally {
      candidates.release();
    }
  });
  return writtenTenant(made, true);
}

function tenantOf(
  { name, namespaces, labels, quota, egress, ingress }: TenantSpec,
  { vni = 0, subnets }: Candidates,
  { operation, createdAt }: { readonly operation: string; readonly createdAt: string },
): Tenant {
  const phase = 'active';
  return { name, vni, subnets, namespaces, labels, quota, egress, ingress, phase, createdAt, operation };
}

/** @returns the revision; undefined when a guard did not hold, or the outcome is unknown */
async function tryToCommit({ store, cluster }: Pools, tenant: Tenant): Promise<Revision | undefined> {
  const { name, vni, subnets, namespaces } = tenant;
  const claims = [keys.vniClaim(vni), ...namespaces.map(keys.namespaceClaim)];
  const guards: Guard[] = [
    NEW_CLAIM,
    ...[keys.tenant(name), ...claims].map((key): Guard => ({ kind: 'absent', key })),
    ...subnets.flatMap((subnet) => subnetGuards(cluster, subnet)),
  ];
  const writes: Write[] = [
    { kind: 'put', key: keys.tenant(name), value: tenants.format(tenant) },
    ...[...claims, ...subnets.map(keys.subnetClaim)].map((key) => putClaim(key, name)),
    ...namespaces.map((namespace): Write => {
      const value = namespaceKind.format(namespaceWithLabels(name, namespace));
      return { kind: 'put', key: keys.namespace(name, namespace), value };
    }),
  ];
  if (guards.length + writes.length > MAX_COMMIT_OPERATIONS)
    throw new InvalidInput(
      'namespaces',
      'too many namespaces and subnets at once: create the tenant with fewer, then add the others',
    );
  try {
    const result = await store.commit(guards, writes);
    return result.committed ? result.revision : undefined;
  } catch (error) {
    // Trying again is safe: whichever attempt gets through, the name is taken for all others.
    if (error instanceof IndeterminateCommit) return undefined;
    throw error;
  }
}

/** The tenant, if an earlier attempt of this same operation made it. @throws Conflict if another tenant has the name */
async function findOwn(store: Store, name: string, operation: string): Promise<Stored<Tenant> | undefined> {
  const found = await findRecord(store, tenants, keys.tenant(name));
  if (found === undefined || found.record.operation === operation) return found;
  throw new Conflict(`tenant ${JSON.stringify(name)} exists already`, { field: 'name', holder: name });
}

/** @throws Conflict for the first thing the caller named that another tenant has */
async function refuseTaken({ store, cluster }: Pools, { namespaces, subnets }: TenantSpec): Promise<void> {
  await Promise.all([
    // The first is the one of the tenant's own name.
    ...namespaces.map((namespace, index) =>
      refuseTakenNamespace(store, namespace, index === 0 ? 'name' : 'namespaces'),
    ),
    ...subnets.map((wish) =>
      wish.kind === 'exact' ? refuseTakenSubnet(store, cluster, wish.prefix, wish.field) : undefined,
    ),
  ]);
}
