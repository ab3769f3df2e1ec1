/**
 * /v1/reachability: whether one end may call another, and which rule decides. For a whole tenant: its matrix.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { computeMatrix, explainReachability } from '../../operations/reachability.ts';
import type { Registry } from '../../operations/registry.ts';
import { NoQuery } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, TenantParams } from '../schemas/common.ts';
import {
  endName,
  MatrixQuery,
  MatrixView,
  QuestionBody,
  trafficOf,
  VerdictView,
  viewMatrix,
} from '../schemas/reachability.ts';

const tags = ['reachability'];

export const reachabilityRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store } = registry;

  app.post(
    '/v1/reachability',
    {
      schema: {
        operationId: 'explainReachability',
        tags,
        summary: 'Tell whether one end may call another, and why',
        description: [
          'Computed from the stored objects, not measured. Names the rule, policy or default that decides at each end.',
          'Replies to allowed traffic always pass.',
        ].join(' '),
        querystring: NoQuery,
        body: QuestionBody,
        response: {
          200: answer('The verdict.', VerdictView),
          ...problemResponses('not_found', 'payload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async (request) => {
      const traffic = trafficOf(request.body);
      const ends = { from: endName(request.body.from, 'from'), to: endName(request.body.to, 'to') };
      const { allowed, because, from, to, revision } = await explainReachability(store, { ...ends, ...traffic });
      return { allowed, because, from, to, ...traffic, revision };
    },
  );

  app.get(
    '/v1/tenants/:tenant/reachability',
    {
      schema: {
        operationId: 'listReachability',
        tags,
        summary: 'Tell which endpoints of a tenant may call which',
        description: 'Covers every pair of the tenant’s endpoints, for one protocol and port.',
        params: TenantParams,
        querystring: MatrixQuery,
        response: { 200: answer('The matrix, or some of its rows.', MatrixView), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant } = request.params;
      const { limit = 1000, continue: token } = request.query;
      const traffic = trafficOf(request.query);
      const after = token === undefined ? {} : { after: Buffer.from(token, 'base64url').toString('utf8') };
      return viewMatrix(tenant, traffic, await computeMatrix(store, tenant, traffic, { limit, ...after }));
    },
  );
};
