/**
 * /v1/cluster/problems, /v1/tenants/{tenant}/problems: what is wrong now, where, and since when.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { listProblems } from '../../operations/problems.ts';
import type { Registry } from '../../operations/registry.ts';
import { problemResponses } from '../problems.ts';
import { TenantParams } from '../schemas/common.ts';
import { ProblemListView, ProblemQuery, viewProblemList } from '../schemas/problem.ts';

const tags = ['problems'];
const DESCRIPTION = [
  'What does not mend itself: records that cannot be read, objects that a kernel refuses, changes that do not arrive. A problem goes',
  'when it is over. Nodes tell theirs through the store; of the controllers the one that answers tells its own.',
].join(' ');

export const problemRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  app.get(
    '/v1/cluster/problems',
    {
      schema: {
        operationId: 'listProblems',
        tags,
        summary: 'List what is wrong in the cluster',
        description: DESCRIPTION,
        querystring: ProblemQuery,
        response: { 200: ProblemListView, ...problemResponses() },
      },
    },
    async ({ query }) => viewProblemList(await listProblems(registry, query.limit ?? 100)),
  );

  app.get(
    '/v1/tenants/:tenant/problems',
    {
      schema: {
        operationId: 'listTenantProblems',
        tags,
        summary: 'List what is wrong with one tenant',
        description: DESCRIPTION,
        params: TenantParams,
        querystring: ProblemQuery,
        response: { 200: ProblemListView, ...problemResponses('not_found') },
      },
    },
    async ({ params, query }) => viewProblemList(await listProblems(registry, query.limit ?? 100, params.tenant)),
  );
};
