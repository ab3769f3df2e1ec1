/** What holds for every request: who may ask, how failures look, what is documented, what is measured. */
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { PROBLEMS } from '../../../controller/api/problems.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { type Body, startApp, TOKEN, until } from './fixture.ts';

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: string[];
  readonly security?: unknown[];
  readonly responses: Readonly<Record<string, { readonly description?: string }>>;
}

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

describe('only with the token', () => {
  test.each([
    ['GET', '/v1/tenants'],
    ['POST', '/v1/tenants'],
    ['DELETE', '/v1/nodes/node1'],
    ['GET', '/metrics'],
    ['GET', '/openapi.json'],
    ['GET', '/docs/json/'],
    ['GET', '/docs/json/x'],
    ['GET', '/docs/nothing'],
    ['GET', '/docsjson'],
    ['GET', '/nothing'],
    ['GET', '//healthz'],
    ['GET', '/docs/../v1/tenants'],
    ['GET', '/docs/json/../../v1/tenants'],
    ['GET', '/docs/static/../../v1/tenants'],
    ['GET', '/docs/static/%2e%2e/%2e%2e/v1/tenants'],
  ])('%s %s', async (method, url) => {
    const { call } = await startApp();
    for (const authorization of [
      '',
      'Bearer',
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      `Basic ${TOKEN}`,
      TOKEN,
    ]) {
      const answer = await call(method, url, undefined, { authorization });
      if (url.startsWith('/docs/static')) expect([401, 404]).toContain(answer.status);
      else
        expect(answer).toMatchObject({
          status: 401,
          headers: { 'www-authenticate': expect.stringContaining('Bearer') },
          body: { code: 'unauthorized' },
        });
      expect(JSON.stringify(answer.body)).not.toContain(TOKEN.slice(1));
    }
  });

  test.each([
    '/healthz',
    '/readyz',
    '/docs',
    '/docs/',
    '/docs/json',
    '/docs/yaml',
    '/docs/static/swagger-ui.css',
    '/docs/static/theme/token.js',
  ])('but %s is open to all', async (url) => {
    const { call } = await startApp();
    expect((await call('GET', url, undefined, { authorization: '' })).status).toBe(200);
  });

  test('and without it the page shows the same description as /openapi.json', async () => {
    const { call } = await startApp();
    const shown = await call('GET', '/docs/json', undefined, { authorization: '' });
    expect(shown.body).toEqual((await call('GET', '/openapi.json')).body);
  });

  test('which the page asks for at a call that is tried, not for what it loads itself', async () => {
    const { call } = await startApp();
    const { body } = await call('GET', '/docs/static/theme/token.js', undefined, { authorization: '' });
    const sent: [string, string | null][] = [];
    const window = {
      fetch: async (request: Request) => {
        sent.push([new URL(request.url).pathname, request.headers.get('authorization')]);
        return new Response('{}');
      },
    };
    const saved = new Map<string, string>();
    const sessionStorage = {
      getItem: (name: string) => saved.get(name) ?? null,
      setItem: (name: string, value: string) => void saved.set(name, value),
      removeItem: (name: string) => void saved.delete(name),
    };
    const asked: string[] = [];
    const prompt = (question: string) => {
      asked.push(question);
      return TOKEN;
    };
    const location = { origin: 'http://127.0.0.1:7480' };
    runInNewContext(String(body.text), { window, location, sessionStorage, prompt, Request, URL });
    for (const path of ['/docs/json', '/v1/tenants', '/v1/nodes'])
      await window.fetch(new Request(`${location.origin}${path}`));
    expect(asked).toHaveLength(1);
    expect(sent).toEqual([
      ['/docs/json', null],
      ['/v1/tenants', `Bearer ${TOKEN}`],
      ['/v1/nodes', `Bearer ${TOKEN}`],
    ]);
  });

  test('in any spelling of the scheme', async () => {
    const { call } = await startApp();
    expect((await call('GET', '/v1/nodes', undefined, { authorization: `bearer  ${TOKEN} ` })).status).toBe(200);
  });
});

