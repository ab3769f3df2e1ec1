/**
 * REST paths of objects, names escaped. Pure.
 */

export const TENANTS = '/v1/tenants';
export const NODES = '/v1/nodes';
export const CLUSTER = '/v1/cluster';
export const BACKUP = '/v1/cluster/backup';
export const RESTORE = '/v1/cluster/restore';
export const PROBLEMS = '/v1/cluster/problems';
export const REACHABILITY = '/v1/reachability';

const join = (...parts: readonly string[]) => parts.map(encodeURIComponent).join('/');

export function tenantPath(tenant: string): string {
  return `${TENANTS}/${join(tenant)}`;
}

export function subnetsPath(tenant: string): string {
  return `${tenantPath(tenant)}/subnets`;
}

export function namespacesPath(tenant: string): string {
  return `${tenantPath(tenant)}/namespaces`;
}

export function namespacePath(tenant: string, namespace: string): string {
  return `${namespacesPath(tenant)}/${join(namespace)}`;
}

/** Of all of the tenant's namespaces. */
export function tenantPoliciesPath(tenant: string): string {
  return `${tenantPath(tenant)}/policies`;
}

export function policiesPath(tenant: string, namespace: string): string {
  return `${namespacePath(tenant, namespace)}/policies`;
}

export function policyPath(tenant: string, namespace: string, name: string): string {
  return `${policiesPath(tenant, namespace)}/${join(name)}`;
}

export function peeringsPath(tenant: string): string {
  return `${tenantPath(tenant)}/peerings`;
}

export function peeringPath(tenant: string, peer: string): string {
  return `${peeringsPath(tenant)}/${join(peer)}`;
}

export function endpointsPath(tenant: string): string {
  return `${tenantPath(tenant)}/endpoints`;
}

export function endpointPath(tenant: string, id: string): string {
  return `${endpointsPath(tenant)}/${join(id)}`;
}

export function denialsPath(tenant: string): string {
  return `${tenantPath(tenant)}/denials`;
}

export function tenantProblemsPath(tenant: string): string {
  return `${tenantPath(tenant)}/problems`;
}

export function nodePath(node: string): string {
  return `${NODES}/${join(node)}`;
}
