/**
 * /healthz, /readyz, /metrics: what supervisors, load balancers and Prometheus ask.
 */
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Registry } from '../../operations/registry.ts';
import type { Metrics } from '../metrics.ts';
import { NoQuery } from '../pages.ts';
import { problemResponses } from '../problems.ts';

const tags = ['health'];
const Ok = Type.Object({ status: Type.String({ enum: ['ok'] }) }, { description: 'Yes.' });

export const healthRoutes: FastifyPluginAsyncTypebox<{ registry: Registry; metrics: Metrics }> = async (
  app,
  { registry, metrics },
) => {
  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'checkHealth',
        tags,
        security: [],
        summary: 'Does the process answer?',
        querystring: NoQuery,
        response: { 200: Ok, ...problemResponses() },
      },
    },
    async () => ({ status: 'ok' }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'checkReadiness',
        tags,
        security: [],
        summary: 'Can it serve requests now?',
        description:
          '503 while the store does not answer or takes no writes, and until the controller has read the cluster’s state.',
        querystring: NoQuery,
        response: { 200: Ok, ...problemResponses() },
      },
    },
    async () => {
      await registry.checkReady();
      return { status: 'ok' };
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'readMetrics',
        tags,
        summary: 'Prometheus metrics',
        querystring: NoQuery,
        produces: ['text/plain'],
        response: { 200: Type.String({ description: 'The Prometheus text format.' }), ...problemResponses() },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.format()),
  );
};