describe('failures', () => {
  test('have a code of the table, its status and title, and the id of the request', async () => {
    const { call } = await startApp();
    const answers = await Promise.all([
      call('GET', '/v1/nowhere'),
      call('GET', '/v1/tenants/%zz'),
      call('GET', '/v1/tenants/red'),
      call('PUT', '/v1/tenants'),
      call('POST', '/v1/tenants', {}),
      call('POST', '/v1/tenants', 'x', { 'content-type': 'text/plain' }),
      call('GET', '/v1/tenants', undefined, { authorization: '' }),
      call('GET', '/v1/tenants/red/policies'),
      call('GET', `/v1/nodes/${'n'.repeat(300)}`),
    ]);
    for (const { status, headers, body } of answers) {
      const kind = PROBLEMS[body.code as keyof typeof PROBLEMS];
      expect(kind, JSON.stringify(body)).toBeDefined();
      expect(headers['content-type']).toBe('application/problem+json');
      expect(body).toMatchObject({ status, title: kind.title, type: `urn:tenet:problem:${body.code}` });
      expect(status).toBe(kind.status);
      expect(body.requestId).toBe(headers['x-request-id']);
    }
    expect(answers.map(({ status }) => status)).toEqual([404, 400, 404, 405, 400, 415, 401, 404, 400]);
  });

  test('of method say which there are', async () => {
    const { call } = await startApp();
    expect((await call('DELETE', '/v1/tenants')).headers.allow).toBe('GET, HEAD, POST');
    expect((await call('POST', '/v1/tenants/blue')).headers.allow).toBe('DELETE, GET, HEAD, PATCH');
  });

  test.each(['get', 'list', 'commit'] as const)(
    'of the store (%s) are 503 and worth a second try',
    async (operation) => {
      const store = new MemoryStore();
      const { call } = await startApp({ store });
      const ask = () => {
        if (operation === 'get') return call('GET', '/v1/tenants/blue');
        return operation === 'list' ? call('GET', '/v1/tenants') : call('POST', '/v1/tenants', { name: 'blue' });
      };
      store.failNext('unavailable', operation);
      expect(await ask()).toMatchObject({
        status: 503,
        headers: { 'retry-after': '2' },
        body: { code: 'unavailable' },
      });
      expect((await ask()).status).not.toBe(503);
    },
  );

  test('of a record that cannot be read name it and the reason, and do not show what is inside', async () => {
    const store = new MemoryStore();
    const { call } = await startApp({ store });
    await store.commit([], [{ kind: 'put', key: 'tenants/blue', value: '{"schema":99,"secret":"x"}' }]);
    const answer = await call('GET', '/v1/tenants/blue');
    expect(answer).toMatchObject({ status: 500, body: { code: 'record_unreadable' } });
    expect(answer.body.detail).toMatch(/^the record tenants\/blue: has schema 99, this version reads /);
    expect(JSON.stringify(answer.body)).not.toContain('secret');
  });
});

describe('readiness', () => {
  test('comes once the store does, and goes with it', async () => {
    const store = new MemoryStore();
    for (let times = 0; times < 3; times++) store.failNext('unavailable', 'get');
    const { call } = await startApp({ store, started: false });
    expect(await call('GET', '/readyz')).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect((await call('GET', '/healthz')).status).toBe(200);
    expect(await call('POST', '/v1/tenants', { name: 'blue' })).toMatchObject({ status: 503 });
    await until('ready', async () => (await call('GET', '/readyz')).status === 200);
    store.failNext('unavailable', 'get');
    expect((await call('GET', '/readyz')).status).toBe(503);
    expect((await call('GET', '/readyz')).status).toBe(200);
  });
});

