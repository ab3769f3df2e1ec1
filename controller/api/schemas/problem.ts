/** What is wrong in the cluster, on the wire. (Failures of requests are problem documents: ../problems.ts.) Shapes only. Pure. */
import { Type } from '@fastify/type-provider-typebox';
import { PROBLEM_KINDS } from '../../model/problems.ts';
import type { PlacedProblem, ProblemList } from '../../operations/problems.ts';
import { reference } from './common.ts';

const KINDS = Object.entries(PROBLEM_KINDS).map(([kind, { meaning }]) => `\`${kind}\`: ${meaning}.`);

export const ProblemView = Type.Object(
  {
    kind: Type.String({ enum: Object.keys(PROBLEM_KINDS), description: KINDS.join(' ') }),
    about: Type.String({
      description: 'a key of the store, an object of the kernel, or what was being done',
      examples: ['link tnt42'],
    }),
    node: Type.Optional(Type.String({ description: 'the node that found it', examples: ['node1'] })),
    controller: Type.Optional(Type.String({ description: 'the controller that found it: the one that answers' })),
    tenant: Type.Optional(
      Type.String({ description: 'the tenant that it concerns, if it is one', examples: ['blue'] }),
    ),
    since: Type.String({ format: 'date-time', description: 'by the clock of the node or controller' }),
    text: Type.String({ description: 'the reason, for people; may change' }),
    remedy: Type.String({ description: 'what to do about it, for people; may change' }),
  },
  { $id: 'ClusterProblem' },
);

export const ProblemListView = Type.Object(
  {
    items: Type.Array(reference(ProblemView)),
    more: Type.Integer({ description: 'so many more there are' }),
    revision: Type.Integer({ description: "the store's revision that this shows" }),
  },
  { description: 'What is wrong now, the oldest first.' },
);

export const ProblemQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'the most items; 100 by default' })),
  },
  { additionalProperties: false },
);

export function viewProblemList({ items, more, revision }: ProblemList): {
  items: object[];
  more: number;
  revision: number;
} {
  return { items: items.map(viewProblem), more, revision };
}

export function viewProblem({ kind, about, node, controller, tenant, since, text }: PlacedProblem): object {
  const place = { ...(node && { node }), ...(controller && { controller }), ...(tenant && { tenant }) };
  return { kind, about, ...place, since, text, remedy: PROBLEM_KINDS[kind].remedy };
}
