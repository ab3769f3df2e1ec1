/**
 * The API's description, made from the routes' own schemas: /openapi.json for programs, /docs for people. The page and the
 * description that it loads are open to all. A call tried on the page is not: the page asks for the token and sends it along.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { NoQuery } from './pages.ts';
import { PROBLEMS, Problem, problemResponses } from './problems.ts';
import { RestoredView } from './schemas/backup.ts';
import { ClusterView } from './schemas/cluster.ts';
import { DenialView } from './schemas/denial.ts';
import { EndpointView } from './schemas/endpoint.ts';
import { DeletedView, EnforcementView } from './schemas/enforcement.ts';
import { NamespaceView } from './schemas/namespace.ts';
import { NodeView } from './schemas/node.ts';
import { PeeringView } from './schemas/peering.ts';
import { POLICY_SCHEMAS } from './schemas/policy.ts';
import { ProblemView } from './schemas/problem.ts';
import { REACHABILITY_SCHEMAS } from './schemas/reachability.ts';
import { StoreView } from './schemas/store.ts';
import { DeletingView, TenantView } from './schemas/tenant.ts';

/** Those that routes refer to by name. */
const NAMED_SCHEMAS = [
  Problem,
  EnforcementView,
  TenantView,
  DeletingView,
  DeletedView,
  NamespaceView,
  PeeringView,
  ...POLICY_SCHEMAS,
  EndpointView,
  NodeView,
  ClusterView,
  StoreView,
  RestoredView,
  ...REACHABILITY_SCHEMAS,
  DenialView,
  ProblemView,
];

/**
 * Runs in the browser, before the page loads anything. Asks for the token at the first call that is tried, unless the page's own form has
 * it; keeps it for the tab.
 */
const ASK_FOR_TOKEN = `
const fetchPlain = window.fetch.bind(window);
window.fetch = async (input, init) => {
  const request = new Request(input, init);
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin || pathname.startsWith('/docs/') || request.headers.has('authorization')) return fetchPlain(request);
  const saved = sessionStorage.getItem('tenet-token') ?? prompt('Bearer token (the controller logs where its file is)');
  if (saved) request.headers.set('authorization', 'Bearer ' + saved.trim());
  const response = await fetchPlain(request);
  if (response.status === 401) sessionStorage.removeItem('tenet-token');
  else if (saved) sessionStorage.setItem('tenet-token', saved.trim());
  return response;
};
`;

function describe(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, meaning }]) => `| \`${code}\` | ${status} | ${meaning} |`,
  );
  return [
    'Tenants of a container platform and their networks. Every object has a `revision`. Its `ETag` is the same number in quotes;',
    '`If-Match` and `If-None-Match` are supported. Every write except to nodes and the cluster takes `?wait=enforced&timeout=10s`:',
    'the answer comes when every affected node has the change in its kernel, or as 202 with the nodes that lag. Unknown fields and',
    'parameters are rejected. Errors are RFC 9457 problem documents; match on their `code`:',
    '',
    '| code | status | meaning |',
    '|---|---|---|',
    ...rows,
  ].join('\n');
}

export async function useDocs(app: FastifyInstance, version: string): Promise<void> {
  for (const schema of NAMED_SCHEMAS) app.addSchema(schema);
  await app.register(swagger, {
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `schema-${index}`) },
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tenet',
        version,
        description: describe(),
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'tenants', description: 'Units of isolation: a VNI, subnets, namespaces, quotas' },
        { name: 'namespaces', description: 'Groups inside one tenant' },
        { name: 'peerings', description: 'Permission for two tenants to talk: in force while both ask for it' },
        { name: 'policies', description: 'Kubernetes NetworkPolicy: the traffic that endpoints may send and receive' },
        { name: 'reachability', description: 'Whether one end may call another, and which rule decides' },
        { name: 'denials', description: 'Denied packets' },
        { name: 'endpoints', description: 'Network interfaces of containers' },
        { name: 'nodes', description: 'Machines that run an agent' },
        { name: 'cluster', description: 'Settings for all tenants' },
        { name: 'problems', description: 'What is wrong and does not mend itself' },
        { name: 'health', description: 'For supervisors and monitoring' },
      ],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { docExpansion: 'list', persistAuthorization: false },
    theme: {
      title: 'Tenet: REST API',
      js: [{ filename: 'token.js', content: ASK_FOR_TOKEN }],
      // It has a maker's sign that is not Tenet's, and a field that loads descriptions from elsewhere.
      css: [{ filename: 'page.css', content: '.swagger-ui .topbar { display: none }' }],
    },
  });
  app.get(
    '/openapi.json',
    {
      schema: {
        operationId: 'readOpenApi',
        tags: ['health'],
        summary: 'This description',
        querystring: NoQuery,
        response: {
          200: { description: 'OpenAPI 3.1', type: 'object', additionalProperties: true },
          ...problemResponses(),
        },
      },
    },
    async () => app.swagger(),
  );
}
