/**
 * /v1/tenants: making, finding, changing, growing and deleting tenants.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply } from 'fastify';
import type { EnforcementStatus } from '../../enforcement/enforcement.ts';
import { type Tenant, tenants } from '../../model/kinds/tenant.ts';
import { parseSubnet, parseTenant } from '../../model/tenant.ts';
import { createTenant } from '../../operations/create-tenant.ts';
import { awaitDeletion, type Deletion, deleteTenant, remainingMs } from '../../operations/delete-tenant.ts';
import { growTenant } from '../../operations/grow-tenant.ts';
import { listPage } from '../../operations/paging.ts';
import type { Registry } from '../../operations/registry.ts';
import type { Stored } from '../../operations/stored.ts';
import { changeTenant, getTenant } from '../../operations/tenants.ts';
import { keys } from '../../store/keys.ts';
import { preconditionOf, sendObject } from '../conditions.ts';
import { formatPage, listOf, NoQuery, PageQuery, pageOf } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { answer, ReadHeaders, TenantParams, UNCHANGED, WriteHeaders } from '../schemas/common.ts';
import { DeletingView, SubnetBody, TenantBody, TenantPatchBody, TenantView, viewTenant } from '../schemas/tenant.ts';
import { deletedResponses, lateResponse, sendWritten, WaitQuery, waitOf } from '../waiting.ts';

const tags = ['tenants'];

export const tenantRoutes: FastifyPluginAsyncTypebox<{ registry: Registry }> = async (app, { registry }) => {
  const { store, census, enforcement } = registry;
  const view = (stored: Stored<Tenant>) => viewTenant(stored, census.ofTenant(stored.record.name));

  app.post(
    '/v1/tenants',
    {
      schema: {
        operationId: 'createTenant',
        tags,
        summary: 'Create a tenant',
        description: 'Allocates a VNI, subnets from the pool and namespaces: all of them or none.',
        querystring: WaitQuery,
        body: TenantBody,
        response: {
          201: answer('Created. `Location` holds its path.', TenantView),
          ...lateResponse(TenantView),
          ...problemResponses('conflict', 'exhausted', 'quota_exceeded', 'payload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async (request, reply) => {
      const wait = waitOf(request.query, enforcement);
      const written = await createTenant(registry, parseTenant(request.body, registry.cluster()));
      reply.header('location', `/v1/tenants/${written.record.name}`);
      return await sendWritten(request, reply, enforcement, wait, written, viewTenant(written, 0));
    },
  );

  app.get(
    '/v1/tenants',
    {
      schema: {
        operationId: 'listTenants',
        tags,
        summary: 'List tenants',
        description: 'Ordered by name. The list includes the platform’s own tenant, `system`.',
        querystring: PageQuery,
        response: { 200: listOf(TenantView, 'One page.'), ...problemResponses() },
      },
    },
    async (request) => {
      const page = pageOf(request.query, keys.tenants);
      return formatPage(await listPage(registry, tenants, keys.tenants, page), view);
    },
  );

  app.get(
    '/v1/tenants/:tenant',
    {
      schema: {
        operationId: 'getTenant',
        tags,
        summary: 'Show a tenant',
        params: TenantParams,
        querystring: NoQuery,
        headers: ReadHeaders,
        response: { 200: answer('As it is now.', TenantView), ...UNCHANGED, ...problemResponses('not_found') },
      },
    },
    async (request, reply) => {
      const stored = await getTenant(store, request.params.tenant);
      return sendObject(request, reply, stored, view(stored));
    },
  );

  app.patch(
    '/v1/tenants/:tenant',
    {
      schema: {
        operationId: 'changeTenant',
        tags,
        summary: 'Change labels, quota, egress or ingress',
        description: 'The name and the VNI never change. Subnets and namespaces have paths of their own.',
        params: TenantParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        consumes: ['application/merge-patch+json', 'application/json'],
        body: TenantPatchBody,
        response: {
          200: answer('As it is now.', TenantView),
          ...lateResponse(TenantView),
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
      const wait = waitOf(request.query, enforcement);
      const written = await changeTenant(registry, request.params.tenant, request.body, preconditionOf(request));
      return await sendWritten(request, reply, enforcement, wait, written, view(written));
    },
  );

  app.delete(
    '/v1/tenants/:tenant',
    {
      schema: {
        operationId: 'deleteTenant',
        tags,
        summary: 'Delete a tenant that has no endpoint',
        description:
          'Nodes first return the tenant’s blocks. The request waits 5 s for that, or as long as `timeout`. After a 202 the ' +
          'controller continues by itself: repeat the request until it answers 404.',
        params: TenantParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        response: {
          ...deletedResponses('Deleted, with its claims and peerings.'),
          202: answer('Deletion continues: `nodes` still hold blocks of the tenant.', DeletingView),
          ...problemResponses('not_found', 'conflict', 'precondition_failed'),
        },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params;
      const wait = waitOf(request.query, enforcement);
      const startedMs = performance.now();
      const deletion = await deleteTenant(registry, tenant, preconditionOf(request), wait?.timeoutMs);
      const status = wait && (await awaitDeletion(registry, tenant, deletion, remainingMs(wait.timeoutMs, startedMs)));
      return sendDeletion(reply, tenant, deletion, status);
    },
  );

  app.post(
    '/v1/tenants/:tenant/subnets',
    {
      schema: {
        operationId: 'growTenant',
        tags,
        summary: 'Give a tenant another subnet',
        description: 'The tenant’s traffic continues meanwhile.',
        params: TenantParams,
        querystring: WaitQuery,
        headers: WriteHeaders,
        body: SubnetBody,
        response: {
          201: answer('The tenant with its new subnet, the last of `subnets`.', TenantView),
          ...lateResponse(TenantView),
          ...problemResponses(
            'not_found',
            'conflict',
            'exhausted',
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
      const wish = parseSubnet(request.body, registry.cluster());
      const written = await growTenant(registry, request.params.tenant, wish, preconditionOf(request));
      reply.header('location', `/v1/tenants/${written.record.name}`);
      return await sendWritten(request, reply, enforcement, wait, written, view(written), 201);
    },
  );
};

/** 204, or 200 with the status of one that waited; 202 while nodes hold something of it, or lag. */
function sendDeletion(
  reply: FastifyReply,
  tenant: string,
  { remaining }: Deletion,
  status: EnforcementStatus | undefined,
): FastifyReply {
  const isGone = remaining.length === 0;
  if (status?.enforced) return reply.code(200).send({ status });
  if (isGone && status === undefined) return reply.code(204).send();
  const phase = isGone ? 'deleted' : 'deleting';
  return reply.code(202).send({ tenant, phase, nodes: remaining, ...(status && { status }) });
}
