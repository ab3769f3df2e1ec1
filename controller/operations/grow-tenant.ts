/**
 * Giving a tenant another subnet, in one commit, while everything of it runs on.
 */
import type { IpPrefix } from '../../dataplane/address.ts';
import { QuotaExceeded } from '../errors.ts';
import type { Tenant } from '../model/records.ts';
import type { SubnetWish } from '../model/subnet.ts';
import { keys } from '../store/keys.ts';
import { NEW_CLAIM, refuseDuringRecovery } from '../store/recovery.ts';
import { learnHolders, learnOwn, type Pools, pickCandidates } from './candidates.ts';
import { putClaim, refuseTakenSubnet, subnetGuards } from './claims.ts';
import type { Registry } from './registry.ts';
import type { Precondition, Stored } from './stored.ts';
import { retryLost } from './stored.ts';
import { commitTenant, readChangeable, writtenTenant } from './tenants.ts';
import type { Written } from './written.ts';

/** Subnets a tenant may have at most, so that it can be taken away in one commit. */
export const MAX_SUBNETS = 32;

/**
 * @throws NotFound, Conflict when the subnet is taken or the tenant is going away, QuotaExceeded, Exhausted, PreconditionFailed,
 * Unavailable; nothing is written then
 */
export async function growTenant(
  registry: Registry,
  name: string,
  wish: SubnetWish,
  precondition: Precondition = {},
): Promise<Written<Tenant>> {
  const pools: Pools = { store: registry.store, claims: registry.claims, cluster: registry.cluster() };
  return await retryLost(async () => {
    const found = await readChangeable(registry, name, precondition);
    checkSubnetQuota(found.record);
    const candidates = await pickCandidates(pools, [wish], { vni: false });
    try {
      const grown = await tryToGrow(registry, pools, found, candidates.subnets);
      if (grown !== undefined) {
        learnOwn(pools.claims, candidates, grown.revision);
        return writtenTenant(grown, false);
      }
      await refuseDuringRecovery(pools.store);
      if (wish.kind === 'exact') await refuseTakenSubnet(pools.store, pools.cluster, wish.prefix, wish.field);
      await learnHolders(pools, candidates);
      return undefined;
    } finally {
      candidates.release();
    }
  });
}

function checkSubnetQuota({ name, subnets, quota }: Tenant): void {
  const limit = Math.min(quota.subnets ?? MAX_SUBNETS, MAX_SUBNETS);
  if (subnets.length >= limit)
    throw new QuotaExceeded(
      'quota.subnets',
      `tenant ${JSON.stringify(name)} has ${subnets.length} subnets, the limit is ${limit}`,
    );
}

function tryToGrow(
  registry: Registry,
  { cluster }: Pools,
  found: Stored<Tenant>,
  more: readonly IpPrefix[],
): Promise<Stored<Tenant> | undefined> {
  const { record } = found;
  return commitTenant(
    registry,
    found,
    { ...record, subnets: [...record.subnets, ...more] },
    {
      guards: [NEW_CLAIM, ...more.flatMap((subnet) => subnetGuards(cluster, subnet))],
      writes: more.map((subnet) => putClaim(keys.subnetClaim(subnet), record.name)),
    },
  );
}
