/** /v1/tenants: every answer it can give, and that a refusal leaves nothing behind. */
import { describe, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { dump, putBlock, putEndpoint, removeEndpoint, startApp, type TestAppOptions, until } from './fixture.ts';

const TINY = { pools: [parsePrefix('10.9.0.0/24')], subnetPrefixLength: 26, blockPrefixLength: 28 };

async function appWithBlue(options: TestAppOptions = {}) {
  const app = await startApp(options);
  const blue = await app.call('POST', '/v1/tenants', { name: 'blue', namespaces: ['blue-test'] });
  expect(blue.status).toBe(201);
  return { ...app, blue };
}

describe('creating', () => {
  test('answers with what was given, where it is and its revision', async () => {
    const { call } = await startApp();
    const { status, headers, body } = await call('POST', '/v1/tenants', {
      name: 'blue',
      namespaces: ['blue-test'],
      subnets: ['10.128.4.0/22'],
      labels: { plan: 'gold' },
      quota: { endpoints: 10 },
      egress: { internet: false },
    });
    expect(status).toBe(201);
    expect(headers.location).toBe('/v1/tenants/blue');
    expect(headers.etag).toBe(`"${body.revision}"`);
    expect(body).toEqual({
      name: 'blue',
      vni: expect.any(Number),
      subnets: ['10.128.4.0/22'],
      namespaces: ['blue', 'blue-test'],
      labels: { plan: 'gold' },
      quota: { endpoints: 10 },
      egress: { internet: false },
      ingress: { gateways: true },
      phase: 'active',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      endpoints: 0,
      revision: expect.any(Number),
    });
    expect((await call('GET', '/v1/tenants/blue')).body).toEqual(body);
  });

  test('is one commit: tenant, claims and namespaces at one revision', async () => {
    const { store, blue } = await appWithBlue();
    const { entries } = await store.list('');
    const written = entries.filter(({ modRevision }) => modRevision === blue.body.revision).map(({ key }) => key);
    expect(written).toEqual([
      'claims/namespace/blue',
      'claims/namespace/blue-test',
      keys.subnetClaim(parsePrefix(blue.body.subnets?.[0] ?? '')),
      keys.vniClaim(blue.body.vni ?? 0),
      'namespaces/blue/blue',
      'namespaces/blue/blue-test',
      'tenants/blue',
    ]);
  });

  test('gives both families where the cluster has both', async () => {
    const { call } = await startApp({ cluster: { pools: ['10.128.0.0/9', 'fd00:1::/48'].map(parsePrefix) } });
    const { body } = await call('POST', '/v1/tenants', { name: 'blue' });
    expect(body.subnets).toEqual([expect.stringMatching(/^10\..*\/22$/), expect.stringMatching(/^fd00:1:0:.*\/64$/)]);
  });

  test.each<[string, unknown, number, string, string | undefined]>([
    ['a name that is taken', { name: 'blue' }, 409, 'conflict', 'name'],
    ["a name that is another's namespace", { name: 'blue-test' }, 409, 'conflict', 'name'],
    ["another's namespace", { name: 'green', namespaces: ['blue-test'] }, 409, 'conflict', 'namespaces'],
    ['a subnet that is taken', { name: 'green', subnets: ['10.200.0.0/22'] }, 409, 'conflict', 'subnets[0]'],
    [
      'a part of a taken subnet',
      { name: 'green', subnets: ['10.129.0.0/22', '10.200.2.0/24'] },
      409,
      'conflict',
      'subnets[1]',
    ],
    ['a subnet around a taken one', { name: 'green', subnets: ['10.192.0.0/10'] }, 409, 'conflict', 'subnets[0]'],
    ['more subnets than its quota', { name: 'green', quota: { subnets: 0 } }, 409, 'quota_exceeded', 'quota.subnets'],
    [
      'more than fits into a commit',
      { name: 'green', namespaces: names(30), subnets: slices(8) },
      400,
      'invalid_input',
      'namespaces',
    ],
    ['an unknown field', { name: 'green', color: 'blue' }, 400, 'invalid_input', 'color'],
    ['an unknown field deep inside', { name: 'green', quota: { pods: 1 } }, 400, 'invalid_input', 'quota.pods'],
    ['no name', {}, 400, 'invalid_input', 'name'],
    ['a number for a name', { name: 7 }, 400, 'invalid_input', 'name'],
    ['text for a number', { name: 'green', subnetPrefixLength: '22' }, 400, 'invalid_input', 'subnetPrefixLength'],
    ['a reserved name', { name: 'system' }, 400, 'invalid_input', 'name'],
    ['a list', [], 400, 'invalid_input', 'body'],
    ['broken JSON', '{"name":', 400, 'invalid_input', 'body'],
    ['an empty body', '', 400, 'invalid_input', 'body'],
    ['a poisoned body', '{"name":"green","labels":{"__proto__":{"a":"b"}}}', 400, 'invalid_input', 'body'],
  ])('is refused with %s, and nothing is written', async (_, request, status, code, field) => {
    const { call, store } = await startApp();
    await call('POST', '/v1/tenants', { name: 'blue', namespaces: ['blue-test'], subnets: ['10.200.0.0/22'] });
    const before = await dump(store);
    const answer = await call('POST', '/v1/tenants', request);
    expect(answer).toMatchObject({ status, body: { code, status } });
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.body.errors?.map((error) => error.field)).toContain(field);
    expect(await dump(store)).toEqual(before);
  });

  test('names the holder of what is taken', async () => {
    const { call } = await appWithBlue();
    const { body } = await call('POST', '/v1/tenants', { name: 'green', namespaces: ['blue-test'] });
    expect(body).toMatchObject({
      code: 'conflict',
      holder: 'blue',
      detail: 'namespace "blue-test" belongs to tenant "blue"',
    });
  });

  test('gives the last subnet of a pool, then says that it is exhausted, then gives what has come free', async () => {
    const { call, store } = await startApp({ cluster: TINY });
    const created = [];
    for (const name of ['a', 'b', 'c']) created.push(await call('POST', '/v1/tenants', { name }));
    expect(created.map(({ body }) => body.subnets?.[0]).sort()).toEqual([
      '10.9.0.128/26',
      '10.9.0.192/26',
      '10.9.0.64/26',
    ]);
    const before = await dump(store);
    const refused = await call('POST', '/v1/tenants', { name: 'd' });
    expect(refused).toMatchObject({ status: 409, body: { code: 'exhausted' } });
    expect(await dump(store)).toEqual(before);
    expect((await call('DELETE', '/v1/tenants/b')).status).toBe(204);
    expect((await call('POST', '/v1/tenants', { name: 'd' })).body.subnets).toEqual(created[1]?.body.subnets);
  });

  test('asks the store before it says that a pool is exhausted', async () => {
    const store = new MemoryStore();
    const { call } = await startApp({ cluster: TINY, store });
    for (const name of ['a', 'b', 'c']) await call('POST', '/v1/tenants', { name });
    const other = await startApp({ cluster: TINY, store });
    const [gone, made] = await Promise.all([
      other.call('DELETE', '/v1/tenants/a'),
      other.call('DELETE', '/v1/tenants/b'),
    ]);
    expect([gone.status, made.status]).toEqual([204, 204]);
    expect((await call('POST', '/v1/tenants', { name: 'd' })).status).toBe(201);
  });

  test.each(['indeterminate-applied', 'indeterminate-not-applied'] as const)(
    'happens exactly once when the answer of the store is lost (%s)',
    async (failure) => {
      const store = new MemoryStore();
      const { call } = await startApp({ store });
      store.failNext(failure);
      const { status, body } = await call('POST', '/v1/tenants', { name: 'blue' });
      expect(status).toBe(201);
      const claims = Object.keys(await dump(store)).filter((key) => /^claims\/(vni|subnet)/.test(key));
      expect(claims).toHaveLength(4);
      expect((await call('GET', '/v1/tenants/blue')).body).toEqual(body);
    },
  );

  test('is a conflict, not a success, when the answer is lost and another tenant has the name', async () => {
    const store = new MemoryStore();
    const { call } = await appWithBlue({ store });
    store.failNext('indeterminate-not-applied');
    expect(await call('POST', '/v1/tenants', { name: 'blue' })).toMatchObject({
      status: 409,
      body: { code: 'conflict' },
    });
  });

  test('picks again when another controller was faster', async () => {
    const store = new MemoryStore();
    const first = await startApp({ store, random: () => 0 });
    const { vni, subnets } = (await first.call('POST', '/v1/tenants', { name: 'a' })).body;
    // The second controller's view is full of what the first has taken only once the watch has told it.
    const second = await startApp({ store, random: () => 0 });
    const [b, c] = await Promise.all([
      first.call('POST', '/v1/tenants', { name: 'b' }),
      second.call('POST', '/v1/tenants', { name: 'c' }),
    ]);
    expect(new Set([vni, b.body.vni, c.body.vni]).size).toBe(3);
    expect(new Set([subnets?.[0], b.body.subnets?.[0], c.body.subnets?.[0]]).size).toBe(3);
  });
});

