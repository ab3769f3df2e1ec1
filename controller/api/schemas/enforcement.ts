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
      description: "when the node's kernel had it, by its own clock; absent: not yet",
    }),
  ),
  latencyMs: Type.Optional(
    Type.Number({ description: 'from the commit until the controller learned of that', examples: [4.2] }),
  ),
  alive: Type.Optional(Type.Boolean({ description: 'false: its agent is dead; what it enforced last is in force' })),
});

export const EnforcementView = Type.Object(
  {
    revision: Type.Integer({ description: "the write's own" }),
    enforced: Type.Boolean({ description: 'every node concerned has it in its kernel' }),
    nodes: Type.Array(NodeStatus, {
      description:
        'those with something of the tenant, gateways and manage nodes; none: there is nothing to enforce yet',
    }),
    lagging: Type.Optional(Type.Array(Type.String(), { description: 'those that have not said so in time' })),
  },
  { $id: 'Enforcement', description: 'only where `wait=enforced` was asked for' },
);

/** A part of what a write answers. */
export const EnforcementField = Type.Optional(reference(EnforcementView));

export const DeletedView = Type.Object({ status: reference(EnforcementView) }, { $id: 'Deleted' });
