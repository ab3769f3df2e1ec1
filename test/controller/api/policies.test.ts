/** Policies by REST: made, shown, listed, in YAML, and refused. */
import { describe, expect, test } from 'vitest';
import { type Body, dump, putBlock } from './fixture.ts';
import { appWithTenants, PORT, path, spec } from './policies-stage.ts';

test('are made, shown, listed, replaced and deleted', async () => {
  const { call } = await appWithTenants();
  const made = await call('PUT', path, spec);
  expect(made).toMatchObject({ status: 201, headers: { etag: `"${made.body.revision}"` } });
  expect(made.body).toEqual({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: 'web',
      namespace: 'blue',
      creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      resourceVersion: String(made.body.revision),
    },
    spec,
    tenant: 'blue',
    revision: expect.any(Number),
  });
  expect((await call('GET', path)).body).toEqual(made.body);
  expect((await call('GET', path, undefined, { 'if-none-match': made.headers.etag ?? '' })).status).toBe(304);
  expect((await call('GET', '/v1/tenants/blue/policies')).body.items).toEqual([made.body]);

  const replaced = await call('PUT', path, { spec: { policyTypes: ['Egress'] }, metadata: { labels: { a: 'b' } } });
  expect(replaced).toMatchObject({
    status: 200,
    body: {
      metadata: { creationTimestamp: (made.body.metadata as Body).creationTimestamp, labels: { a: 'b' } },
      spec: { podSelector: {}, policyTypes: ['Egress'] },
    },
  });
  expect((await call('DELETE', path, undefined, { 'if-match': made.headers.etag ?? '' })).status).toBe(412);
  expect((await call('DELETE', path, undefined, { 'if-match': replaced.headers.etag ?? '' })).status).toBe(204);
  expect((await call('GET', path)).status).toBe(404);
});

test('are listed by pages, of one namespace and of all', async () => {
  const { call } = await appWithTenants();
  await call('PUT', '/v1/tenants/blue/namespaces/shop', {});
  for (const url of ['shop/policies/a', 'blue/policies/b', 'blue/policies/a', 'shop/policies/c'])
    expect((await call('PUT', `/v1/tenants/blue/namespaces/${url}`, {})).status).toBe(201);
  const namesIn = async (url: string): Promise<string[]> => {
    const { body } = await call('GET', url);
    const names = (body.items ?? []).map(({ metadata }) => {
      const { namespace, name } = metadata as Body;
      return `${String(namespace)}/${name}`;
    });
    if (body.continue === undefined) return names;
    return [...names, ...(await namesIn(`${url.split('&')[0]}&continue=${body.continue}`))];
  };
  expect(await namesIn('/v1/tenants/blue/policies?limit=1')).toEqual(['blue/a', 'blue/b', 'shop/a', 'shop/c']);
  expect(await namesIn('/v1/tenants/blue/namespaces/shop/policies?limit=1')).toEqual(['shop/a', 'shop/c']);
  expect(await namesIn('/v1/tenants/red/policies?limit=1')).toEqual([]);
});

test('said again stay as they are, in whatever order and form', async () => {
  const { call, store } = await appWithTenants();
  const made = await call('PUT', path, { spec, metadata: { labels: { a: '1', b: '2' } } });
  const before = await dump(store);
  const { podSelector, ...rest } = spec;
  const same = [
    { spec, metadata: { labels: { b: '2', a: '1' } } },
    { metadata: { labels: { a: '1', b: '2' }, annotations: {} }, spec: { ...rest, egress: [], podSelector } },
    made.body,
  ];
  for (const body of same) expect(await call('PUT', path, body)).toMatchObject({ status: 200, body: made.body });
  expect(await dump(store)).toEqual(before);
});

