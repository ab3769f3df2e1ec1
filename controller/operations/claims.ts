/**
 * Claims in the store: the guards that make them exclusive, the writes that make them, and who holds one. A subnet's claim is good
 * only if nothing overlaps it: nothing inside it, and no larger one around it, up to the pool's own length.
 */
import { type IpPrefix, prefixBase, prefixLength, prefixOf } from '../../dataplane/address.ts';
import { Conflict } from '../errors.ts';
import { claimant, subnetClaimRange, subnetClaims } from '../model/kinds/claim.ts';
import type { ClusterConfig } from '../model/records.ts';
import { poolOf } from '../model/subnet.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Guard, Store, Write } from '../store/store.ts';

/** A claim that stands in the way. */
export interface FoundClaim {
  readonly entry: Entry;
  /** undefined where the claim cannot be read: then it is taken, by a tenant that is not known */
  readonly tenant: string | undefined;
}

export function putClaim(key: string, tenant: string): Write {
  return { kind: 'put', key, value: subnetClaims.format({ tenant }) };
}

/** Hold together only if no claim shares an address with the subnet. */
export function subnetGuards(cluster: ClusterConfig, subnet: IpPrefix): Guard[] {
  const enclosing = enclosingClaims(cluster, subnet).map((key): Guard => ({ kind: 'absent', key }));
  return [{ kind: 'emptyRange', ...subnetClaimRange(subnet) }, ...enclosing];
}

/** Keys of larger subnets around this one; those that begin where it begins are in its range already. */
function enclosingClaims(cluster: ClusterConfig, subnet: IpPrefix): string[] {
  const base = prefixBase(subnet);
  const pool = poolOf(cluster, subnet);
  const claims: string[] = [];
  for (let length = prefixLength(pool ?? subnet); length < prefixLength(subnet); length++) {
    const larger = prefixOf(base, length);
    if (prefixBase(larger) !== base) claims.push(keys.subnetClaim(larger));
  }
  return claims;
}

export async function findClaim(store: Store, key: string): Promise<FoundClaim | undefined> {
  const { entry } = await store.get(key);
  return entry && { entry, tenant: claimant(entry) };
}

/** Any claim that overlaps the subnet. */
export async function findOverlap(
  store: Store,
  cluster: ClusterConfig,
  subnet: IpPrefix,
): Promise<FoundClaim | undefined> {
  const { from, to } = subnetClaimRange(subnet);
  const [inside, ...around] = await Promise.all([
    store.list(keys.subnetClaims, { after: from, limit: 1 }),
    ...enclosingClaims(cluster, subnet).map((key) => findClaim(store, key)),
  ]);
  const [first] = inside.entries;
  if (first !== undefined && first.key < to) return { entry: first, tenant: claimant(first) };
  return around.find((claim) => claim !== undefined);
}

/** @param field of the request @throws Conflict naming the holder, if there is one */
export async function refuseTakenSubnet(
  store: Store,
  cluster: ClusterConfig,
  subnet: IpPrefix,
  field: string,
): Promise<void> {
  const found = await findOverlap(store, cluster, subnet);
  if (found === undefined) return;
  const other = subnetClaims.place(found.entry.key)?.subnet ?? found.entry.key;
  throw taken(`${subnet} overlaps ${other}, which belongs`, found, field);
}

/** @param field of the request @throws Conflict naming the holder, if there is one */
export async function refuseTakenNamespace(store: Store, namespace: string, field: string): Promise<void> {
  const found = await findClaim(store, keys.namespaceClaim(namespace));
  if (found === undefined) return;
  throw taken(`namespace ${JSON.stringify(namespace)} belongs`, found, field);
}

function taken(what: string, { tenant, entry }: FoundClaim, field: string): Conflict {
  if (tenant === undefined)
    return new Conflict(`${what} to a tenant that ${entry.key} does not say readably`, { field });
  return new Conflict(`${what} to tenant ${JSON.stringify(tenant)}`, { field, holder: tenant });
}
