/**
 * Nodes on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { NodeState } from '../../operations/nodes.ts';
import { Revision } from './common.ts';

export const NodeParams = Type.Object({
  node: Type.String({
    pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$',
    maxLength: 253,
    description: "the node's name",
    examples: ['node1'],
  }),
});

export const NodeView = Type.Object(
  {
    name: Type.String(),
    underlay: Type.String({ description: "address that other nodes' VXLAN packets go to", examples: ['192.0.2.11'] }),
    underlaySubnet: Type.Optional(Type.String({ description: "its link's network, closed to its containers" })),
    underlayMac: Type.String(),
    roles: Type.Array(Type.String({ enum: ['manage', 'compute', 'gateway'] })),
    version: Type.String({ description: "its agent's" }),
    live: Type.Boolean({
      description: 'its agent renews its lease; one that does not leaves its rules and containers in force',
    }),
    endpoints: Type.Integer({ description: 'containers it has; like `live` not covered by the ETag' }),
    enforced: Type.Optional(
      Type.Object(
        {
          at: Type.String({ format: 'date-time', description: 'when its kernel was changed last, by its own clock' }),
          revision: Type.Integer({ description: 'the highest revision that it has acknowledged' }),
        },
        { description: "its agent's last word; absent before the first; not covered by the ETag" },
      ),
    ),
    revision: Revision,
  },
  { $id: 'Node' },
);

export function viewNode({ record, revision, live, endpoints, enforced }: NodeState): object {
  const { name, underlay, underlaySubnet, underlayMac, roles, version } = record;
  const network = underlaySubnet === undefined ? {} : { underlaySubnet };
  const state = { live, endpoints, ...(enforced && { enforced }), revision };
  return { name, underlay, ...network, underlayMac, roles, version, ...state };
}
