/**
 * The records Tenet keeps: what each object is made of once parsed. Values in the store are these as JSON with a schema
 * version (see store/records.ts). Types only; rules of what is valid live beside each parser.
 */
import type { IpAddress, IpPrefix, MacAddress } from '../../dataplane/address.ts';

export type Labels = Readonly<Record<string, string>>;
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type NodeRole = 'manage' | 'compute' | 'gateway';

/** One traffic exception that containers of every tenant may use, such as the cluster's DNS. */
export interface Exception {
  readonly name: string;
  readonly address: IpAddress;
  readonly protocol: Protocol;
  readonly port: number;
}

/** Fixed when the cluster is born, by the first controller. */
export interface ClusterConfig {
  /** tenants' subnets come from here; never "beyond the cluster" */
  readonly pools: readonly IpPrefix[];
  /** the system tenant's own part of the pools */
  readonly systemSubnets: readonly IpPrefix[];
  /** length of a tenant's subnet where none is asked for */
  readonly subnetPrefixLength: { readonly v4: number; readonly v6: number };
  /** length of a node's block inside a subnet; the same for the whole cluster, so that one masked look-up finds it */
  readonly blockPrefixLength: { readonly v4: number; readonly v6: number };
  /** networks of the platform itself: closed to containers, exceptions aside */
  readonly platformNetworks: readonly IpPrefix[];
  /** of networks that are closed by default (service-networks.ts), what containers may use; absent: nothing */
  readonly openNetworks?: readonly IpPrefix[];
  readonly exceptions: readonly Exception[];
  /** owner of containers whose namespace no tenant claims; absent: they are refused */
  readonly defaultTenant?: string;
}

export interface Quota {
  readonly endpoints?: number;
  readonly policies?: number;
  readonly subnets?: number;
}

export interface Tenant {
  readonly name: string;
  /** VXLAN network identifier, 1 for the system tenant, else 2..16777215 */
  readonly vni: number;
  readonly subnets: readonly IpPrefix[];
  readonly namespaces: readonly string[];
  readonly labels: Labels;
  readonly quota: Quota;
  readonly egress: { readonly internet: boolean };
  readonly ingress: { readonly gateways: boolean };
  /** `deleting`: refuses new endpoints, gone once nodes have given back their blocks */
  readonly phase: 'active' | 'deleting';
  /** RFC 3339 */
  readonly createdAt: string;
}

export interface Namespace {
  readonly tenant: string;
  readonly name: string;
  readonly labels: Labels;
}

export interface Block {
  readonly tenant: string;
  readonly prefix: IpPrefix;
  readonly node: string;
}

export interface NamedPort {
  readonly name: string;
  readonly containerPort: number;
  readonly protocol: Protocol;
}

export interface Endpoint {
  /** 12 hex digits, a hash of container id and interface name */
  readonly id: string;
  readonly tenant: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ips: readonly IpAddress[];
  readonly mac: MacAddress;
  readonly labels: Labels;
  readonly ports: readonly NamedPort[];
  readonly containerId: string;
  readonly ifname: string;
  /** RFC 3339 */
  readonly createdAt: string;
}

export interface Node {
  readonly name: string;
  /** address other nodes' VXLAN packets go to and come from */
  readonly underlay: IpAddress;
  /** its link's own network: closed to its containers. Absent in records of older agents. */
  readonly underlaySubnet?: IpPrefix;
  readonly underlayMac: MacAddress;
  readonly roles: readonly NodeRole[];
  readonly version: string;
}

/** `tenant` asks that its endpoints and `peer`'s may talk. In force only while both have asked. */
export interface Peering {
  readonly tenant: string;
  readonly peer: string;
  /** RFC 3339 */
  readonly createdAt: string;
}

export type SelectorOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

/** @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors */
export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly SelectorRequirement[];
}

export interface SelectorRequirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  /** of In and NotIn, never empty; absent for the others */
  readonly values?: readonly string[];
}

/** A network and holes in it; without host bits. Of either family. */
export interface IpBlock {
  readonly cidr: IpPrefix;
  readonly except?: readonly IpPrefix[];
}

