/** Making tenants by REST: all of one or nothing. */
import { describe, expect, test } from 'vitest';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { dump, startApp } from './fixture.ts';
import { appWithBlue, names, slices, TINY } from './tenants-stage.ts';

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
