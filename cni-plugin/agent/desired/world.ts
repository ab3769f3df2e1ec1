/** Everything a part of the desired state may look at, and what of a tenant concerns this node. Pure. */
import { type Endpoint, SYSTEM_TENANT, type Tenant } from '../../../controller/model/records.ts';
import { type IpAddress, prefixBase } from '../../../dataplane/address.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { type NodeFacts, reachesAllTenants } from './node-facts.ts';

export interface World {
  readonly snapshot: Snapshot;
  readonly facts: NodeFacts;
  /** is the node's table of connections nearly full? */
  readonly isCrowded: boolean;
  /** endpoints that run here, by id */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** ids of a tenant's endpoints here */
  readonly endpointsOf: (tenant: string) => ReadonlySet<string>;
}

/** Has the tenant an endpoint here? */
export function isLocal(world: World, tenant: string): boolean {
  return world.endpointsOf(tenant).size > 0;
}

/** Does an endpoint here belong to the tenant, or to one that may talk to it? Then this node has the tenant's overlay. */
export function isReached(world: World, tenant: string): boolean {
  if (isLocal(world, tenant)) return true;
  for (const peer of world.snapshot.peersOf(tenant)) if (isLocal(world, peer.name)) return true;
  return false;
}

/** This node's own address in the system overlay, on nodes that call all tenants. */
export function gatewayAddress({ snapshot, facts }: World): IpAddress | undefined {
  return reachesAllTenants(facts.roles) ? systemAddressOf(snapshot, facts.name) : undefined;
}

/** The address a node has claimed in the system overlay. */
export function systemAddressOf(snapshot: Snapshot, node: string): IpAddress | undefined {
  for (const block of snapshot.blocksOf(SYSTEM_TENANT)) if (block.node === node) return prefixBase(block.prefix);
  return undefined;
}

/** Of the default policy: a tenant's endpoints cannot be told apart, so all share one identity, the tenant's VNI. */
export function identityOf(tenant: Tenant): number {
  return tenant.vni;
}
