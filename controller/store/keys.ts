/**
 * Where each object lives in the store: key builders and parsers, relative to the store's prefix `/tenet/v1/`. Addresses in
 * keys are zero-padded so that key order is address order (a subnet and all inside it form one range). Pure.
 */
import {
  familyOf,
  type IpPrefix,
  ipToNumber,
  numberToIp,
  parsePrefix,
  parseSortableIp,
  prefixBase,
  prefixLength,
  prefixSize,
  sortableIp,
} from '../../dataplane/address.ts';

/** Prefix of every key Tenet owns in a shared etcd. An incompatible layout gets a new one. */
export const STORE_PREFIX = '/tenet/v1/';

export const keys = {
  cluster: 'cluster',
  tenants: 'tenants/',
  tenant: (tenant: string) => `tenants/${tenant}`,
  claims: 'claims/',
  vniClaims: 'claims/vni/',
  vniClaim: (vni: number) => `claims/vni/${String(vni).padStart(8, '0')}`,
  subnetClaims: 'claims/subnet/',
  subnetClaim: (subnet: IpPrefix) => `claims/subnet/${prefixKey(subnet)}`,
  namespaceClaim: (namespace: string) => `claims/namespace/${namespace}`,
  namespaces: (tenant: string) => `namespaces/${tenant}/`,
  namespace: (tenant: string, namespace: string) => `namespaces/${tenant}/${namespace}`,
  allNamespaces: 'namespaces/',
  policies: (tenant: string) => `policies/${tenant}/`,
  namespacePolicies: (tenant: string, namespace: string) => `policies/${tenant}/${namespace}/`,
  policy: (tenant: string, namespace: string, name: string) => `policies/${tenant}/${namespace}/${name}`,
  /** Written with each policy that a tenant with a quota of them makes: none is made while another is counted. */
  policyTurn: (tenant: string) => `policy-turns/${tenant}`,
  allPeerings: 'peerings/',
  peerings: (tenant: string) => `peerings/${tenant}/`,
  peering: (tenant: string, peer: string) => `peerings/${tenant}/${peer}`,
  allBlocks: 'blocks/',
  blocks: (tenant: string) => `blocks/${tenant}/`,
  block: (tenant: string, block: IpPrefix) => `blocks/${tenant}/${prefixKey(block)}`,
  allEndpoints: 'endpoints/',
  endpoints: (tenant: string) => `endpoints/${tenant}/`,
  nodeEndpoints: (tenant: string, node: string) => `endpoints/${tenant}/${node}/`,
  endpoint: (tenant: string, node: string, id: string) => `endpoints/${tenant}/${node}/${id}`,
  nodes: 'nodes/',
  node: (node: string) => `nodes/${node}`,
  /** Held by a live agent's lease; the node's record itself outlives the agent, for so do its rules and pods. */
  liveNodes: 'live/',
  liveNode: (node: string) => `live/${node}`,
  allEnforced: 'enforced/',
  /** Gone with the node's record; outlives its agent, for so does what is in the kernel. */
  enforced: (node: string) => `enforced/${node}`,
  denials: (tenant: string) => `denials/${tenant}/`,
  /** What a node refused of a tenant's lately. Gone with the tenant, or with the node's record. */
  nodeDenials: (tenant: string, node: string) => `denials/${tenant}/${node}`,
  allTraffic: 'traffic/',
  /** What a node counted of all tenants. Gone with the node's record. */
  traffic: (node: string) => `traffic/${node}`,
  allProblems: 'problems/',
  /** What a node has to tell that a person must know; absent while there is nothing. Gone with the node's record. */
  problems: (node: string) => `problems/${node}`,
  /** What callers want to be told, by subject and asker. Held by the lease of the controller that was asked. */
  wanted: 'wanted/',
  wantedBy: (subject: string, asker: string) => `wanted/${subject}/${asker}`,
  leader: 'leader',
} as const;

/** What nodes tell only while it is wanted. */
export const subjects = {
  traffic: 'traffic',
  denials: (tenant: string) => `denials/${tenant}`,
  /** @returns undefined for other subjects */
  tenantOf: (subject: string) => /^denials\/([^/]+)$/.exec(subject)?.[1],
} as const;

/** The subject of a key of `wanted/`. */
export function wantedSubject(key: string): string {
  return key.slice(keys.wanted.length, key.lastIndexOf('/'));
}

/** The tenant whose a record is, by its key; undefined for what is no single tenant's. */
export function tenantOfKey(key: string): string | undefined {
  const owned = /^(?:tenants|namespaces|policies|policy-turns|peerings|blocks|endpoints|denials)\/([^/]+)/;
  return owned.exec(key)?.[1];
}

/** `010.128.004.000-22` */
function prefixKey(prefix: IpPrefix): string {
  return `${sortableIp(prefixBase(prefix))}-${prefixLength(prefix)}`;
}

/** The prefix in the last segment of a claim's or block's key. @throws AddressError */
export function parsePrefixKey(key: string): IpPrefix {
  const segment = key.slice(key.lastIndexOf('/') + 1);
  const dash = segment.lastIndexOf('-');
  return parsePrefix(`${parseSortableIp(segment.slice(0, dash))}/${segment.slice(dash + 1)}`);
}

/**
 * The key range holding the claim of every subnet whose BASE lies in `subnet`: itself, everything inside it, and those larger
 * ones that begin where it begins.
 */
export function subnetClaimRange(subnet: IpPrefix): { readonly from: string; readonly to: string } {
  const end = ipToNumber(prefixBase(subnet)) + prefixSize(subnet);
  const last = numberToIp(end - 1n, familyOf(subnet));
  // '.' < '0' and '-' < '.', so '~' after the last address follows every length of it.
  return { from: `claims/subnet/${sortableIp(prefixBase(subnet))}`, to: `claims/subnet/${sortableIp(last)}~` };
}
