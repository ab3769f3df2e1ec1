/**
 * What a request that may take any VNI or subnet is to try next: picked from the local view, kept from other requests of this
 * process until the commit is over. Says that a pool is exhausted only after looking at the store itself.
 */
import type { IpPrefix } from '../../dataplane/address.ts';
import { Exhausted } from '../errors.ts';
import { LAST_VNI } from '../model/allocation.ts';
import type { ClusterConfig } from '../model/records.ts';
import type { SubnetWish } from '../model/subnet.ts';
import { keys } from '../store/keys.ts';
import type { Revision, Store } from '../store/store.ts';
import { findClaim, findOverlap } from './claims.ts';
import type { ClaimsView, Reservation } from './claims-view.ts';

/** Where to pick from. */
export interface Pools {
  readonly store: Store;
  readonly claims: ClaimsView;
  readonly cluster: ClusterConfig;
}

export interface Candidates {
  /** absent where none was wanted */
  readonly vni: number | undefined;
  /** in the order of the wishes */
  readonly subnets: readonly IpPrefix[];
  /** To be called when the commit is over, whatever came of it. */
  release(): void;
}

/**
 * Picks a subnet for every wish, and a VNI if one is wanted.
 * @throws Exhausted, Unavailable
 */
export async function pickCandidates(
  pools: Pools,
  wishes: readonly SubnetWish[],
  { vni }: { readonly vni: boolean },
): Promise<Candidates> {
  for (let looked = false; ; looked = true) {
    const picked = tryToPick(pools, wishes, vni);
    if (!(picked instanceof Exhausted)) return picked;
    if (looked) {
      // What other requests hold may yet come free: theirs may be refused.
      const released = pools.claims.nextRelease();
      if (released === undefined) throw picked;
      await released;
    }
    await pools.claims.refresh();
  }
}

/** All or nothing, in one turn of the event loop: two requests never wait for each other's second half. */
function tryToPick(pools: Pools, wishes: readonly SubnetWish[], wantsVni: boolean): Candidates | Exhausted {
  const reserved: Reservation<unknown>[] = [];
  const release = () => {
    for (const reservation of reserved) reservation.release();
  };
  const subnets: IpPrefix[] = [];
  for (const wish of wishes) {
    if (wish.kind === 'exact') {
      subnets.push(wish.prefix);
      continue;
    }
    const subnet = pools.claims.reserveSubnet(pools.cluster.pools, wish.family, wish.length);
    if (subnet === undefined) {
      release();
      return noSubnet(pools.cluster, wish.family, wish.length);
    }
    reserved.push(subnet);
    subnets.push(subnet.value);
  }
  const vni = wantsVni ? pools.claims.reserveVni() : undefined;
  if (wantsVni && vni === undefined) {
    release();
    return new Exhausted('vni', `every VNI up to ${LAST_VNI} is taken`);
  }
  if (vni !== undefined) reserved.push(vni);
  return { vni: vni?.value, subnets, release };
}

function noSubnet({ pools }: ClusterConfig, family: number, length: number): Exhausted {
  return new Exhausted(
    `subnet /${length}`,
    `no IPv${family} /${length} is left in the cluster's pool (${pools.join(', ')})`,
  );
}

/** After a lost race: the holders of what we tried to take go into the view, so that it is not tried again. */
export async function learnHolders({ store, claims, cluster }: Pools, { vni, subnets }: Candidates): Promise<void> {
  const found = await Promise.all([
    ...(vni === undefined ? [] : [findClaim(store, keys.vniClaim(vni))]),
    ...subnets.map((subnet) => findOverlap(store, cluster, subnet)),
  ]);
  for (const claim of found) if (claim !== undefined) claims.learn(claim.entry.key, claim.entry.modRevision);
}

/** After a commit of ours: these are claimed now. */
export function learnOwn(claims: ClaimsView, { vni, subnets }: Candidates, revision: Revision): void {
  if (vni !== undefined) claims.learn(keys.vniClaim(vni), revision);
  for (const subnet of subnets) claims.learn(keys.subnetClaim(subnet), revision);
}
