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
  readonly vni: number;
  /** in the order of the wishes */
  readonly subnets: readonly IpPrefix[];
  /** Once the commit is over. */
  release(): void;
}

/**
 * Picks a subnet for every wish, and a VNI.
 * @throws Exhausted, Unavailable
 */
export async function pickCandidates(pools: Pools, wishes: readonly SubnetWish[]): Promise<Candidates> {
  const vni = await reserve(pools, () => pools.claims.reserveVni(), 'vni', `every VNI up to ${LAST_VNI} is taken`);
  try {
    const subnets = await pickSubnets(pools, wishes);
    const release = () => {
      vni.release();
      subnets.release();
    };
    return { vni: vni.value, subnets: subnets.value, release };
  } catch (error) {
    vni.release();
    throw error;
  }
}

/** @throws Exhausted, Unavailable */
export async function pickSubnets(pools: Pools, wishes: readonly SubnetWish[]): Promise<Reservation<readonly IpPrefix[]>> {
  const picked: IpPrefix[] = [];
  const reserved: Reservation<IpPrefix>[] = [];
  const release = () => {
    for (const reservation of reserved) reservation.release();
  };
  try {
    for (const wish of wishes) {
      if (wish.kind === 'any') reserved.push(await reserveSubnet(pools, wish));
      picked.push(wish.kind === 'any' ? (reserved.at(-1)?.value ?? wishFailed()) : wish.prefix);
    }
    return { value: picked, release };
  } catch (error) {
    release();
    throw error;
  }
}

function wishFailed(): never {
  throw new TypeError('a reservation without a value');
}

function reserveSubnet(pools: Pools, wish: Extract<SubnetWish, { kind: 'any' }>): Promise<Reservation<IpPrefix>> {
  const { family, length } = wish;
  const pool = `subnet /${length}`;
  const message = `no IPv${family} /${length} is left in the cluster's pool (${pools.cluster.pools.join(', ')})`;
  return reserve(pools, () => pools.claims.reserveSubnet(pools.cluster.pools, family, length), pool, message);
}

/** Others' reservations may yet come to nothing, and the view may lag: only then is nothing left. */
async function reserve<T>(
  { claims }: Pools,
  pick: () => Reservation<T> | undefined,
  pool: string,
  message: string,
): Promise<Reservation<T>> {
  let refreshed = false;
  for (;;) {
    const picked = pick();
    if (picked !== undefined) return picked;
    if (refreshed) {
      const released = claims.nextRelease();
      if (released === undefined) throw new Exhausted(pool, message);
      await released;
    }
    await claims.refresh();
    refreshed = true;
  }
}

/** After a lost race: whoever has what we tried to take goes into the view, so that it is not tried again. */
export async function learnHolders({ store, claims, cluster }: Pools, subnets: readonly IpPrefix[], vni?: number): Promise<void> {
  const found = await Promise.all([
    ...(vni === undefined ? [] : [findClaim(store, keys.vniClaim(vni))]),
    ...subnets.map((subnet) => findOverlap(store, cluster, subnet)),
  ]);
  for (const claim of found) if (claim !== undefined) claims.learn(claim.entry.key, claim.entry.modRevision);
}

/** After a commit of ours. */
export function learnOwn(claims: ClaimsView, subnets: readonly IpPrefix[], revision: Revision, vni?: number): void {
  if (vni !== undefined) claims.learn(keys.vniClaim(vni), revision);
  for (const subnet of subnets) claims.learn(keys.subnetClaim(subnet), revision);
}
