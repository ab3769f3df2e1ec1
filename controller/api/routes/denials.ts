/**
 * /v1/tenants/{tenant}/denials: the packets of a tenant that were denied recently, and those that are denied now.
 */
import type { FastifyPluginAsyncTypebox, Static } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import { InvalidInput } from '../../errors.ts';
import { type DenialFilter, type Position, parsePosition } from '../../model/denials.ts';
import { listDenials } from '../../operations/denials.ts';
import type { Registry } from '../../operations/registry.ts';
import { getTenant } from '../../operations/tenants.ts';
import { EventStream } from '../event-stream.ts';
import { problemResponses } from '../problems.ts';
import { TenantParams } from '../schemas/common.ts';
import { DenialAnswer, DenialQuery, denialFilter, StreamHeaders, viewDenial } from '../schemas/denial.ts';

const DESCRIPTION = [
  'A sample. A node reports a few denied packets a second and keeps the latest 20 of each tenant. A stream reports each denial',
  'once, also across outages of the store; it has begun when the head of the answer arrives. `POST /v1/reachability` tells why a',
  'packet is denied, `/metrics` how many are.',
].join(' ');

export const denialRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  // Streams end by themselves never: they must not hold up the application's end.
  app.addHook('preClose', () => registry.denials.close());

  app.get(
    '/v1/tenants/:tenant/denials',
    {
      schema: {
        operationId: 'listDenials',
        tags: ['denials'],
        summary: 'List denied packets, or stream new ones',
        description: DESCRIPTION,
        params: TenantParams,
        querystring: DenialQuery,
        headers: StreamHeaders,
        response: { 200: DenialAnswer, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params;
      const filter = denialFilter(request.query);
      const isFollowed = request.query.follow ?? /\btext\/event-stream\b/.test(request.headers.accept ?? '');
      // A HEAD is answered as the list is: no caller reads a stream's body there.
      if (isFollowed && request.method === 'GET')
        return await sendStream(reply, registry, tenant, filter, lastEventId(request.headers));
      const { items, revision } = await listDenials(registry, tenant, filter, request.query.limit ?? 100);
      return { items: items.map(viewDenial), revision };
    },
  );
};

/** @throws InvalidInput for one that no stream gave */
function lastEventId(headers: Static<typeof StreamHeaders>): Position | undefined {
  const id = headers['last-event-id'];
  if (id === undefined || id === '') return undefined;
  const position = parsePosition(id);
  if (position === undefined) throw new InvalidInput('Last-Event-ID', 'is not the id of an event of this stream');
  return position;
}

/** @throws NotFound, Unavailable */
async function sendStream(
  reply: FastifyReply,
  { store, denials }: Registry,
  tenant: string,
  filter: DenialFilter,
  after: Position | undefined,
): Promise<FastifyReply> {
  const leaving = new AbortController();
  reply.raw.once('close', () => leaving.abort());
  await getTenant(store, tenant);
  const subscription = await denials.subscribe(tenant, filter, leaving.signal, after);
  // The stream's end is its connection's: an application that is closing waits for connections.
  return reply
    .headers({ 'cache-control': 'no-store', connection: 'close', 'x-accel-buffering': 'no' })
    .type('text/event-stream; charset=utf-8')
    .send(new EventStream(subscription));
}
