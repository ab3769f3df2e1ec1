/**
 * The records Tenet keeps, by name. What each is made of, where it lies and how it is read says its own file of kinds/. Types only, and
 * the name of the platform's own tenant.
 */
export type { Block } from './kinds/block.ts';
export type { ClusterConfig, Exception } from './kinds/cluster.ts';
export type { Denial, DenialEnd, Denials } from './kinds/denials.ts';
export type { Endpoint } from './kinds/endpoint.ts';
export type { Enforced, EnforcedRevisions } from './kinds/enforced.ts';
export type { Namespace } from './kinds/namespace.ts';
export type { Node, NodeRole } from './kinds/node.ts';
export type { Peering } from './kinds/peering.ts';
export type {
  EgressRule,
  IngressRule,
  IpBlock,
  LabelSelector,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicySpec,
  PolicyType,
  SelectorOperator,
  SelectorRequirement,
} from './kinds/policy.ts';
export type { Labels, NamedPort, Protocol } from './kinds/shapes.ts';
export { type Quota, SYSTEM_TENANT, SYSTEM_VNI, type Tenant } from './kinds/tenant.ts';
export type { Traffic } from './kinds/traffic.ts';
