/**
 * /v1/tenants/{tenant}/peerings: what a tenant asks of others, and whether it is in force.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { parsePeering } from '../../model/peering.ts';
import { deletePeering, getPeering, listPeerings, putPeering } from '../../operations/peerings.ts';
import type { Registry } from '../../operations/registry.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, PutHeaders, ReadHeaders, TenantParams, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { PeeringBody, PeeringParams, PeeringView, viewPeering } from '../schemas/peering.ts';
import { deletedResponses, lateResponse, sendDeleted, sendWritten, WaitQuery, waitOf } from '../waiting.ts';

const tags = ['peerings'];
const PATH = '/v1/tenants/:tenant/peerings/:peer';

export const peeringRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store, enforcement } = registry;

  app.get(
    '/v1/tenants/:tenant/peerings',
    {
      schema: {
        operationId: 'listPeerings',
        tags,
        summary: 'List the peerings that a tenant asks for',
        description: 'Ordered by peer. A peering that another tenant asks for is in the list of that tenant.',
        params: TenantParams,
        querystring: PageQuery,
        response: { 200: listOf(PeeringView, 'One page.'), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant } = request.params;
      return formatPage(
        await listPeerings(registry, tenant, pageOf(request.query, keys.peerings(tenant))),
        viewPeering,
      );
    },
  );

  app.get(
    PATH,
    {
      schema: {
        operationId: 'getPeering',
        tags,
        summary: 'Show a peering',
        params: PeeringParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', PeeringView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const state = await getPeering(store, request.params);
      return sendObject(request, reply, state, viewPeering(state));
    },
  );

  app.put(
    PATH,
    {
      schema: {
        operationId: 'putPeering',
        tags,
        summary: 'Ask for a peering with another tenant',
        description: 'In force, so that containers may talk, while both tenants ask. Asking again changes nothing.',
        params: PeeringParams,
        querystring: WaitQuery,
        headers: PutHeaders,
        body: PeeringBody,
        response: {
          200: answer('The tenant had asked already.', PeeringView),
          201: answer('The tenant asks now.', PeeringView),
          ...lateResponse(PeeringView),
          ...problemResponses(
            'not_found',
            'conflict',
            'precondition_failed',
            'payload_too_large',
            'unsupported_media_type',
          ),
        },
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      const pair = parsePeering(request.params.tenant, request.params.peer);
      const written = await putPeering(registry, pair, preconditionOf(request));
      return await sendWritten(request, reply, enforcement, wait, written, viewPeering(written));
    },
  );

  app.delete(
    PATH,
    {
      schema: {
        operationId: 'deletePeering',
        tags,
        summary: 'Delete a peering',
        description: 'Ends the peering at once, even if the other tenant still asks for it.',
        params: PeeringParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        response: {
          ...deletedResponses('Deleted.'),
          ...problemResponses('not_found', 'precondition_failed'),
        },
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      const change = await deletePeering(registry, request.params, preconditionOf(request));
      return await sendDeleted(reply, enforcement, wait, change);
    },
  );
};