describe('in YAML', () => {
  const asYaml = { 'content-type': 'application/yaml' };
  // As kubectl prints it.
  const PRINTED = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy"}
  creationTimestamp: "2026-11-24T11:00:00Z"
  generation: 1
  name: web
  namespace: blue
  resourceVersion: "821"
  uid: 5a1e2f5e-7a52-4a35-9b0e-3a4a5d2f7f11
spec:
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          stage: test
    ports:
    - port: 8080
      protocol: TCP
  podSelector: {}
  policyTypes:
  - Ingress
status: {}
`;

  test.each(['application/yaml', 'application/x-yaml', 'text/yaml', 'application/yaml; charset=utf-8'])(
    'as %s, what kubectl prints is taken as it is',
    async (type) => {
      const { call } = await appWithTenants();
      const { status, body } = await call('PUT', path, PRINTED, { 'content-type': type });
      expect(status).toBe(201);
      expect(body.spec).toEqual({
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [
          {
            from: [{ namespaceSelector: { matchLabels: { stage: 'test' } } }],
            ports: [{ protocol: 'TCP', port: 8080 }],
          },
        ],
      });
      expect(body.metadata).toMatchObject({ resourceVersion: String(body.revision), name: 'web' });
    },
  );

  test('an anchor may be used', async () => {
    const { call } = await appWithTenants();
    const text = 'podSelector: &web {matchLabels: {app: web}}\ningress:\n- from:\n  - podSelector: *web\n';
    expect((await call('PUT', path, text, asYaml)).body.spec).toMatchObject({
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
    });
  });

  const row = (name: string) => Array(10).fill(`*${name}`).join(', ');
  const levels = ['a', 'b', 'c', 'd', 'e', 'f'];
  test.each<[string, string, RegExp]>([
    ['a key twice', 'podSelector: {}\ningress: []\npodSelector: {}\n', /^line 3: /],
    ['two documents', 'podSelector: {}\n---\npodSelector: {}\n', /^line 2: begins another document/],
    ['broken', 'podSelector: {\ningress: [\n', /^line 2: /],
    ['an alias of nothing', 'podSelector: {}\ningress: *rules\n', /^line 2: \*rules stands for nothing/],
    [
      'aliases of aliases',
      `a: &a [x]\n${levels
        .slice(1)
        .map((name, i) => `${name}: &${name} [${row(levels[i] ?? '')}]\n`)
        .join('')}`,
      /^line 6: more than 60000 keys.*aliases/,
    ],
    ['a tag of its own', 'podSelector: !selector {}\n', /^line 1: /],
    [
      'deeper than anybody would',
      `ingress:\n  ${'['.repeat(100_000)}`,
      /^line 2: lists and maps nested more than 32 deep/,
    ],
    ['nothing', '', /NetworkPolicy/],
    ['text', 'hello', /NetworkPolicy/],
  ])('%s is refused', async (_, text, message) => {
    const { call } = await appWithTenants();
    expect(await call('PUT', path, text, asYaml)).toMatchObject({
      status: 400,
      body: { code: 'invalid_input', errors: [{ field: 'body', message: expect.stringMatching(message) }] },
    });
  });

  test('a policy as large as a body can be is taken whole', async () => {
    const { call } = await appWithTenants();
    const cidr = (index: number) => `10.${index >> 8}.${index & 255}.0/24`;
    const peers = Array.from({ length: 6000 }, (_, index) => `    - ipBlock:\n        cidr: ${cidr(index)}\n`).join('');
    const text = `spec:\n  podSelector: {}\n  ingress:\n  - from:\n${peers}`;
    expect(text.length).toBeGreaterThan(220_000);
    const { status, body } = await call('PUT', path, text, asYaml);
    expect(status).toBe(201);
    const spec = body.spec as { readonly ingress: { readonly from: unknown[] }[] };
    expect(spec.ingress[0]?.from).toEqual(
      Array.from({ length: 6000 }, (_, index) => ({ ipBlock: { cidr: cidr(index) } })),
    );
  });

  test('a body of more keys than a policy can need is refused before it is read, with the bound and its line', async () => {
    const { call } = await appWithTenants();
    const text = `spec: {}\n${Array.from({ length: 22_000 }, (_, index) => `k${index}: 1\n`).join('')}`;
    expect((await call('PUT', path, text, asYaml)).body.errors).toEqual([
      { field: 'body', message: 'line 20001: more than 60000 keys, values and list items' },
    ]);
  });

  test('only policies are taken', async () => {
    const { call } = await appWithTenants();
    expect(await call('PUT', '/v1/tenants/blue/namespaces/shop', 'labels: {}', asYaml)).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type' },
    });
    expect((await call('PUT', path, 'x', { 'content-type': 'text/plain' })).status).toBe(415);
  });
});

describe('refused is, and nothing is written:', () => {
  const missing = path.replace('web', 'none');
  type Refusal = [string, string, string, unknown, Record<string, string>, number, string, string | undefined];
  test.each<Refusal>([
    ['an unknown rule', 'PUT', path, { ingress: [{ form: [] }] }, {}, 400, 'invalid_input', 'spec.ingress[0].form'],
    ['a number that is text', 'PUT', path, { ingress: [{ ports: [{ port: '80' }] }] }, {}, 400, 'invalid_input', PORT],
    ['no body', 'PUT', path, undefined, {}, 400, 'invalid_input', 'body'],
    ['a list', 'PUT', path, '[]', {}, 400, 'invalid_input', 'body'],
    ["another's name", 'PUT', path, { metadata: { name: 'x' } }, {}, 400, 'invalid_input', 'metadata.name'],
    ["another's tenant", 'PUT', path, { spec, tenant: 'red' }, {}, 400, 'invalid_input', 'tenant'],
    ['a bad name', 'PUT', path.replace('web', 'Web'), {}, {}, 400, 'invalid_input', 'policy'],
    ['a name with a gap', 'PUT', path.replace('web', 'a..b'), {}, {}, 400, 'invalid_input', 'metadata.name'],
    ['a name with a slash', 'PUT', path.replace('web', 'a%2Fb'), {}, {}, 400, 'invalid_input', 'policy'],
    ['an unknown parameter', 'PUT', `${path}?force=true`, {}, {}, 400, 'invalid_input', 'force'],
    ['one for no tenant', 'PUT', path.replace('tenants/blue', 'tenants/grey'), {}, {}, 404, 'not_found', undefined],
    ['one for no namespace', 'PUT', path.replace('s/blue/p', 's/shop/p'), {}, {}, 404, 'not_found', undefined],
    ["one in another's namespace", 'PUT', path.replace('s/blue/p', 's/red/p'), {}, {}, 404, 'not_found', undefined],
    ["one for the platform's tenant", 'PUT', path.replaceAll('blue', 'system'), {}, {}, 409, 'conflict', undefined],
    ['one for a tenant being deleted', 'PUT', path.replaceAll('blue', 'dying'), {}, {}, 409, 'conflict', undefined],
    ['one that must be there', 'PUT', missing, {}, { 'if-match': '*' }, 412, 'precondition_failed', undefined],
    ['one that must not be', 'PUT', path, {}, { 'if-none-match': '*' }, 412, 'precondition_failed', undefined],
    ['one that has changed', 'PUT', path, {}, { 'if-match': '"1"' }, 412, 'precondition_failed', undefined],
    ['a deletion of none', 'DELETE', missing, undefined, {}, 404, 'not_found', undefined],
    ['a look at none', 'GET', missing, undefined, {}, 404, 'not_found', undefined],
    ['a list of no tenant', 'GET', '/v1/tenants/grey/policies', undefined, {}, 404, 'not_found', undefined],
    [
      'a list of no namespace',
      'GET',
      '/v1/tenants/blue/namespaces/x/policies',
      undefined,
      {},
      404,
      'not_found',
      undefined,
    ],
    [
      "another list's token",
      'GET',
      '/v1/tenants/blue/policies?continue=bm9kZXM',
      undefined,
      {},
      400,
      'invalid_input',
      'continue',
    ],
  ])('%s', async (_, method, url, body, headers, status, code, field) => {
    const { call, store } = await appWithTenants('blue', 'red', 'dying');
    await call('PUT', path, spec);
    await putBlock(store, 'dying', '10.128.8.0/27');
    await call('DELETE', '/v1/tenants/dying?wait=enforced&timeout=1ms');
    const before = await dump(store);
    const errors = field === undefined ? {} : { errors: [{ field, message: expect.any(String) }] };
    expect(await call(method, url, body, headers)).toMatchObject({ status, body: { code, ...errors } });
    expect(await dump(store)).toEqual(before);
  });

  test('every fault is named at once', async () => {
    const { call } = await appWithTenants();
    const rules = [{ from: [{}], ports: [{ protocol: 'ICMP' }, { port: 9, endPort: 8 }] }];
    const { body } = await call('PUT', path, { kind: 'Pod', spec: { ingress: rules, egrss: [] } });
    expect(body.errors?.map(({ field }) => field).sort()).toEqual([
      'kind',
      'spec.egrss',
      'spec.ingress[0].from[0]',
      'spec.ingress[0].ports[0].protocol',
      'spec.ingress[0].ports[1].endPort',
    ]);
  });
});