describe('reading', () => {
  test('knows its ETag', async () => {
    const { call, blue } = await appWithBlue();
    const etag = blue.headers.etag ?? '';
    expect((await call('GET', '/v1/tenants/blue', undefined, { 'if-none-match': etag })).status).toBe(304);
    expect((await call('GET', '/v1/tenants/blue', undefined, { 'if-none-match': `W/${etag}` })).status).toBe(304);
    expect((await call('GET', '/v1/tenants/blue', undefined, { 'if-none-match': '"1"' })).status).toBe(200);
    const answer = await call('GET', '/v1/tenants/blue', undefined, { 'if-none-match': 'nonsense' });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'If-None-Match' }] } });
  });

  test('counts endpoints', async () => {
    const { call, store } = await appWithBlue();
    const endpoint = await putEndpoint(store);
    await until('one endpoint', async () => (await call('GET', '/v1/tenants/blue')).body.endpoints === 1);
    await putEndpoint(store, { labels: { a: 'b' } });
    await putEndpoint(store, { id: '000000000002', node: 'node2' });
    await until('two endpoints', async () => (await call('GET', '/v1/tenants/blue')).body.endpoints === 2);
    await removeEndpoint(store, endpoint);
    await until('one again', async () => (await call('GET', '/v1/tenants')).body.items?.[0]?.endpoints === 1);
  });

  test('of one that is not there', async () => {
    const { call } = await startApp();
    expect(await call('GET', '/v1/tenants/blue')).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  test('lists by pages, each tenant once', async () => {
    const { call } = await startApp();
    for (const name of ['a', 'b', 'c', 'd', 'e']) await call('POST', '/v1/tenants', { name });
    const seen: unknown[] = [];
    let next: string | undefined;
    do {
      const { body } = await call('GET', `/v1/tenants?limit=2${next ? `&continue=${next}` : ''}`);
      expect(body.items?.length).toBe(2);
      seen.push(...(body.items ?? []).map(({ name }) => name));
      next = body.continue;
    } while (next !== undefined);
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e', 'system']);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=many', 'limit'],
    ['continue=bm9kZXMvYQ', 'continue'],
    ['wait=enforced', 'wait'],
    ['page=2', 'page'],
  ])('refuses ?%s', async (query, field) => {
    const { call } = await startApp();
    const answer = await call('GET', `/v1/tenants?${query}`);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_input', errors: [{ field }] } });
  });
});

