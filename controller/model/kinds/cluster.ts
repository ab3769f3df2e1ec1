/**
 * The cluster's configuration: one record, written by the first controller and changed by REST. One that cannot be read leaves nodes
 * with the last good one; a node that never had one writes nothing to its kernel. Pure.
 */
import { Type } from 'typebox';
import { Kind, only, type RecordOf } from './kind.ts';
import { Ip, PortNumber, Prefix, Protocol } from './shapes.ts';

/** One traffic exception that containers of every tenant may use, such as the cluster's DNS. */
export const Exception = Type.Object({ name: Type.String(), address: Ip, protocol: Protocol, port: PortNumber });
export type Exception = RecordOf<typeof Exception>;

const Lengths = Type.Object({
  v4: Type.Integer({ minimum: 0, maximum: 32 }),
  v6: Type.Integer({ minimum: 0, maximum: 128 }),
});

export const ClusterConfig = Type.Object({
  /** tenants' subnets come from here; never "beyond the cluster" */
  pools: Type.Array(Prefix),
  /** the system tenant's own part of the pools */
  systemSubnets: Type.Array(Prefix),
  /** length of a tenant's subnet where none is asked for */
  subnetPrefixLength: Lengths,
  /** length of a node's block inside a subnet; the same for the whole cluster, so that one masked look-up finds it */
  blockPrefixLength: Lengths,
  /** networks of the platform itself: closed to containers, exceptions aside */
  platformNetworks: Type.Array(Prefix),
  /** of networks that are closed by default (service-networks.ts), what containers may use; absent: nothing */
  openNetworks: Type.Optional(Type.Array(Prefix)),
  exceptions: Type.Array(Exception),
  /** owner of containers whose namespace no tenant claims; absent: they are refused */
  defaultTenant: Type.Optional(Type.String()),
});
/** Fixed when the cluster is born, by the first controller. */
export type ClusterConfig = RecordOf<typeof ClusterConfig>;

export const clusters = new Kind({
  name: 'cluster',
  prefix: 'cluster',
  form: only,
  schema: ClusterConfig,
  version: 1,
});
