/**
 * /v1/tenants/{tenant}/namespaces/{namespace}/policies: Kubernetes' NetworkPolicy, as JSON or YAML.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type PolicyName, parsePolicy } from '../../model/policy.ts';
import { deletePolicy, getPolicy, listPolicies, policiesPrefix, putPolicy } from '../../operations/policies.ts';
import { previewPolicy } from '../../operations/reachability.ts';
import type { Registry } from '../../operations/registry.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import {
  answer,
  answerOneOf,
  PutHeaders,
  ReadHeaders,
  TenantParams,
  UNCHANGED,
  WriteHeaders,
} from '../schemas/common.ts';
import { DeletedView } from '../schemas/enforcement.ts';
import { NamespaceParams } from '../schemas/namespace.ts';
import { PolicyBody, PolicyParams, PolicyView, viewPolicy } from '../schemas/policy.ts';
import { PreviewView, viewPreview } from '../schemas/reachability.ts';
import { bodyIsJudgedLater } from '../validation.ts';
import { DryRunQuery, deletedResponses, isDryRun, lateResponse, sendDeleted, sendWritten, waitOf } from '../waiting.ts';
import { acceptYaml, YAML_TYPES } from '../yaml-body.ts';

const tags = ['policies'];
const LIST = '/v1/tenants/:tenant/namespaces/:namespace/policies';
const PATH = `${LIST}/:policy`;

export const policyRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store, enforcement } = registry;
  acceptYaml(app);

  app.get(
    '/v1/tenants/:tenant/policies',
    {
      schema: {
        operationId: 'listTenantPolicies',
        tags,
        summary: 'List the policies of all of a tenant’s namespaces',
        params: TenantParams,
        querystring: PageQuery,
        response: { 200: listOf(PolicyView, 'One page.'), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant } = request.params;
      const page = pageOf(request.query, policiesPrefix(tenant, undefined));
      return formatPage(await listPolicies(registry, tenant, undefined, page), viewPolicy);
    },
  );

  app.get(
    LIST,
    {
      schema: {
        operationId: 'listPolicies',
        tags,
        summary: 'List a namespace’s policies',
        params: NamespaceParams,
        querystring: PageQuery,
        response: { 200: listOf(PolicyView, 'One page.'), ...problemResponses('not_found') },
      },
    },
    async (request) => {
      const { tenant, namespace } = request.params;
      const page = pageOf(request.query, policiesPrefix(tenant, namespace));
      return formatPage(await listPolicies(registry, tenant, namespace, page), viewPolicy);
    },
  );

  app.get(
    PATH,
    {
      schema: {
        operationId: 'getPolicy',
        tags,
        summary: 'Show a policy',
        params: PolicyParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', PolicyView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const stored = await getPolicy(store, nameOf(request.params));
      return sendObject(request, reply, stored, viewPolicy(stored));
    },
  );

  app.put(
    PATH,
    {
      validatorCompiler: bodyIsJudgedLater,
      schema: {
        operationId: 'putPolicy',
        tags,
        summary: 'Create or replace a policy',
        description:
          'A Kubernetes NetworkPolicy, or only its `spec`, checked as Kubernetes checks it. A policy restricts the traffic of ' +
          'its tenant’s endpoints. It never allows traffic between tenants that do not peer.',
        consumes: ['application/json', ...YAML_TYPES],
        params: PolicyParams,
        querystring: DryRunQuery,
        headers: PutHeaders,
        body: PolicyBody,
        response: {
          200: answerOneOf(
            'Replaced. With `dryRun=true`: the traffic that would be opened or closed.',
            PreviewView,
            PolicyView,
          ),
          201: answer('Created.', PolicyView),
          ...lateResponse(PolicyView),
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
      const at = nameOf(request.params);
      const contents = parsePolicy(at.tenant, at.namespace, at.name, request.body);
      if (isDryRun(request.query)) {
        const policy = { ...at, ...contents, createdAt: registry.now().toISOString() };
        return viewPreview(await previewPolicy(registry, { kind: 'put', policy }, preconditionOf(request)));
      }
      const written = await putPolicy(registry, at, contents, preconditionOf(request));
      return await sendWritten(request, reply, enforcement, wait, written, viewPolicy(written));
    },
  );

  app.delete(
    PATH,
    {
      schema: {
        operationId: 'deletePolicy',
        tags,
        summary: 'Delete a policy',
        description: 'Traffic that only this policy restricted is allowed again.',
        params: PolicyParams,
        querystring: DryRunQuery,
        headers: WriteHeaders,
        response: {
          ...deletedResponses('Deleted.'),
          200: answerOneOf(
            'With `wait=enforced`: deleted on every affected node. With `dryRun=true`: the traffic that would be opened or closed.',
            PreviewView,
            DeletedView,
          ),
          ...problemResponses('not_found', 'precondition_failed'),
        },
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      const at = nameOf(request.params);
      if (isDryRun(request.query))
        return viewPreview(await previewPolicy(registry, { kind: 'delete', policy: at }, preconditionOf(request)));
      return await sendDeleted(reply, enforcement, wait, await deletePolicy(registry, at, preconditionOf(request)));
    },
  );
};

function nameOf({ tenant, namespace, policy }: Omit<PolicyName, 'name'> & { readonly policy: string }): PolicyName {
  return { tenant, namespace, name: policy };
}
