/**
 * /v1/cluster: the cluster's configuration; exceptions to its isolation are declared and shown here. /v1/cluster/store: its store.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { changeCluster, getCluster } from '../../operations/clusters.ts';
import type { Registry } from '../../operations/registry.ts';
import { readStoreFacts } from '../../operations/store-facts.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { NoQuery } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { ClusterPatchBody, ClusterView, viewCluster } from '../schemas/cluster.ts';
import { answer, ReadHeaders, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { StoreView, viewStore } from '../schemas/store.ts';

const tags = ['cluster'];

export const clusterRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  app.get(
    '/v1/cluster',
    {
      schema: {
        operationId: 'getCluster',
        tags,
        summary: 'Show the cluster’s configuration',
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', ClusterView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const stored = await getCluster(registry.store);
      return sendObject(request, reply, stored, viewCluster(stored));
    },
  );

  app.get(
    '/v1/cluster/store',
    {
      schema: {
        operationId: 'getStore',
        tags,
        summary: 'Show how the store is: its history, how full it is, and when the cluster was last backed up',
        querystring: NoQuery,
        response: { 200: answer('As it is now.', StoreView), ...problemResponses() },
      },
    },
    async () => viewStore(await readStoreFacts(registry)),
  );

  app.patch(
    '/v1/cluster',
    {
      schema: {
        operationId: 'changeCluster',
        tags,
        summary: 'Change platform networks, open networks, exceptions or the default tenant',
        description: 'Pools and prefix lengths are fixed when the cluster is created.',
        querystring: NoQuery,
        headers: WriteHeaders,
        consumes: ['application/merge-patch+json', 'application/json'],
        body: ClusterPatchBody,
        response: {
          200: answer('As it is now.', ClusterView),
          ...problemResponses('not_found', 'precondition_failed', 'payload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async (request, reply) => {
      const stored = await changeCluster(registry.store, request.body, preconditionOf(request));
      return sendObject(request, reply, stored, viewCluster(stored));
    },
  );
};
