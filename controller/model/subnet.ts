/**
 * Which subnets a tenant may have: inside one pool, at least one node's block large, apart from the system tenant's. Whether a
 * subnet is free is the store's to say. Pure.
 */
import {
  AddressError,
  familyOf,
  type IpFamily,
  type IpPrefix,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  prefixLength,
} from '../../dataplane/address.ts';
import type { Fault } from './faults.ts';
import type { ClusterConfig } from './records.ts';

/** A subnet that a caller asks for: this very one, or any of a length. `field` is where in the request it was asked for. */
export type SubnetWish =
  | { readonly kind: 'exact'; readonly prefix: IpPrefix; readonly field: string }
  | { readonly kind: 'any'; readonly family: IpFamily; readonly length: number };

/** A prefix as text, or a fault and undefined. */
export function checkPrefix(text: string, field: string, fault: Fault): IpPrefix | undefined {
  try {
    return parsePrefix(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    fault(field, error.message);
    return undefined;
  }
}

/** The pool that holds a subnet. */
export function poolOf(cluster: ClusterConfig, subnet: IpPrefix): IpPrefix | undefined {
  return cluster.pools.find((pool) => prefixContains(pool, subnet));
}

/** The families that the cluster has pools of, IPv4 first. */
export function familiesOf(cluster: ClusterConfig): IpFamily[] {
  return ([4, 6] as const).filter((family) => cluster.pools.some((pool) => familyOf(pool) === family));
}

/** The length of a subnet where none is asked for. */
export function defaultLength(cluster: ClusterConfig, family: IpFamily): number {
  return family === 4 ? cluster.subnetPrefixLength.v4 : cluster.subnetPrefixLength.v6;
}

/** The lengths a subnet may have: no longer than a node's block, no shorter than the largest pool. */
function lengthBounds(
  cluster: ClusterConfig,
  family: IpFamily,
): { readonly shortest: number; readonly longest: number } {
  const pools = cluster.pools.filter((pool) => familyOf(pool) === family);
  return {
    shortest: Math.min(...pools.map(prefixLength)),
    longest: family === 4 ? cluster.blockPrefixLength.v4 : cluster.blockPrefixLength.v6,
  };
}

export function checkSubnetLength(
  length: number,
  family: IpFamily,
  field: string,
  cluster: ClusterConfig,
  fault: Fault,
): void {
  const { shortest, longest } = lengthBounds(cluster, family);
  if (length < shortest || length > longest)
    fault(field, `must be ${shortest} to ${longest} for IPv${family}: inside the pool, and at least one node's block`);
}

/** The subnet wanted, unless it cannot be anybody's. */
export function checkSubnet(text: string, field: string, cluster: ClusterConfig, fault: Fault): SubnetWish | undefined {
  const prefix = checkPrefix(text, field, fault);
  if (prefix === undefined) return undefined;
  if (poolOf(cluster, prefix) === undefined) {
    fault(field, `${prefix} is not inside the cluster's pool (${cluster.pools.join(', ')})`);
    return undefined;
  }
  const system = cluster.systemSubnets.find((subnet) => prefixesOverlap(subnet, prefix));
  if (system !== undefined) fault(field, `${prefix} overlaps ${system}, which is the platform's own`);
  const { longest } = lengthBounds(cluster, familyOf(prefix));
  if (prefixLength(prefix) > longest) fault(field, `${prefix} is smaller than one node's block (/${longest})`);
  return { kind: 'exact', prefix, field };
}
