/**
 * Nodes on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { NodeState } from '../../operations/nodes.ts';
import { Revision, reference } from './common.ts';
import { ProblemView, viewProblem } from './problem.ts';

export const NodeParams = Type.Object({
  node: Type.String({
    // Capitals too: earlier versions took them from host names.
    pattern: '^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$',
    maxLength: 253,
    description: "the node's name",
    examples: ['node1'],
  }),
});

export const NodeView = Type.Object(
  {
    name: Type.String(),
    underlay: Type.String({ description: 'address to which other nodes send VXLAN packets', examples: ['192.0.2.11'] }),
    underlaySubnet: Type.Optional(Type.String({ description: "the link's network, closed to the node's containers" })),
    underlayMac: Type.String(),
    roles: Type.Array(Type.String({ enum: ['manage', 'compute', 'gateway'] })),
    version: Type.String({ description: 'version of the agent' }),
    live: Type.Boolean({
      description: 'true: the agent renews its lease; if not, its last rules stay in force, its containers run',
    }),
    endpoints: Type.Integer({ description: 'number of containers on it; like `live` not covered by the ETag' }),
    enforced: Type.Optional(
      Type.Object(
        {
          at: Type.String({ format: 'date-time', description: "last change of its kernel, by the node's clock" }),
          revision: Type.Integer({ description: 'the highest revision that the agent has acknowledged' }),
        },
        { description: "the agent's last acknowledgement; absent before the first; not covered by the ETag" },
      ),
    ),
    problems: Type.Array(reference(ProblemView), {
      description: 'what the agent finds wrong, at most 50; not covered by the ETag',
    }),
    revision: Revision,
  },
  { $id: 'Node' },
);

export function viewNode({ record, revision, live, endpoints, enforced, problems }: NodeState): object {
  const { name, underlay, underlaySubnet, underlayMac, roles, version } = record;
  const network = underlaySubnet === undefined ? {} : { underlaySubnet };
  const state = { live, endpoints, ...(enforced && { enforced }), problems: problems.map(viewProblem), revision };
  return { name, underlay, ...network, underlayMac, roles, version, ...state };
}
