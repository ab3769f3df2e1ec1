/**
 * Where each object lives in the store, relative to the store's prefix `/tenet/v1/`. Each kind's form is its own (model/kinds/); this
 * is the list of all, and of the ranges that are read or followed. Pure.
 */
import type { IpPrefix } from '../../dataplane/address.ts';
import { blocks } from '../model/kinds/block.ts';
import { CLAIMS, namespaceClaims, subnetClaims, vniClaims } from '../model/kinds/claim.ts';
import { clusters } from '../model/kinds/cluster.ts';
import { denials } from '../model/kinds/denials.ts';
import { endpoints } from '../model/kinds/endpoint.ts';
import { enforcedBy } from '../model/kinds/enforced.ts';
import { histories, recoveries } from '../model/kinds/history.ts';
import { lastBackups } from '../model/kinds/last-backup.ts';
import { leaders } from '../model/kinds/leader.ts';
import { namespaces } from '../model/kinds/namespace.ts';
import { liveNodes, nodes } from '../model/kinds/node.ts';
import { peerings } from '../model/kinds/peering.ts';
import { policies, policyTurns } from '../model/kinds/policy.ts';
import { problems } from '../model/kinds/problems.ts';
import { tenants } from '../model/kinds/tenant.ts';
import { traffic } from '../model/kinds/traffic.ts';
import { type Subject, wanted } from '../model/kinds/wanted.ts';

/** Prefix of every key Tenet owns in a shared etcd. An incompatible layout gets a new one. */
export const STORE_PREFIX = '/tenet/v1/';

export const keys = {
  cluster: clusters.key({}),
  history: histories.key({}),
  recovery: recoveries.key({}),
  lastBackup: lastBackups.key({}),
  tenants: tenants.prefix,
  tenant: (name: string) => tenants.key({ name }),
  claims: CLAIMS,
  vniClaim: (vni: number) => vniClaims.key({ vni }),
  subnetClaims: subnetClaims.prefix,
  subnetClaim: (subnet: IpPrefix) => subnetClaims.key({ subnet }),
  namespaceClaim: (namespace: string) => namespaceClaims.key({ namespace }),
  namespaces: (tenant: string) => `${namespaces.prefix}${tenant}/`,
  namespace: (tenant: string, name: string) => namespaces.key({ tenant, name }),
  allNamespaces: namespaces.prefix,
  policies: (tenant: string) => `${policies.prefix}${tenant}/`,
  namespacePolicies: (tenant: string, namespace: string) => `${policies.prefix}${tenant}/${namespace}/`,
  policy: (tenant: string, namespace: string, name: string) => policies.key({ tenant, namespace, name }),
  policyTurn: (tenant: string) => policyTurns.key({ tenant }),
  allPeerings: peerings.prefix,
  peerings: (tenant: string) => `${peerings.prefix}${tenant}/`,
  peering: (tenant: string, peer: string) => peerings.key({ tenant, peer }),
  allBlocks: blocks.prefix,
  blocks: (tenant: string) => `${blocks.prefix}${tenant}/`,
  block: (tenant: string, prefix: IpPrefix) => blocks.key({ tenant, prefix }),
  allEndpoints: endpoints.prefix,
  endpoints: (tenant: string) => `${endpoints.prefix}${tenant}/`,
  nodeEndpoints: (tenant: string, node: string) => `${endpoints.prefix}${tenant}/${node}/`,
  endpoint: (tenant: string, node: string, id: string) => endpoints.key({ tenant, node, id }),
  nodes: nodes.prefix,
  node: (name: string) => nodes.key({ name }),
  /** Held by a live agent's lease; the node's record itself outlives the agent, for so do its rules and pods. */
  liveNodes: liveNodes.prefix,
  liveNode: (node: string) => liveNodes.key({ node }),
  allEnforced: enforcedBy.prefix,
  enforced: (node: string) => enforcedBy.key({ node }),
  denials: (tenant: string) => `${denials.prefix}${tenant}/`,
  nodeDenials: (tenant: string, node: string) => denials.key({ tenant, node }),
  allTraffic: traffic.prefix,
  traffic: (node: string) => traffic.key({ node }),
  allProblems: problems.prefix,
  problems: (node: string) => problems.key({ node }),
  wanted: wanted.prefix,
  wantedBy: (subject: Subject, asker: string) => wanted.key({ subject, asker }),
  leader: leaders.key({}),
} as const;