describe('the documentation', () => {
  async function readOpenApi(): Promise<{ document: OpenApi; routes: string[] }> {
    const { app, call } = await startApp();
    const document = (await call('GET', '/openapi.json')).body as unknown as OpenApi;
    return { document, routes: listRoutes(app.printRoutes({ commonPrefix: false })) };
  }

  /** Fastify draws its routes as a tree: four characters of indentation a level, then a part of the path and its methods. */
  function listRoutes(tree: string): string[] {
    const parts: string[] = [];
    return tree.split('\n').flatMap((line) => {
      const found = /^(?<indent>.*?)[├└]── (?<part>\S*)(?: \((?<methods>[A-Z, ]+)\))?/u.exec(line)?.groups;
      if (found === undefined) return [];
      parts.splice((found.indent ?? '').length / 4, parts.length, found.part ?? '');
      const path = parts.join('').replace(/:(\w+)/g, '{$1}');
      return (found.methods?.split(', ') ?? []).map((method) => `${method} ${path}`);
    });
  }

  test('is OpenAPI 3.1 and has every route', async () => {
    const { app, call } = await startApp();
    const document = (await call('GET', '/openapi.json')).body as unknown as OpenApi;
    expect(document.openapi).toBe('3.1.0');
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => [method.toUpperCase(), path] as const),
    );
    for (const [method, path] of documented)
      expect(
        app.hasRoute({ method: method as 'GET', url: path.replace(/\{(\w+)\}/g, ':$1') }),
        `${method} ${path}`,
      ).toBe(true);
    expect(documented.map(([method, path]) => `${method} ${path}`).sort()).toEqual([
      'DELETE /v1/nodes/{node}',
      'DELETE /v1/tenants/{tenant}',
      'DELETE /v1/tenants/{tenant}/namespaces/{namespace}',
      'DELETE /v1/tenants/{tenant}/namespaces/{namespace}/policies/{policy}',
      'DELETE /v1/tenants/{tenant}/peerings/{peer}',
      'GET /healthz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /v1/cluster',
      'GET /v1/cluster/backup',
      'GET /v1/cluster/problems',
      'GET /v1/cluster/store',
      'GET /v1/nodes',
      'GET /v1/nodes/{node}',
      'GET /v1/tenants',
      'GET /v1/tenants/{tenant}',
      'GET /v1/tenants/{tenant}/denials',
      'GET /v1/tenants/{tenant}/endpoints',
      'GET /v1/tenants/{tenant}/endpoints/{id}',
      'GET /v1/tenants/{tenant}/namespaces',
      'GET /v1/tenants/{tenant}/namespaces/{namespace}',
      'GET /v1/tenants/{tenant}/namespaces/{namespace}/policies',
      'GET /v1/tenants/{tenant}/namespaces/{namespace}/policies/{policy}',
      'GET /v1/tenants/{tenant}/peerings',
      'GET /v1/tenants/{tenant}/peerings/{peer}',
      'GET /v1/tenants/{tenant}/policies',
      'GET /v1/tenants/{tenant}/problems',
      'GET /v1/tenants/{tenant}/reachability',
      'PATCH /v1/cluster',
      'PATCH /v1/tenants/{tenant}',
      'POST /v1/reachability',
      'POST /v1/tenants',
      'POST /v1/tenants/{tenant}/subnets',
      'PUT /v1/cluster/restore',
      'PUT /v1/tenants/{tenant}/endpoints/{id}/labels',
      'PUT /v1/tenants/{tenant}/endpoints/{id}/ports',
      'PUT /v1/tenants/{tenant}/namespaces/{namespace}',
      'PUT /v1/tenants/{tenant}/namespaces/{namespace}/policies/{policy}',
      'PUT /v1/tenants/{tenant}/peerings/{peer}',
    ]);
  });

  test('leaves out no route but the page itself', async () => {
    const { document, routes } = await readOpenApi();
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const own = routes.filter((route) => !/^(HEAD |\w+ \/docs\b)/.test(route));
    expect(own.sort()).toEqual(documented.sort());
  });

  test('says of every operation what it is and how it can fail', async () => {
    const { document } = await readOpenApi();
    const ids = new Set<string>();
    for (const [path, operations] of Object.entries(document.paths))
      for (const [method, operation] of Object.entries(operations)) {
        const where = `${method} ${path}`;
        expect(operation.summary, where).toBeTruthy();
        expect(operation.tags, where).toHaveLength(1);
        expect(operation.operationId, where).toBeTruthy();
        ids.add(operation.operationId ?? '');
        expect(Object.keys(operation.responses), where).toEqual(expect.arrayContaining(['400', '401', '500', '503']));
        for (const [status, { description }] of Object.entries(operation.responses))
          expect(description, `${where} ${status}`).not.toMatch(/^(Default Response)?$/);
        if (path.startsWith('/v1/')) expect(operation.security, where).toBeUndefined();
      }
    expect(ids.size).toBe(Object.values(document.paths).flatMap((operations) => Object.keys(operations)).length);
  });

  test('has the table of codes, and each named schema once', async () => {
    const { document } = await readOpenApi();
    for (const [code, { status }] of Object.entries(PROBLEMS))
      expect(document.info.description).toContain(`| \`${code}\` | ${status} |`);
    expect(Object.keys(document.components.schemas).sort()).toEqual([
      'Cluster',
      'ClusterProblem',
      'Deleted',
      'Deleting',
      'Denial',
      'Endpoint',
      'Enforcement',
      'LabelSelector',
      'Namespace',
      'NetworkPolicy',
      'NetworkPolicyPeer',
      'NetworkPolicyPort',
      'NetworkPolicySpec',
      'Node',
      'Peering',
      'PolicyPreview',
      'Problem',
      'Reachability',
      'ReachabilityEnd',
      'ReachabilityFlip',
      'ReachabilityMatrix',
      'ReachabilityReason',
      'Restored',
      'Store',
      'Tenant',
    ]);
  });
});

test('metrics count requests by route, tenants, and failures of the store', async () => {
  const store = new MemoryStore();
  const { call } = await startApp({ store });
  await call('POST', '/v1/tenants', { name: 'blue' });
  await call('GET', '/v1/tenants/blue');
  store.failNext('unavailable', 'list');
  await call('GET', '/v1/tenants');
  const { body } = await call('GET', '/metrics');
  const text = String((body as Body).text);
  expect(text).toContain('tenet_tenants 2');
  expect(text).toContain(
    'tenet_http_request_duration_seconds_count{method="GET",route="/v1/tenants/:tenant",status="200"} 1',
  );
  expect(text).toContain('tenet_http_request_duration_seconds_count{method="POST",route="/v1/tenants",status="201"} 1');
  expect(text).toContain('tenet_store_errors_total{operation="list",code="unavailable"} 1');
  expect(text).not.toContain('blue');
});
