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
    namespace: Type.Optional(Type.String({ maxLength: 63, description: 'only if either end is in this namespace' })),
    direction: Type.Optional(
      Type.Unsafe<'egress' | 'ingress'>({
        type: 'string',
        enum: ['egress', 'ingress'],
        description: 'only packets denied where they were sent, or only where they arrived',
      }),
    ),
    since: Type.Optional(
      Type.String({
        maxLength: 40,
        description: 'only denials since this time; a stream then begins with the known ones',
        examples: ['2026-11-24T12:00:00Z'],
      }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'the most items of a list; 100 by default' }),
    ),
    follow: Type.Optional(
      Type.Boolean({ description: '`true`: stream server-sent events, as with `Accept: text/event-stream`' }),
    ),
  },
  { additionalProperties: false },
);

/** What a browser's EventSource sends by itself when it connects again. */
export const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'id of the last event taken: the stream goes on behind it', examples: ['node1/17'] }),
  ),
});

const End = Type.Object(
  {
    ip: Type.String({ examples: ['10.128.4.17'] }),
    tenant: Type.Optional(Type.String({ examples: ['blue'] })),
    namespace: Type.Optional(Type.String({ examples: ['web'] })),
    name: Type.Optional(Type.String({ examples: ['shop'] })),
  },
  {
    description: 'only the address, if the node does not know its owner or the tenant may not know it',
  },
);

export const DenialView = Type.Object(
  {
    at: Type.String({ format: 'date-time', description: "by the node's clock" }),
    from: End,
    to: End,
    protocol: Type.String({ description: 'TCP, UDP, SCTP, ICMP or the number of an IP protocol', examples: ['TCP'] }),
    port: Type.Optional(Type.Integer({ description: 'destination port, if the protocol has ports' })),
    direction: Type.String({
      enum: ['egress', 'ingress'],
      description: '`egress`: denied where the packet was sent; `ingress`: denied where it arrived',
    }),
    reason: Type.String({
      enum: ['policy', 'flows'],
      description: '`policy`: no rule allows it; `flows`: the pod or its tenant has too many flows on its node',
    }),
    count: Type.Integer({ description: 'like packets that were seen together; of a flood only some are seen' }),
    node: Type.String({ description: 'the node that denied it', examples: ['node1'] }),
    sequence: Type.Integer({ description: 'counts the tenant’s denials on this node; starts again with the agent' }),
  },
  { $id: 'Denial' },
);

const DenialListView = Type.Object({
  items: Type.Array(reference(DenialView)),
  revision: Type.Integer({ description: "the store's revision that this shows" }),
});

const STREAM = [
  'Server-sent events. `denial` (data a Denial; id `NODE/SEQUENCE` of it, then of other nodes): a denied packet. `skipped` (data',
  '`{count}`): so many denials were left out, because they were too many or the reader was too slow. `gone`: the tenant is deleted; the',
  'last event. A comment comes every 15 seconds.',
].join(' ');

/** 200 of the list and of the stream, for the document. */
export const DenialAnswer = {
  description: 'The latest denials of all nodes, newest first; or a stream of new ones.',
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
  reason,
  count = 1,
  node,
  sequence,
}: NumberedDenial): object {
  const ends = { from: viewEnd(from), to: viewEnd(to) };
  return {
    at,
    ...ends,
    protocol,
    ...(port === undefined ? {} : { port }),
    direction,
    reason: reason ?? 'policy',
    count,
    node,
    sequence,
  };
}

function viewEnd({ ip, tenant, namespace, name }: DenialEnd): object {
  return { ip, ...(tenant && { tenant }), ...(namespace && { namespace }), ...(name && { name }) };
}
