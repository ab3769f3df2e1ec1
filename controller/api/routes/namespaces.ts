/**
 * /v1/tenants/{tenant}/namespaces: a tenant's namespaces and their labels.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { parseNamespace } from '../../model/namespace.ts';
import type { Namespace } from '../../model/records.ts';
import { deleteNamespace, getNamespace, putNamespace } from '../../operations/namespaces.ts';
import { listPage } from '../../operations/paging.ts';
import type { Registry } from '../../operations/registry.ts';
import { toStored } from '../../operations/stored.ts';
import { getTenant } from '../../operations/tenants.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import {
  answer,
  noContent,
  PutHeaders,
  ReadHeaders,
  TenantParams,
  UNCHANGED,
  WriteHeaders,
} from '../schemas/common.ts';
import { NamespaceBody, NamespaceParams, NamespaceView, viewNamespace } from '../schemas/namespace.ts';

const tags = ['namespaces'];
const PATH = '/v1/tenants/:tenant/namespaces/:namespace';

export const namespaceRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store } = registry;

  app.get(
    '/v1/tenants/:tenant/namespaces',
    {
      schema: {
        operationId: 'listNamespaces',
        tags,
        summary: 'List a tenant’s namespaces',
        params: TenantParams,
        querystring: PageQuery,
        response: { 200: listOf(NamespaceView, 'One page.'), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant } = request.params;
      const prefix = keys.namespaces(tenant);
      const page = pageOf(request.query, prefix);
      await getTenant(store, tenant);
      return formatPage(await listPage(store, prefix, page, (entry) => toStored<Namespace>(entry)), viewNamespace);
    },
  );

  app.get(
    PATH,
    {
      schema: {
        operationId: 'getNamespace',
        tags,
        summary: 'Find a namespace',
        params: NamespaceParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', NamespaceView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const stored = await getNamespace(store, request.params.tenant, request.params.namespace);
      return sendObject(request, reply, stored, viewNamespace(stored));
    },
  );

  app.put(
    PATH,
    {
      schema: {
        operationId: 'putNamespace',
        tags,
        summary: 'Make a namespace, or set its labels',
        description: 'Labels are replaced whole. A namespace belongs to one tenant at most, in the whole cluster.',
        params: NamespaceParams,
        querystring: NoQuery,
        headers: PutHeaders,
        body: NamespaceBody,
        response: {
          200: answer('It was there; it has these labels now.', NamespaceView),
          201: answer('Made.', NamespaceView),
          ...problemResponses(
            'not_found',
            'conflict',
            'quota_exceeded',
            'precondition_failed',
            'payload_too_large',
            'unsupported_media_type',
          ),
        },
      },
    },
    async (request, reply) => {
      const namespace = parseNamespace(request.params.tenant, request.params.namespace, request.body.labels);
      const stored = await putNamespace(registry, namespace, preconditionOf(request));
      return sendObject(request, reply, stored, viewNamespace(stored), stored.created ? 201 : 200);
    },
  );

  app.delete(
    PATH,
    {
      schema: {
        operationId: 'deleteNamespace',
        tags,
        summary: 'Delete a namespace that has no endpoint',
        description:
          'The one of the tenant’s own name stays as long as the tenant: containers without a namespace live there.',
        params: NamespaceParams,
        querystring: NoQuery,
        headers: WriteHeaders,
        response: { 204: noContent('Gone.'), ...problemResponses('not_found', 'conflict', 'precondition_failed') },
      },
    },
    async (request, reply) => {
      const { tenant, namespace } = request.params;
      await deleteNamespace(registry, tenant, namespace, preconditionOf(request));
      return reply.code(204).send();
    },
  );
};
