/**
 * Builds the REST application out of its plugins and never listens: main.ts does, tests inject. The shapes below are the contract
 * that tenetctl, the lab and the web UI rely on; the schemas beside the routes are the same in full (`/openapi.json`, `/docs`).
 *
 *   every request   Authorization: Bearer TOKEN (but /healthz, /readyz, /docs); X-Request-Id comes back
 *   every object    has `revision`; answers carry ETag: "<revision>"; If-Match, If-None-Match honoured where given
 *   every list      ?limit=1..1000 (100) &continue=TOKEN → {items: [...], continue?, revision}
 *   a write of all but nodes and the cluster   ?wait=enforced &timeout=10s → `status` besides; 202 when not every node had it in time;
 *                                              a deletion then answers 200 {status} instead of 204
 *   every failure   application/problem+json {type, title, status, detail, code, errors?: [{field, message}], holder?, requestId}
 *
 *   Tenant     {name, vni, subnets: [cidr], namespaces: [name], labels, quota: {endpoints?, policies?, subnets?},
 *               egress: {internet}, ingress: {gateways}, phase: active|deleting, createdAt, endpoints: count, revision}
 *   Namespace  {tenant, name, labels, revision}
 *   Peering    {tenant, peer, inForce: boolean, createdAt, revision}
 *   Policy     {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name, namespace, labels?, annotations?,
 *               creationTimestamp, resourceVersion}, spec, tenant, revision}
 *   Endpoint   {id, tenant, namespace, name, node, ips, mac, labels, ports: [{name, containerPort, protocol}],
 *               containerId, ifname, createdAt, revision}
 *   Node       {name, underlay, underlayMac, roles, version, live: boolean, endpoints: count, problems: [Problem],
 *               revision}
 *   Denial     {at, from, to, protocol, port?, direction: egress|ingress, reason: policy|flows, node, sequence},
 *              ends {ip, tenant?, namespace?, name?}
 *   Problem    {kind, about, node?, controller?, tenant?, since, text, remedy}
 *   status     {revision, enforced: boolean, nodes: [{node, enforcedAt?, latencyMs?, alive?: false}], lagging?: [name]}
 *   Cluster    {pools, systemSubnets, subnetPrefixLength: {v4, v6}, blockPrefixLength: {v4, v6}, platformNetworks, openNetworks,
 *               exceptions: [{name, address, protocol, port}], defaultTenant?, revision}
 *
 *   GET    /v1/cluster                              200 Cluster
 *   PATCH  /v1/cluster                              {platformNetworks?, openNetworks?, exceptions?, defaultTenant?: name|null}
 *                                                    → 200 Cluster
 *   GET    /v1/cluster/store                        200 {revision, history?: {id, begunAt, cause, by}, recovering, lastBackup?: {at,
 *                                                    revision, by}, members: [{endpoint, fileBytes, usedBytes, quotaBytes?}], alarms}
 *   GET    /v1/cluster/backup                       200 application/x-ndjson: all records that make the cluster, at one revision
 *   PUT    /v1/cluster/restore                      such a file, ?timeout=2m → 200 or (nodes lag) 202 {history, restored, removed,
 *                                                    notKept: [{kind, name, tenant?, node?, reason}], more, recovered, waitingFor}
 *   POST   /v1/tenants                              {name, namespaces?, subnetPrefixLength?, subnets?, labels?, quota?, egress?,
 *                                                    ingress?} → 201 Tenant, Location
 *   GET    /v1/tenants, /v1/tenants/{tenant}        200 list of Tenant, Tenant
 *   PATCH  /v1/tenants/{tenant}                     JSON merge patch of {labels, quota, egress, ingress} → 200 Tenant
 *   DELETE /v1/tenants/{tenant}                     204; 202 {tenant, phase, nodes: [name]} while nodes hold blocks; 409 with endpoints
 *   POST   /v1/tenants/{tenant}/subnets             {} or {prefixLength, family?: 4|6} or {cidr} → 201 Tenant
 *   GET    /v1/tenants/{tenant}/namespaces[/{ns}]   200 list of Namespace, Namespace
 *   PUT    /v1/tenants/{tenant}/namespaces/{ns}     {labels?} → 201 or 200 Namespace
 *   DELETE /v1/tenants/{tenant}/namespaces/{ns}     204; 409 while endpoints live in it, or for the one of the tenant's own name
 *   GET    /v1/tenants/{tenant}/peerings[/{peer}]   200 list of Peering, Peering
 *   PUT    /v1/tenants/{tenant}/peerings/{peer}     nothing or {} → 201 or 200 Peering
 *   DELETE /v1/tenants/{tenant}/peerings/{peer}     204
 *   GET    /v1/tenants/{tenant}/policies            200 list of Policy, of all namespaces
 *   GET    /v1/tenants/{tenant}/namespaces/{ns}/policies[/{policy}]   200 list of Policy, Policy
 *   PUT    /v1/tenants/{tenant}/namespaces/{ns}/policies/{policy}     Policy or its spec, JSON or YAML → 201 or 200 Policy
 *   DELETE /v1/tenants/{tenant}/namespaces/{ns}/policies/{policy}     204
 *                                                   either with ?dryRun=true → 200 {dryRun, flips: [...], truncated, revision}
 *   GET    /v1/tenants/{tenant}/endpoints           ?namespace= &node= → 200 list of Endpoint
 *   GET    /v1/tenants/{tenant}/endpoints/{id}      200 Endpoint
 *   PUT    /v1/tenants/{tenant}/endpoints/{id}/labels   {labels} → 200 Endpoint
 *   PUT    /v1/tenants/{tenant}/endpoints/{id}/ports    {ports: [{name, containerPort, protocol?}]} → 200 Endpoint
 *   POST   /v1/reachability                         {from, to, port?, protocol?}, ends {tenant, namespace, name} or {ip} → 200
 *                                                    {allowed, because: [...], from, to, protocol, port?, revision}
 *   GET    /v1/tenants/{tenant}/reachability        ?port= &protocol= → 200 {endpoints, rows: [{from, allowed: "1101"}], …}
 *   GET    /v1/tenants/{tenant}/denials             ?namespace= &direction= &since= &limit= → 200 {items: [Denial], revision};
 *                                                    ?follow=true or Accept: text/event-stream → events denial, skipped, gone
 *   GET    /v1/cluster/problems, /v1/tenants/{tenant}/problems   ?limit= → 200 {items: [Problem], more: count, revision}
 *   GET    /v1/nodes, /v1/nodes/{node}              200 list of Node, Node
 *   DELETE /v1/nodes/{node}                         204; 409 while its agent is alive
 *   GET    /healthz, /readyz, /metrics, /openapi.json, /docs
 */