/** Either an ipBlock alone, or selectors: pods of the policy's own namespace, of the namespaces selected, or all of these. */
export interface PolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: IpBlock;
}

export interface PolicyPort {
  readonly protocol: Protocol;
  /** number, or name of a port as each destination has it; absent: all of the protocol */
  readonly port?: number | string;
  /** last of a range that begins with a numeric `port` */
  readonly endPort?: number;
}

/** Peers and ports are lists that are never empty: absent means any, as in Kubernetes. */
export interface IngressRule {
  readonly from?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

export interface EgressRule {
  readonly to?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

export type PolicyType = 'Ingress' | 'Egress';

/**
 * `spec` of a Kubernetes NetworkPolicy with its defaults filled in. A direction that is not among `policyTypes` is not restricted,
 * whatever rules are written for it; one that is, without rules, allows nothing.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
 */
export interface PolicySpec {
  readonly podSelector: LabelSelector;
  readonly policyTypes: readonly PolicyType[];
  readonly ingress?: readonly IngressRule[];
  readonly egress?: readonly EgressRule[];
}

export interface Policy {
  readonly tenant: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Labels;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: PolicySpec;
  /** RFC 3339 */
  readonly createdAt: string;
}

/**
 * Revisions up to which a node has everything of one kind in its kernel: of tenants' own records, their namespaces, their
 * peerings, policies and endpoints. Kinds are apart because each is followed by a watch of its own, and nothing orders watches
 * among each other. Of all tenants' policies and endpoints no node speaks: only of those of tenants that run there.
 */
export interface EnforcedRevisions {
  readonly tenant: number;
  readonly namespaces: number;
  readonly peerings: number;
  readonly policies?: number;
  readonly endpoints?: number;
}

/** What a node's kernel enforces, told by its agent after each change that it has applied. */
export interface Enforced {
  /** of the last transaction, RFC 3339 */
  readonly at: string;
  /** of all tenants: gateways and manage nodes, which follow every one */
  readonly all?: EnforcedRevisions;
  /** instead of `all` while the kernel refuses something of these tenants: at most 100 of them */
  readonly allBut?: EnforcedRevisions & { readonly tenants: readonly string[] };
  /** of each tenant the node follows because something of it is here; absent ones are not enforced yet, unless `all` says so */
  readonly tenants: Readonly<Record<string, Partial<EnforcedRevisions>>>;
}

/** One end of a packet that was refused, as far as the node that refused it knows. */
export interface DenialEnd {
  readonly ip: IpAddress;
  readonly tenant?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** A packet that was refused: one of perhaps many alike. */
export interface Denial {
  /** RFC 3339 */
  readonly at: string;
  readonly from: DenialEnd;
  readonly to: DenialEnd;
  /** TCP, UDP, SCTP, ICMP, or an IP protocol number as text */
  readonly protocol: string;
  /** of the destination, where the protocol has ports */
  readonly port?: number;
  /** `egress`: refused where it was sent; `ingress`: where it arrived */
  readonly direction: 'egress' | 'ingress';
  /** `flows`: the sender, or its tenant, has as many flows on its node as it may; absent: no policy allows it */
  readonly reason?: 'flows';
  /** packets alike that were shown together; absent: one */
  readonly count?: number;
}

/** The latest that a node refused of a tenant's packets: a sample. Written while a caller asks, at most once a second. */
export interface Denials {
  /** of this writing, RFC 3339 */
  readonly at: string;
  /** of the last one; counts up by one for each since the agent began */
  readonly sequence: number;
  /** when the agent began to count, RFC 3339 */
  readonly started: string;
  /** number of the last one before the caller asked; absent: 0 */
  readonly unasked?: number;
  /** newest last, at most 20 */
  readonly denials: readonly Denial[];
}

/** Packets of tenants that a node let pass and refused since its agent began. */
export interface Traffic {
  /** of this writing, RFC 3339 */
  readonly at: string;
  readonly tenants: Readonly<Record<string, { readonly allowed: number; readonly denied: number }>>;
}

/** The system tenant: VNI 1, where gateways and manage nodes live. */
export const SYSTEM_TENANT = 'system';
export const SYSTEM_VNI = 1;
