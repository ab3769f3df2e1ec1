/**
 * /v1/tenants/{tenant}/endpoints: what runs in a tenant; agents write it, labels and named ports may be changed here.
 */
import type { FastifyPluginAsyncTypebox, Static } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { parseEndpointLabels, parseEndpointPorts } from '../../model/endpoint.ts';
import { changeEndpoint, type EndpointChange, getEndpoint, listEndpoints } from '../../operations/endpoints.ts';
import type { Registry } from '../../operations/registry.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { EndpointQuery, formatPage, listOf, NoQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, ReadHeaders, TenantParams, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { EndpointParams, EndpointView, LabelsBody, PortsBody, viewEndpoint } from '../schemas/endpoint.ts';
import { lateResponse, sendWritten, type Wait, WaitQuery, waitOf } from '../waiting.ts';

const tags = ['endpoints'];

export const endpointRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store, enforcement } = registry;

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
      return formatPage(await listEndpoints(registry, tenant, filter, page), viewEndpoint);
    },
  );

  app.get(
    '/v1/tenants/:tenant/endpoints/:id',
    {
      schema: {
        operationId: 'getEndpoint',
        tags,
        summary: 'Show an endpoint',
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

  const change = async (
    request: FastifyRequest,
    reply: FastifyReply,
    { tenant, id }: Static<typeof EndpointParams>,
    wanted: EndpointChange,
    wait: Wait | undefined,
  ): Promise<FastifyReply> => {
    const written = await changeEndpoint(store, tenant, id, wanted, preconditionOf(request));
    return await sendWritten(request, reply, enforcement, wait, written, viewEndpoint(written));
  };

  const responses = {
    200: answer('As it is now.', EndpointView),
    ...lateResponse(EndpointView),
    ...problemResponses('not_found', 'conflict', 'precondition_failed', 'payload_too_large', 'unsupported_media_type'),
  };

  app.put(
    '/v1/tenants/:tenant/endpoints/:id/labels',
    {
      schema: {
        operationId: 'putEndpointLabels',
        tags,
        summary: 'Set an endpoint’s labels',
        description: 'Replaces all labels. The answer and the ETag are those of the endpoint.',
        params: EndpointParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        body: LabelsBody,
        response: responses,
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      return await change(request, reply, request.params, { labels: parseEndpointLabels(request.body.labels) }, wait);
    },
  );

  app.put(
    '/v1/tenants/:tenant/endpoints/:id/ports',
    {
      schema: {
        operationId: 'putEndpointPorts',
        tags,
        summary: 'Set an endpoint’s named ports',
        description:
          'Replaces all named ports. Policies refer to ports by these names. The answer and the ETag are the endpoint’s.',
        params: EndpointParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        body: PortsBody,
        response: responses,
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      const ports = request.body.ports.map((port) => ({ ...port, protocol: port.protocol ?? 'TCP' }));
      return await change(request, reply, request.params, { ports: parseEndpointPorts(ports) }, wait);
    },
  );
};
