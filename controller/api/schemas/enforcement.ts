/**
 * How far a write has come to the nodes, on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import { reference } from './common.ts';

const NodeStatus = Type.Object({
  node: Type.String(),
  enforcedAt: Type.Optional(
    Type.String({
      format: 'date-time',
      description: "when the change was in the node's kernel, by the node's clock; absent: not yet",
    }),
  ),
  latencyMs: Type.Optional(
    Type.Number({ description: 'from the commit until the controller heard from the node', examples: [4.2] }),
  ),
  alive: Type.Optional(Type.Boolean({ description: 'false: the agent is dead; its last rules stay in force' })),
});

export const EnforcementView = Type.Object(
  {
    revision: Type.Integer({ description: 'revision of the write' }),
    enforced: Type.Boolean({ description: 'true: every affected node has the change in its kernel' }),
    nodes: Type.Array(NodeStatus, {
      description:
        'nodes that hold something of the tenant, gateways and manage nodes; empty: no node has anything to enforce yet',
    }),
    lagging: Type.Optional(Type.Array(Type.String(), { description: 'nodes that did not confirm in time' })),
  },
  { $id: 'Enforcement', description: 'present only with `wait=enforced`' },
);

/** A part of what a write answers. */
export const EnforcementField = Type.Optional(reference(EnforcementView));

export const DeletedView = Type.Object({ status: reference(EnforcementView) }, { $id: 'Deleted' });
