/** Policies by REST: their quota, what they go with, and wait=enforced. */
import { describe, expect, test } from 'vitest';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Enforced } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Store } from '../../../controller/store/store.ts';
import { dump, putBlock, putNode, startApp, type TestApp, until } from './fixture.ts';
import { appWithTenants, path, spec } from './policies-stage.ts';

describe('a quota of policies', () => {
  const policiesOf = async (store: Store, tenant = 'blue') =>
    Object.keys(await dump(store)).filter((key) => key.startsWith(keys.policies(tenant)));
  const putMany = async (apps: readonly TestApp[], count: number) =>
    await Promise.all(
      Array.from({ length: count }, (_, index) =>
        apps[index % apps.length]?.call('PUT', path.replace('web', `p${index}`), {}),
      ),
    );

  test('counts all of the tenant’s namespaces, and not what is replaced', async () => {
    const { call, store } = await appWithTenants();
    await call('PUT', '/v1/tenants/blue/namespaces/shop', {});
    await call('PATCH', '/v1/tenants/blue', { quota: { policies: 2 } });
    expect((await call('PUT', path, {})).status).toBe(201);
    expect((await call('PUT', '/v1/tenants/blue/namespaces/shop/policies/web', {})).status).toBe(201);
    expect(await call('PUT', path.replace('web', 'more'), {})).toMatchObject({
      status: 409,
      body: { code: 'quota_exceeded', errors: [{ field: 'quota.policies' }] },
    });
    expect((await call('PUT', path, spec)).status).toBe(200);
    expect((await call('PUT', path.replaceAll('blue', 'red'), {})).status).toBe(201);
    await call('DELETE', path);
    expect((await call('PUT', path.replace('web', 'more'), {})).status).toBe(201);
    expect(await policiesOf(store)).toEqual(['policies/blue/blue/more', 'policies/blue/shop/web']);
  });

  test('of none is none', async () => {
    const { call } = await appWithTenants();
    await call('PATCH', '/v1/tenants/blue', { quota: { policies: 0 } });
    expect((await call('PUT', path, {})).body.code).toBe('quota_exceeded');
  });

  test('is kept by two controllers that are asked for many at once', async () => {
    const app = await appWithTenants();
    const other = await startApp({ store: app.memory });
    await app.call('PATCH', '/v1/tenants/blue', { quota: { policies: 7 } });
    const answers = await putMany([app, other], 60);
    expect(answers.filter((answer) => answer?.status === 201)).toHaveLength(7);
    expect(answers.filter((answer) => answer?.body.code === 'quota_exceeded')).toHaveLength(53);
    expect(await policiesOf(app.store)).toHaveLength(7);
  });

  test('is kept when another controller makes one between counting and writing', async () => {
    const { call, memory } = await appWithTenants();
    const other = await startApp({ store: memory });
    await call('PATCH', '/v1/tenants/blue', { quota: { policies: 1 } });
    memory.beforeCommit = async () =>
      expect((await other.call('PUT', path.replace('web', 'first'), {})).status).toBe(201);
    expect((await call('PUT', path, {})).body.code).toBe('quota_exceeded');
    expect(await policiesOf(memory)).toEqual(['policies/blue/blue/first']);
  });

  test('is kept when it is set just before writing', async () => {
    const { call, memory } = await appWithTenants();
    memory.beforeCommit = () => call('PATCH', '/v1/tenants/blue', { quota: { policies: 0 } });
    expect((await call('PUT', path, {})).body.code).toBe('quota_exceeded');
    expect(await policiesOf(memory)).toEqual([]);
  });

  test('set while some are being made is not exceeded by those that come after it', async () => {
    const app = await appWithTenants();
    const [, set] = await Promise.all([
      putMany([app], 10),
      app.call('PATCH', '/v1/tenants/blue', { quota: { policies: 3 } }),
    ]);
    const { entries } = await app.store.list(keys.policies('blue'));
    const after = entries.filter(({ modRevision }) => modRevision > (set.body.revision ?? 0));
    expect(set.status).toBe(200);
    expect(after.length === 0 || entries.length <= 3).toBe(true);
  });
});

