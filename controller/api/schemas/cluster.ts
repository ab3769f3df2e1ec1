/**
 * The cluster's configuration on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import { MOST_OPEN_NETWORKS } from '../../model/cluster.ts';
import type { ClusterConfig } from '../../model/records.ts';
import { SERVICE_NETWORKS } from '../../model/service-networks.ts';
import type { Stored } from '../../operations/stored.ts';
import { Cidr, Revision } from './common.ts';

const Exception = Type.Object(
  {
    name: Type.String({ examples: ['dns'] }),
    address: Type.String({ examples: ['192.0.2.53'] }),
    protocol: Type.Unsafe<'TCP' | 'UDP' | 'SCTP'>({ type: 'string', enum: ['TCP', 'UDP', 'SCTP'] }),
    port: Type.Integer({ minimum: 1, maximum: 65535, examples: [53] }),
  },
  { additionalProperties: false, description: 'an address and port that the containers of every tenant may call' },
);

const Networks = Type.Array(Cidr, {
  maxItems: 256,
  description: 'networks of the platform, closed to containers',
});
const OpenNetworks = Type.Array(Cidr, {
  maxItems: MOST_OPEN_NETWORKS,
  description: `parts that containers may use of the networks closed by default: ${SERVICE_NETWORKS.join(', ')}`,
});
const Exceptions = Type.Array(Exception, { maxItems: 256 });
const Lengths = Type.Object({ v4: Type.Integer(), v6: Type.Integer() });

export const ClusterPatchBody = Type.Object(
  {
    platformNetworks: Type.Optional(Networks),
    openNetworks: Type.Optional(OpenNetworks),
    exceptions: Type.Optional(Exceptions),
    defaultTenant: Type.Optional(
      Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description: 'owner of containers whose namespace no tenant claims; null: such containers are rejected',
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'absent fields stay as they are; a list replaces the whole list',
    examples: [{ exceptions: [{ name: 'dns', address: '192.0.2.53', protocol: 'UDP', port: 53 }] }],
  },
);

export const ClusterView = Type.Object(
  {
    pools: Type.Array(Cidr, { description: "tenants' subnets are allocated from these networks" }),
    systemSubnets: Type.Array(Cidr, { description: "the system tenant's part of the pools" }),
    subnetPrefixLength: Lengths,
    blockPrefixLength: Lengths,
    platformNetworks: Networks,
    openNetworks: OpenNetworks,
    exceptions: Exceptions,
    defaultTenant: Type.Optional(Type.String()),
    revision: Revision,
  },
  { $id: 'Cluster' },
);

export function viewCluster({ record, revision }: Stored<ClusterConfig>): object {
  const { pools, systemSubnets, subnetPrefixLength, blockPrefixLength } = record;
  const { platformNetworks, openNetworks = [], exceptions, defaultTenant } = record;
  const fixed = { pools, systemSubnets, subnetPrefixLength, blockPrefixLength };
  return {
    ...fixed,
    platformNetworks,
    openNetworks,
    exceptions,
    ...(defaultTenant === undefined ? {} : { defaultTenant }),
    revision,
  };
}
