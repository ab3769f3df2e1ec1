/**
 * /v1/tenants/{tenant}/denials: which packets of a tenant were refused lately, and which are refused now.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import type { DenialFilter } from '../../model/denials.ts';
import { listDenials } from '../../operations/denials.ts';
import type { Registry } from '../../operations/registry.ts';
import { getTenant } from '../../operations/tenants.ts';
import { EventStream } from '../event-stream.ts';
import { problemResponses } from '../problems.ts';
import { TenantParams } from '../schemas/common.ts';
import { DenialAnswer, DenialQuery, denialFilter, viewDenial } from '../schemas/denial.ts';

const DESCRIPTION = [
  'A sample: of packets that are refused again and again nodes tell a few a second, and they keep the latest 20 of each tenant.',
  'Followed, it tells of each once, over outages of the store as well; the head of the answer says that it listens.',
  'Why something is refused, `POST /v1/reachability` says; how much is, `/metrics`.',
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
        summary: 'List refused packets, or follow them',
        description: DESCRIPTION,
        params: TenantParams,
        querystring: DenialQuery,
        response: { 200: DenialAnswer, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params;
      const filter = denialFilter(request.query);
      const isFollowed = request.query.follow ?? /\btext\/event-stream\b/.test(request.headers.accept ?? '');
      // A HEAD is answered as the list is: nobody reads what would follow.
      if (isFollowed && request.method === 'GET') return await sendStream(reply, registry, tenant, filter);
      const { items, revision } = await listDenials(registry, tenant, filter, request.query.limit ?? 100);
      return { items: items.map(viewDenial), revision };
    },
  );
};

/** @throws NotFound, Unavailable */
async function sendStream(
  reply: FastifyReply,
  { store, denials }: Registry,
  tenant: string,
  filter: DenialFilter,
): Promise<FastifyReply> {
  const leaving = new AbortController();
  reply.raw.once('close', () => leaving.abort());
  await getTenant(store, tenant);
  const subscription = await denials.subscribe(tenant, filter, leaving.signal);
  // The stream's end is its connection's: an application that is closing waits for connections.
  return reply
    .headers({ 'cache-control': 'no-store', connection: 'close', 'x-accel-buffering': 'no' })
    .type('text/event-stream; charset=utf-8')
    .send(new EventStream(subscription));
}
