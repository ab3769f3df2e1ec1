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
  readonly exceptions: readonly Exception[];
  /** owner of containers whose namespace nobody claims; absent: they are refused */
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

/**
 * Revisions up to which a node has everything of one kind in its kernel: of tenants' own records, their namespaces, their
 * peerings. Kinds are apart because each is followed by a watch of its own, and nothing orders watches among each other.
 */
export interface EnforcedRevisions {
  readonly tenant: number;
  readonly namespaces: number;
  readonly peerings: number;
}

/** What a node's kernel enforces, told by its agent after each change that it has applied. */
export interface Enforced {
  /** of the last transaction, RFC 3339 */
  readonly at: string;
  /** of all tenants: gateways and manage nodes, which follow every one */
  readonly all?: EnforcedRevisions;
  /** of each tenant the node follows because something of it is here; absent ones are not enforced yet */
  readonly tenants: Readonly<Record<string, EnforcedRevisions>>;
}

/** The system tenant: VNI 1, where gateways and manage nodes live. */
export const SYSTEM_TENANT = 'system';
export const SYSTEM_VNI = 1;