describe('go with', () => {
  const policiesIn = async (store: Store) =>
    Object.keys(await dump(store)).filter((key) => key.startsWith('policies/') || key.startsWith('policy-turns/'));
  const shop = '/v1/tenants/blue/namespaces/shop';

  test('their namespace, and no other’s', async () => {
    const { call, store } = await appWithTenants();
    for (const name of ['shop', 'shop-test']) {
      await call('PUT', `/v1/tenants/blue/namespaces/${name}`, {});
      expect((await call('PUT', `/v1/tenants/blue/namespaces/${name}/policies/web`, {})).status).toBe(201);
    }
    expect((await call('DELETE', shop)).status).toBe(204);
    expect(await policiesIn(store)).toEqual(['policies/blue/shop-test/web']);
  });

  test('their tenant, and with them that they were counted', async () => {
    const { call, store } = await appWithTenants();
    await call('PATCH', '/v1/tenants/blue', { quota: { policies: 9 } });
    await call('PUT', path, {});
    await call('PUT', path.replaceAll('blue', 'red'), {});
    expect(await policiesIn(store)).toContain('policy-turns/blue');
    expect((await call('DELETE', '/v1/tenants/blue')).status).toBe(204);
    expect(await policiesIn(store)).toEqual(['policies/red/red/web']);
    await call('POST', '/v1/tenants', { name: 'blue' });
    expect((await call('GET', '/v1/tenants/blue/policies')).body.items).toEqual([]);
  });

  test.each([
    ['namespace', shop],
    ['tenant', '/v1/tenants/blue'],
  ])('a %s that goes just before one is written', async (_, gone) => {
    const { call, memory } = await appWithTenants();
    await call('PUT', shop, {});
    memory.beforeCommit = async () => expect((await call('DELETE', gone)).status).toBe(204);
    expect(await call('PUT', `${shop}/policies/web`, {})).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await policiesIn(memory)).toEqual([]);
  });

  test('nor does one that is written late come to a later tenant of the name', async () => {
    const { call, memory } = await appWithTenants();
    await call('PUT', shop, {});
    memory.beforeCommit = async () => {
      expect((await call('DELETE', '/v1/tenants/blue')).status).toBe(204);
      expect((await call('POST', '/v1/tenants', { name: 'blue' })).status).toBe(201);
    };
    expect((await call('PUT', `${shop}/policies/web`, {})).status).toBe(404);
    expect(await policiesIn(memory)).toEqual([]);
  });

  test.each([
    ['namespace', shop],
    ['tenant', '/v1/tenants/blue'],
  ])('a %s that goes while they are made, by whichever controller', async (_, gone) => {
    for (let round = 0; round < 5; round++) {
      const { call, store, memory } = await appWithTenants();
      const other = await startApp({ store: memory });
      await call('PUT', shop, {});
      const [deleted, ...made] = await Promise.all([
        call('DELETE', gone),
        ...['a', 'b', 'c'].map((name) => other.call('PUT', `${shop}/policies/${name}`, {})),
      ]);
      expect(deleted.status).toBe(204);
      for (const { status } of made) expect([201, 404, 409]).toContain(status);
      expect(await policiesIn(store)).toEqual([]);
    }
  });
});

describe('with wait=enforced', () => {
  const WAIT = 'wait=enforced&timeout=20s';
  const say = async (store: Store, revision: number) => {
    const record: Enforced = {
      at: '2026-11-24T11:00:00.000Z',
      history: BIRTH,
      tenants: { blue: { tenant: 0, namespaces: 0, peerings: 0, policies: revision } },
    };
    await store.commit([], [{ kind: 'put', key: keys.enforced('node1'), value: formatRecord(record) }]);
  };

  test.each(['PUT', 'DELETE'])('a %s answers when each node with something of the tenant has it', async (method) => {
    const { call, memory } = await appWithTenants();
    await putNode(memory, 'node1');
    await putBlock(memory, 'blue', '10.128.8.0/27', 'node1');
    if (method === 'DELETE') await call('PUT', path, {});
    const key = keys.policy('blue', 'blue', 'web');
    const before = (await memory.get(key)).entry?.modRevision;
    let isThere = false;
    const answer = call(method, `${path}?${WAIT}`, method === 'PUT' ? {} : undefined).then((result) => {
      isThere = true;
      return result;
    });
    await until('written', async () => (await memory.get(key)).entry?.modRevision !== before);
    const { revision } = await memory.get(key);
    await say(memory, revision - 1);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(isThere).toBe(false);
    await say(memory, revision);
    expect(await answer).toMatchObject({
      status: method === 'PUT' ? 201 : 200,
      body: { status: { enforced: true, nodes: [{ node: 'node1' }] } },
    });
  });

  test('one that nodes do not take is written all the same, and says so', async () => {
    const { call, memory } = await appWithTenants();
    await putNode(memory, 'node1');
    await putBlock(memory, 'blue', '10.128.8.0/27', 'node1');
    const late = await call('PUT', `${path}?wait=enforced&timeout=20ms`, {});
    expect(late).toMatchObject({ status: 202, body: { status: { enforced: false, lagging: ['node1'] } } });
    expect((await call('GET', path)).body.revision).toBe(late.body.revision);
  });
});
