/**
 * /v1/nodes: which nodes there are, which are alive, and forgetting those that will not come back.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { deleteNode, getNode, listNodes } from '../../operations/nodes.ts';
import type { Registry } from '../../operations/registry.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, noContent, ReadHeaders, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { NodeParams, NodeView, viewNode } from '../schemas/node.ts';

const tags = ['nodes'];
const FORGETTING = [
  'Deletes its endpoints and frees the addresses of its blocks. Nothing else frees them. Make sure first that the machine is',
  'gone: containers keep running when their agent is dead.',
].join(' ');

export const nodeRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  app.get(
    '/v1/nodes',
    {
      schema: {
        operationId: 'listNodes',
        tags,
        summary: 'List nodes',
        querystring: PageQuery,
        response: { 200: listOf(NodeView, 'One page.'), ...problemResponses() },
      },
    },
    async (request) => formatPage(await listNodes(registry, pageOf(request.query, keys.nodes)), viewNode),
  );

  app.get(
    '/v1/nodes/:node',
    {
      schema: {
        operationId: 'getNode',
        tags,
        summary: 'Show a node',
        params: NodeParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', NodeView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const state = await getNode(registry, request.params.node);
      return sendObject(request, reply, state, viewNode(state));
    },
  );

  app.delete(
    '/v1/nodes/:node',
    {
      schema: {
        operationId: 'deleteNode',
        tags,
        summary: 'Delete a dead node',
        description: FORGETTING,
        params: NodeParams,
        querystring: NoQuery,
        headers: WriteHeaders,
        response: { 204: noContent('Deleted.'), ...problemResponses('not_found', 'conflict', 'precondition_failed') },
      },
    },
    async (request, reply) => {
      await deleteNode(registry, request.params.node, preconditionOf(request));
      return reply.code(204).send();
    },
  );
};