describe('changing', () => {
  test('merges', async () => {
    const { call, blue } = await appWithBlue();
    const patch = { labels: { a: 'b' }, quota: { endpoints: 3 }, egress: { internet: false } };
    const headers = { 'content-type': 'application/merge-patch+json', 'if-match': blue.headers.etag ?? '' };
    const { status, body } = await call('PATCH', '/v1/tenants/blue', patch, headers);
    expect({ status, body }).toMatchObject({ status: 200, body: { ...patch, ingress: { gateways: true } } });
    expect(body.revision).toBeGreaterThan(blue.body.revision ?? 0);
    expect((await call('PATCH', '/v1/tenants/blue', { labels: { a: null } })).body).toMatchObject({
      labels: {},
      quota: { endpoints: 3 },
    });
  });

  test.each<[string, string, unknown, Record<string, string>, number, string]>([
    ['an old ETag', 'blue', {}, { 'if-match': '"1"' }, 412, 'precondition_failed'],
    ['a weak ETag', 'blue', {}, { 'if-match': 'W/"4"' }, 412, 'precondition_failed'],
    ['an unreadable ETag', 'blue', {}, { 'if-match': '4' }, 400, 'invalid_input'],
    ['If-None-Match', 'blue', {}, { 'if-none-match': '*' }, 412, 'precondition_failed'],
    ['a name', 'blue', { name: 'green' }, {}, 400, 'invalid_input'],
    ['subnets', 'blue', { subnets: [] }, {}, 400, 'invalid_input'],
    ['a bad label', 'blue', { labels: { a: '!' } }, {}, 400, 'invalid_input'],
    ['a number for a label', 'blue', { labels: { a: 1 } }, {}, 400, 'invalid_input'],
    ['a negative quota', 'blue', { quota: { endpoints: -1 } }, {}, 400, 'invalid_input'],
    ['no such tenant', 'green', {}, {}, 404, 'not_found'],
    ["the platform's own", 'system', {}, {}, 409, 'conflict'],
    ['text', 'blue', 'hello', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['a form', 'blue', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
    ['far too much', 'blue', { labels: { a: 'x'.repeat(300_000) } }, {}, 413, 'payload_too_large'],
  ])('is refused with %s, and nothing is written', async (_, tenant, patch, headers, status, code) => {
    const { call, store } = await appWithBlue();
    const before = await dump(store);
    expect(await call('PATCH', `/v1/tenants/${tenant}`, patch, headers)).toMatchObject({ status, body: { code } });
    expect(await dump(store)).toEqual(before);
  });

  test('by many at once loses no change', async () => {
    const { call } = await appWithBlue();
    const names = Array.from({ length: 10 }, (_, index) => `l${index}`);
    await Promise.all(names.map((name) => call('PATCH', '/v1/tenants/blue', { labels: { [name]: 'x' } })));
    expect(Object.keys((await call('GET', '/v1/tenants/blue')).body.labels as object).sort()).toEqual(names);
  });

  test('says so when it cannot tell whether it happened', async () => {
    const store = new MemoryStore();
    const { call } = await appWithBlue({ store });
    store.failNext('indeterminate-applied');
    expect((await call('PATCH', '/v1/tenants/blue', { labels: { a: 'b' } })).status).toBe(200);
    store.failNext('indeterminate-not-applied');
    const lost = await call('PATCH', '/v1/tenants/blue', { labels: { a: 'c' } });
    expect(lost).toMatchObject({ status: 503, headers: { 'retry-after': '2' }, body: { code: 'unavailable' } });
    expect((await call('GET', '/v1/tenants/blue')).body.labels).toEqual({ a: 'b' });
  });
});

describe('growing', () => {
  test('adds a subnet that overlaps nothing', async () => {
    const { call, blue } = await appWithBlue();
    const any = await call('POST', '/v1/tenants/blue/subnets', { prefixLength: 24 });
    expect(any).toMatchObject({
      status: 201,
      body: { subnets: [blue.body.subnets?.[0], expect.stringMatching(/\/24$/)] },
    });
    const exact = await call('POST', '/v1/tenants/blue/subnets', { cidr: '10.255.252.0/22' });
    expect(exact.body.subnets?.[2]).toBe('10.255.252.0/22');
    expect((await call('GET', '/v1/tenants/blue')).body).toEqual(exact.body);
  });

  test.each<[string, string, unknown, number, string]>([
    ['what is taken', 'blue', { cidr: '10.200.0.0/24' }, 409, 'conflict'],
    ['what lies around it', 'blue', { cidr: '10.200.0.0/16' }, 409, 'conflict'],
    ['more than the quota', 'small', {}, 409, 'quota_exceeded'],
    ['no such tenant', 'green', {}, 404, 'not_found'],
    ['both', 'blue', { cidr: '10.129.0.0/24', prefixLength: 24 }, 400, 'invalid_input'],
    ["the platform's own", 'system', {}, 409, 'conflict'],
  ])('is refused with %s, and nothing is written', async (_, tenant, request, status, code) => {
    const { call, store } = await startApp();
    await call('POST', '/v1/tenants', { name: 'blue', subnets: ['10.200.0.0/22'] });
    await call('POST', '/v1/tenants', { name: 'small', quota: { subnets: 1 } });
    const before = await dump(store);
    expect(await call('POST', `/v1/tenants/${tenant}/subnets`, request)).toMatchObject({ status, body: { code } });
    expect(await dump(store)).toEqual(before);
  });

  test('is refused when the pool is exhausted', async () => {
    const { call } = await startApp({ cluster: TINY });
    await call('POST', '/v1/tenants', { name: 'a' });
    for (const status of [201, 201, 409]) expect((await call('POST', '/v1/tenants/a/subnets', {})).status).toBe(status);
  });

  test('stays within a quota that many reach for at once', async () => {
    const { call } = await startApp();
    await call('POST', '/v1/tenants', { name: 'blue', quota: { subnets: 4 } });
    const answers = await Promise.all(Array.from({ length: 8 }, () => call('POST', '/v1/tenants/blue/subnets', {})));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    expect((await call('GET', '/v1/tenants/blue')).body.subnets).toHaveLength(4);
  });
});

describe('deleting', () => {
  test('leaves nothing behind', async () => {
    const { call, store } = await startApp();
    const before = await dump(store);
    await call('POST', '/v1/tenants', { name: 'blue', namespaces: ['b'] });
    await call('POST', '/v1/tenants/blue/subnets', {});
    await call('PUT', '/v1/tenants/blue/namespaces/c', {});
    const answer = await call('DELETE', '/v1/tenants/blue');
    expect(answer.status).toBe(204);
    expect(await dump(store)).toEqual(before);
    expect((await call('GET', '/v1/tenants/blue')).status).toBe(404);
  });

  test('leaves nothing behind of one with hundreds of namespaces', async () => {
    const { call, store } = await startApp();
    const before = await dump(store);
    await call('POST', '/v1/tenants', { name: 'blue' });
    for (let index = 0; index < 150; index++) await call('PUT', `/v1/tenants/blue/namespaces/n${index}`, {});
    expect((await call('DELETE', '/v1/tenants/blue')).status).toBe(204);
    expect(await dump(store)).toEqual(before);
  });

  test.each<[string, string, Record<string, string>, number, string]>([
    ['endpoints', 'blue', {}, 409, 'conflict'],
    ['an old ETag', 'blue', { 'if-match': '"1"' }, 412, 'precondition_failed'],
    ['no such tenant', 'green', {}, 404, 'not_found'],
    ["the platform's own", 'system', {}, 409, 'conflict'],
    ['a name that cannot be', 'a%2Fb', {}, 400, 'invalid_input'],
  ])('is refused with %s, and nothing is written', async (_, tenant, headers, status, code) => {
    const { call, store } = await appWithBlue();
    await putEndpoint(store);
    const before = await dump(store);
    expect(await call('DELETE', `/v1/tenants/${tenant}`, undefined, headers)).toMatchObject({ status, body: { code } });
    expect(await dump(store)).toEqual(before);
  });

  test('says how many endpoints there are, and names one', async () => {
    const { call, store } = await appWithBlue();
    await putEndpoint(store);
    await putEndpoint(store, { id: '3f9c01ab77d3' });
    const { body } = await call('DELETE', '/v1/tenants/blue');
    expect(body.detail).toBe('tenant "blue" has 2 endpoints, such as 3f9c01ab77d2 (pod-3f9c01ab77d2 on node node1)');
  });

  test('is refused for the default tenant', async () => {
    const { call } = await appWithBlue();
    await call('PATCH', '/v1/cluster', { defaultTenant: 'blue' });
    expect((await call('DELETE', '/v1/tenants/blue')).body.code).toBe('conflict');
    await call('PATCH', '/v1/cluster', { defaultTenant: null });
    expect((await call('DELETE', '/v1/tenants/blue')).status).toBe(204);
  });

  test('waits for nodes to give back their blocks', async () => {
    const { call, store, blue } = await appWithBlue();
    const base = blue.body.subnets?.[0]?.replace('/22', '/27') ?? '';
    const block = await putBlock(store, 'blue', base);
    const answer = call('DELETE', '/v1/tenants/blue');
    await until('phase deleting', async () => (await call('GET', '/v1/tenants/blue')).body.phase === 'deleting');
    for (const [method, path] of [
      ['PATCH', ''],
      ['POST', '/subnets'],
      ['PUT', '/namespaces/new'],
    ] as const)
      expect((await call(method, `/v1/tenants/blue${path}`, {})).body.code).toBe('conflict');
    await store.commit([], [{ kind: 'delete', key: block }]);
    expect((await answer).status).toBe(204);
  });

  test('names the nodes that keep theirs for too long, and is finished by asking again', async () => {
    const { call, store, deadlines } = await appWithBlue();
    const blocks = [
      await putBlock(store, 'blue', '10.128.4.0/27', 'node2'),
      await putBlock(store, 'blue', '10.128.4.32/27', 'node1'),
    ];
    const answer = call('DELETE', '/v1/tenants/blue');
    await until('it waits', () => deadlines.running.length > 0);
    expect(deadlines.running).toEqual([5000]);
    deadlines.elapse();
    expect(await answer).toMatchObject({
      status: 202,
      body: { tenant: 'blue', phase: 'deleting', nodes: ['node1', 'node2'] },
    });
    await store.commit(
      [],
      blocks.map((key) => ({ kind: 'delete', key })),
    );
    expect((await call('DELETE', '/v1/tenants/blue')).status).toBe(204);
  });

  test('cannot be slipped past by a container that starts at the same moment', async () => {
    const store = new MemoryStore();
    const { call } = await appWithBlue({ store });
    const { entry } = await store.get(keys.tenant('blue'));
    const guard = { kind: 'unchanged', key: keys.tenant('blue'), modRevision: entry?.modRevision ?? 0 } as const;
    const endpoint = {
      kind: 'put',
      key: keys.endpoint('blue', 'node1', 'x'),
      value: formatRecord({ node: 'node1', id: 'x' }),
    } as const;
    const [deleted, published] = await Promise.all([
      call('DELETE', '/v1/tenants/blue'),
      store.commit([guard], [endpoint]),
    ]);
    // One of the two, never both.
    expect(deleted.status === 204).toBe(!published.committed);
  });
});

function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index}`);
}

function slices(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `10.129.${index * 4}.0/22`);
}
