/**
 * /v1/tenants/{tenant}/endpoints: what runs in a tenant; agents write it, labels may be changed here.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { parseEndpointLabels } from '../../model/endpoint.ts';
import { getEndpoint, listEndpoints, putEndpointLabels } from '../../operations/endpoints.ts';
import type { Registry } from '../../operations/registry.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { EndpointQuery, formatPage, listOf, NoQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, ReadHeaders, TenantParams, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { EndpointParams, EndpointView, LabelsBody, viewEndpoint } from '../schemas/endpoint.ts';

const tags = ['endpoints'];

export const endpointRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store } = registry;

  app.get(
    '/v1/tenants/:tenant/endpoints',
    {
      schema: {
        operationId: 'listEndpoints',
        tags,
        summary: 'List a tenant’s endpoints',
        params: TenantParams,
        querystring: EndpointQuery,
        response: { 200: listOf(EndpointView, 'One page, ordered by node and id.'), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant } = request.params;
      const { namespace, node } = request.query;
      const filter = { ...(namespace === undefined ? {} : { namespace }), ...(node === undefined ? {} : { node }) };
      const page = pageOf(request.query, keys.endpoints(tenant));
      return formatPage(await listEndpoints(store, tenant, filter, page), viewEndpoint);
    },
  );

  app.get(
    '/v1/tenants/:tenant/endpoints/:id',
    {
      schema: {
        operationId: 'getEndpoint',
        tags,
        summary: 'Find an endpoint',
        params: EndpointParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', EndpointView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const stored = await getEndpoint(store, request.params.tenant, request.params.id);
      return sendObject(request, reply, stored, viewEndpoint(stored));
    },
  );

  app.put(
    '/v1/tenants/:tenant/endpoints/:id/labels',
    {
      schema: {
        operationId: 'putEndpointLabels',
        tags,
        summary: 'Set an endpoint’s labels',
        description: 'Replaced whole. The ETag and the answer are the endpoint’s.',
        params: EndpointParams,
        querystring: NoQuery,
        headers: WriteHeaders,
        body: LabelsBody,
        response: {
          200: answer('As it is now.', EndpointView),
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
      const { tenant, id } = request.params;
      const labels = parseEndpointLabels(request.body.labels);
      const stored = await putEndpointLabels(store, tenant, id, labels, preconditionOf(request));
      return sendObject(request, reply, stored, viewEndpoint(stored));
    },
  );
};
