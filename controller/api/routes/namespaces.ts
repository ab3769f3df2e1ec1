/**
 * /v1/tenants/{tenant}/namespaces: a tenant's namespaces and their labels.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { namespaces } from '../../model/kinds/namespace.ts';
import { parseNamespace } from '../../model/namespace.ts';
import { deleteNamespace, getNamespace, putNamespace } from '../../operations/namespaces.ts';
import { listPage } from '../../operations/paging.ts';
import type { Registry } from '../../operations/registry.ts';
import { getTenant } from '../../operations/tenants.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, PutHeaders, ReadHeaders, TenantParams, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { NamespaceBody, NamespaceParams, NamespaceView, viewNamespace } from '../schemas/namespace.ts';
import { deletedResponses, lateResponse, sendDeleted, sendWritten, WaitQuery, waitOf } from '../waiting.ts';

const tags = ['namespaces'];
const PATH = '/v1/tenants/:tenant/namespaces/:namespace';

export const namespaceRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store, enforcement } = registry;

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
      return formatPage(await listPage(registry, namespaces, prefix, page), viewNamespace);
    },
  );

  app.get(
    PATH,
    {
      schema: {
        operationId: 'getNamespace',
        tags,
        summary: 'Show a namespace',
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
        summary: 'Create a namespace, or set its labels',
        description: 'Replaces all labels. In the whole cluster, a namespace belongs to one tenant at most.',
        params: NamespaceParams,
        querystring: WaitQuery,
        headers: PutHeaders,
        body: NamespaceBody,
        response: {
          200: answer('The namespace existed; its labels are set.', NamespaceView),
          201: answer('Created.', NamespaceView),
          ...lateResponse(NamespaceView),
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
      const wait = waitOf(request.query, enforcement);
      const namespace = parseNamespace(request.params.tenant, request.params.namespace, request.body.labels);
      const written = await putNamespace(registry, namespace, preconditionOf(request));
      return await sendWritten(request, reply, enforcement, wait, written, viewNamespace(written));
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
          'Deletes its policies too. The namespace with the tenant’s name stays as long as the tenant: it holds containers without one.',
        params: NamespaceParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        response: {
          ...deletedResponses('Deleted.'),
          ...problemResponses('not_found', 'conflict', 'precondition_failed'),
        },
      },
    },
    async (request, reply) => {
      const { tenant, namespace } = request.params;
      const wait = waitOf(request.query, enforcement);
      const change = await deleteNamespace(registry, tenant, namespace, preconditionOf(request));
      return await sendDeleted(reply, enforcement, wait, change);
    },
  );
};
