/** Tenants by REST: reading, changing, growing and deleting them. */
import { describe, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { dump, putBlock, putEndpoint, removeEndpoint, startApp, until } from './fixture.ts';
import { appWithBlue, TINY } from './tenants-stage.ts';

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
