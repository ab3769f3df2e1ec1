/**
 * Tenants as people ask for them: what a request to create, grow or change one says, once every field has been judged. Shapes
 * have been checked before; this is about content. Pure.
 */
import { prefixesOverlap } from '../../dataplane/address.ts';
import { collectFaults, type Fault } from './faults.ts';
import { checkLabels, checkName } from './names.ts';
import { type ClusterConfig, type Labels, type Quota, SYSTEM_TENANT, type Tenant } from './records.ts';
import { checkSubnet, checkSubnetLength, defaultLength, familiesOf, type SubnetWish } from './subnet.ts';

/** Body of POST /v1/tenants. */
export interface TenantRequest {
  readonly name: string;
  readonly namespaces?: readonly string[];
  readonly subnetPrefixLength?: number;
  readonly subnets?: readonly string[];
  readonly labels?: Labels;
  readonly quota?: Quota;
  readonly egress?: { readonly internet?: boolean };
  readonly ingress?: { readonly gateways?: boolean };
}

/** A tenant to be: all but what only the store can give it. */
export interface TenantSpec extends Pick<Tenant, 'name' | 'namespaces' | 'labels' | 'quota' | 'egress' | 'ingress'> {
  readonly subnets: readonly SubnetWish[];
}

/** Body of POST /v1/tenants/{tenant}/subnets. */
export interface SubnetRequest {
  readonly prefixLength?: number;
  readonly family?: 4 | 6;
  readonly cidr?: string;
}

/** JSON merge patch (RFC 7396) of what may change: null takes a value away. */
export interface TenantPatch {
  readonly labels?: Readonly<Record<string, string | null>> | null;
  readonly quota?: { readonly [name in keyof Quota]?: number | null } | null;
  readonly egress?: { readonly internet?: boolean | null } | null;
  readonly ingress?: { readonly gateways?: boolean | null } | null;
}

/**
 * The namespace of the tenant's own name is always among its namespaces, first: it is where containers without one live.
 * @throws InvalidInput
 */
export function parseTenant(request: TenantRequest, cluster: ClusterConfig): TenantSpec {
  return collectFaults((fault) => {
    checkTenantName(request.name, 'name', fault);
    for (const [index, namespace] of (request.namespaces ?? []).entries())
      checkName(namespace, `namespaces[${index}]`, fault);
    checkLabels(request.labels ?? {}, 'labels', fault);
    return {
      name: request.name,
      namespaces: [...new Set([request.name, ...(request.namespaces ?? [])])],
      subnets: subnetWishes(request, cluster, fault),
      labels: request.labels ?? {},
      quota: request.quota ?? {},
      egress: { internet: request.egress?.internet ?? true },
      ingress: { gateways: request.ingress?.gateways ?? true },
    };
  });
}

function checkTenantName(name: string, field: string, fault: Fault): void {
  checkName(name, field, fault);
  if (name === SYSTEM_TENANT) fault(field, `"${SYSTEM_TENANT}" is reserved for the platform`);
}

/** Those named, else one of each family that the cluster has. A length asked for is the first family's. */
function subnetWishes(request: TenantRequest, cluster: ClusterConfig, fault: Fault): SubnetWish[] {
  if (request.subnets !== undefined && request.subnetPrefixLength !== undefined)
    fault('subnetPrefixLength', 'cannot be given along with subnets');
  if (request.subnets !== undefined) return exactWishes(request.subnets, cluster, fault);
  return familiesOf(cluster).map((family, index) => {
    const length = (index === 0 ? request.subnetPrefixLength : undefined) ?? defaultLength(cluster, family);
    checkSubnetLength(length, family, 'subnetPrefixLength', cluster, fault);
    return { kind: 'any', family, length };
  });
}

function exactWishes(subnets: readonly string[], cluster: ClusterConfig, fault: Fault): SubnetWish[] {
  const wishes: SubnetWish[] = [];
  for (const [index, text] of subnets.entries()) {
    const field = `subnets[${index}]`;
    const wish = checkSubnet(text, field, cluster, fault);
    if (wish?.kind !== 'exact') continue;
    const other = wishes.find((before) => before.kind === 'exact' && prefixesOverlap(before.prefix, wish.prefix));
    if (other?.kind === 'exact') fault(field, `${wish.prefix} overlaps ${other.field} (${other.prefix})`);
    wishes.push(wish);
  }
  return wishes;
}

/** @throws InvalidInput */
export function parseSubnet(request: SubnetRequest, cluster: ClusterConfig): SubnetWish {
  const wish = collectFaults((fault): SubnetWish | undefined => {
    if (request.cidr !== undefined) {
      for (const field of ['prefixLength', 'family'] as const)
        if (request[field] !== undefined) fault(field, 'cannot be given along with cidr');
      return checkSubnet(request.cidr, 'cidr', cluster, fault);
    }
    const families = familiesOf(cluster);
    const family = request.family ?? families[0] ?? 4;
    const length = request.prefixLength ?? defaultLength(cluster, family);
    if (!families.includes(family)) fault('family', `the cluster has no IPv${family} pool`);
    else checkSubnetLength(length, family, 'prefixLength', cluster, fault);
    return { kind: 'any', family, length };
  });
  if (wish === undefined) throw new TypeError('a subnet without a fault and without a value');
  return wish;
}

/** The tenant with the patch applied. @throws InvalidInput */
export function patchTenant(tenant: Tenant, patch: TenantPatch): Tenant {
  return collectFaults((fault) => {
    const labels = mergeMap(tenant.labels, patch.labels);
    checkLabels(labels, 'labels', fault);
    return {
      ...tenant,
      labels,
      quota: mergeMap<number>({ ...tenant.quota }, patch.quota),
      egress: { internet: mergeFlag(tenant.egress.internet, patch.egress, patch.egress?.internet) },
      ingress: { gateways: mergeFlag(tenant.ingress.gateways, patch.ingress, patch.ingress?.gateways) },
    };
  });
}

/** @see RFC 7396 section 2 */
function mergeMap<T>(
  map: Readonly<Record<string, T>>,
  patch: Readonly<Record<string, T | null | undefined>> | null | undefined,
): Record<string, T> {
  if (patch === null) return {};
  const merged = new Map(Object.entries(map));
  for (const [key, value] of Object.entries(patch ?? {})) {
    if (value === null) merged.delete(key);
    else if (value !== undefined) merged.set(key, value);
  }
  return Object.fromEntries(merged);
}

/** A flag taken away is back at its default, which is true. */
function mergeFlag(now: boolean, parent: object | null | undefined, patch: boolean | null | undefined): boolean {
  if (parent === null || patch === null) return true;
  return patch ?? now;
}