import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from '../operations/registry.ts';
import { useAuthentication } from './authentication.ts';
import { useDocs } from './docs.ts';
import { sendError, useErrorHandler } from './error-handler.ts';
import type { Metrics } from './metrics.ts';
import { backupRoutes } from './routes/backup.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { denialRoutes } from './routes/denials.ts';
import { endpointRoutes } from './routes/endpoints.ts';
import { healthRoutes } from './routes/health.ts';
import { namespaceRoutes } from './routes/namespaces.ts';
import { nodeRoutes } from './routes/nodes.ts';
import { peeringRoutes } from './routes/peerings.ts';
import { policyRoutes } from './routes/policies.ts';
import { problemRoutes } from './routes/problems.ts';
import { reachabilityRoutes } from './routes/reachability.ts';
import { tenantRoutes } from './routes/tenants.ts';
import { useValidation } from './validation.ts';

export interface AppOptions {
  readonly registry: Registry;
  readonly metrics: Metrics;
  /** what every request must bear */
  readonly token: string;
  readonly version: string;
  readonly log: Logger;
}

const BODY_LIMIT = 256 * 1024;

/** The application, ready for inject() or for a server to route requests to. */
export async function buildApp({ registry, metrics, token, version, log }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    genReqId: () => randomUUID(),
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: sendError,
    schemaController: { compilersFactory: { buildSerializer: () => serializeAsIs } },
  });
  acceptJsonOnly(app);
  useValidation(app);
  useErrorHandler(app);
  useAccessLog(app);
  metrics.observe(app);
  useAuthentication(app, token);
  await useDocs(app, version);
  const routes = [
    clusterRoutes,
    tenantRoutes,
    namespaceRoutes,
    peeringRoutes,
    policyRoutes,
    endpointRoutes,
    nodeRoutes,
    reachabilityRoutes,
    denialRoutes,
    problemRoutes,
  ];
  for (const each of routes) await app.register(each, { registry });
  await app.register(backupRoutes, { registry, version });
  await app.register(healthRoutes, { registry, metrics });
  await app.ready();
  return app;
}

/**
 * Bodies go out as the routes make them: response schemas are for the document, and the tests hold every answer to them. A serializer
 * compiled out of each would take half a second of every start, and drop unknown fields in silence.
 */
function serializeAsIs(): (body: unknown) => string {
  return (body) => JSON.stringify(body);
}

/** Merge patches are JSON too; plain text, which fastify takes by itself, is not. */
function acceptJsonOnly(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('application/merge-patch+json', { parseAs: 'string' }, parseJson);
}

/** Writes and failures at info, reads and probes at debug. Headers are never logged. */
function useAccessLog(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url } = request;
    const isQuiet = (method === 'GET' || method === 'HEAD') && reply.statusCode < 400;
    const ms = Math.round(reply.elapsedTime * 100) / 100;
    request.log[isQuiet ? 'debug' : 'info'](
      { method, path: url.split('?')[0], status: reply.statusCode, ms },
      'request',
    );
  });
}
