/**
 * Refused packets on the wire: as JSON, and what may be asked of them. Shapes only. Pure.
 */
import { type Static, Type } from '@fastify/type-provider-typebox';
import { InvalidInput } from '../../errors.ts';
import type { DenialFilter, NumberedDenial } from '../../model/denials.ts';
import type { DenialEnd } from '../../model/records.ts';
import { reference } from './common.ts';

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

export const DenialQuery = Type.Object(
  {
    namespace: Type.Optional(Type.String({ maxLength: 63, description: 'only where either end is in this namespace' })),
    direction: Type.Optional(
      Type.Unsafe<'egress' | 'ingress'>({
        type: 'string',
        enum: ['egress', 'ingress'],
        description: 'only what was refused where it was sent, or only where it arrived',
      }),
    ),
    since: Type.Optional(
      Type.String({
        maxLength: 40,
        description: 'only from this time on; a stream then begins with those that are known already',
        examples: ['2026-11-24T12:00:00Z'],
      }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'of a list: so many at most, 100 unless given' }),
    ),
    follow: Type.Optional(
      Type.Boolean({ description: '`true`: server-sent events, as with `Accept: text/event-stream`' }),
    ),
  },
  { additionalProperties: false },
);

const End = Type.Object(
  {
    ip: Type.String({ examples: ['10.128.4.17'] }),
    tenant: Type.Optional(Type.String({ examples: ['blue'] })),
    namespace: Type.Optional(Type.String({ examples: ['web'] })),
    name: Type.Optional(Type.String({ examples: ['shop'] })),
  },
  {
    description:
      'the address alone where the node does not know whose it is, or where that is no business of the tenant',
  },
);

export const DenialView = Type.Object(
  {
    at: Type.String({ format: 'date-time', description: "by the node's clock" }),
    from: End,
    to: End,
    protocol: Type.String({ description: 'TCP, UDP, SCTP, ICMP or the number of an IP protocol', examples: ['TCP'] }),
    port: Type.Optional(Type.Integer({ description: 'of the destination, where the protocol has ports' })),
    direction: Type.String({
      enum: ['egress', 'ingress'],
      description: '`egress`: refused where it was sent; `ingress`: where it arrived',
    }),
    count: Type.Integer({ description: 'packets alike that were seen together: of a flood only some are' }),
    node: Type.String({ description: 'which refused it', examples: ['node1'] }),
    sequence: Type.Integer({ description: 'of the tenant’s on this node; begins again with the node’s agent' }),
  },
  { $id: 'Denial' },
);

const DenialListView = Type.Object({
  items: Type.Array(reference(DenialView)),
  revision: Type.Integer({ description: "the store's revision that this shows" }),
});

const STREAM = [
  'Server-sent events: `denial` (id `NODE/SEQUENCE`, data a Denial) for each packet told of; `skipped` (data `{count}`) where so',
  'many more are not told, for they were too many or the reader too slow; `gone` when the tenant is deleted, the last one. A comment',
  'every 15 seconds.',
].join(' ');

/** 200 of the list and of the stream, for the document. */
export const DenialAnswer = {
  description: 'The latest of all nodes, newest first; or whatever is refused from now on.',
  content: {
    'application/json': { schema: DenialListView },
    'text/event-stream': { schema: Type.String({ description: STREAM }) },
  },
} as unknown as ReturnType<typeof Type.Object>;

/** @throws InvalidInput */
export function denialFilter({ namespace, direction, since }: Static<typeof DenialQuery>): DenialFilter {
  const sinceMs = since !== undefined && RFC_3339.test(since) ? Date.parse(since) : undefined;
  if (since !== undefined && (sinceMs === undefined || Number.isNaN(sinceMs)))
    throw new InvalidInput('since', 'must be a time such as 2026-11-24T12:00:00Z');
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(direction === undefined ? {} : { direction }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
  };
}

export function viewDenial({
  at,
  from,
  to,
  protocol,
  port,
  direction,
  count = 1,
  node,
  sequence,
}: NumberedDenial): object {
  const ends = { from: viewEnd(from), to: viewEnd(to) };
  return { at, ...ends, protocol, ...(port === undefined ? {} : { port }), direction, count, node, sequence };
}

function viewEnd({ ip, tenant, namespace, name }: DenialEnd): object {
  return { ip, ...(tenant && { tenant }), ...(namespace && { namespace }), ...(name && { name }) };
}
