/**
 * Records that cannot be read, over REST: a request that needs one names it, a list goes on without it, and the problem is over when the
 * record is mended or gone, whatever mended it.
 */
import { describe, expect, test } from 'vitest';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { putBlock, putEndpoint, putNode, startApp } from './fixture.ts';

const ODD = '{"schema":99,"secret":"x"}';
const told = async ({ call }: Pick<App, 'call'>) =>
  (await call('GET', '/v1/cluster/problems')).body.items?.map(({ kind, about }) => `${kind} ${about}`);
const put = (store: Store, key: string, value: string) => store.commit([], [{ kind: 'put', key, value }]);

type App = Awaited<ReturnType<typeof wholeApp>>;

async function wholeApp() {
  const app = await startApp({ store: new MemoryStore() });
  for (const name of ['blue', 'green']) expect((await app.call('POST', '/v1/tenants', { name })).status).toBe(201);
  await app.call('PUT', '/v1/tenants/blue/namespaces/shop', {});
  await app.call('PUT', '/v1/tenants/blue/namespaces/blue/policies/deny', { podSelector: {} });
  await app.call('PUT', '/v1/tenants/blue/peerings/green', {});
  await putNode(app.store, 'node1', { live: false });
  await putBlock(app.store, 'blue', '10.128.4.0/26');
  await putEndpoint(app.store);
  return app;
}

/** Everything that REST reads by its name. */
const SINGLE: readonly (readonly [path: string, key: string])[] = [
  ['/v1/cluster', keys.cluster],
  ['/v1/tenants/blue', keys.tenant('blue')],
  ['/v1/tenants/blue/namespaces/shop', keys.namespace('blue', 'shop')],
  ['/v1/tenants/blue/namespaces/blue/policies/deny', keys.policy('blue', 'blue', 'deny')],
  ['/v1/tenants/blue/peerings/green', keys.peering('blue', 'green')],
  ['/v1/tenants/blue/endpoints/3f9c01ab77d2', keys.endpoint('blue', 'node1', '3f9c01ab77d2')],
  ['/v1/nodes/node1', keys.node('node1')],
];

describe('read by its name', () => {
  test.each(SINGLE)('%s names the record and the reason', async (path, key) => {
    const { call, store } = await wholeApp();
    expect((await call('GET', path)).status).toBe(200);
    const good = (await store.get(key)).entry?.value ?? '';
    await put(store, key, ODD);
    const answer = await call('GET', path);
    expect(answer).toMatchObject({ status: 500, body: { code: 'record_unreadable' } });
    expect(answer.body.detail).toMatch(new RegExp(`^the record ${key}: has schema 99, this version reads `));
    expect(JSON.stringify(answer.body)).not.toContain('secret');
    await put(store, key, good);
    expect((await call('GET', path)).status).toBe(200);
  });
});

describe('in the way of a write', () => {
  const objects = [
    ['/v1/tenants/blue/namespaces/shop', keys.namespace('blue', 'shop')],
    ['/v1/tenants/blue/namespaces/blue/policies/deny', keys.policy('blue', 'blue', 'deny')],
    ['/v1/tenants/blue/peerings/green', keys.peering('blue', 'green')],
  ] as const;

  test.each(objects)('PUT %s writes it again', async (path, key) => {
    const { call, store } = await wholeApp();
    await put(store, key, ODD);
    const body = path.includes('policies') ? { podSelector: {} } : {};
    expect((await call('PUT', path, body)).status).toBe(200);
    expect((await call('GET', path)).status).toBe(200);
  });

  test.each([...objects, ['/v1/nodes/node1', keys.node('node1')] as const])(
    'DELETE %s takes it away',
    async (path, key) => {
      const { call, store } = await wholeApp();
      await put(store, key, ODD);
      expect((await call('DELETE', path)).status).toBe(204);
      expect((await store.get(key)).entry).toBeUndefined();
      expect((await call('GET', path)).status).toBe(404);
    },
  );

  test('of a tenant is left alone: what it has is not known', async () => {
    const { call, store } = await wholeApp();
    await put(store, keys.tenant('green'), ODD);
    for (const [method, body] of [['PATCH', { labels: {} }], ['DELETE']] as const)
      expect(await call(method, '/v1/tenants/green', body)).toMatchObject({ body: { code: 'record_unreadable' } });
    expect((await store.get(keys.tenant('green'))).entry?.value).toBe(ODD);
  });
});

describe('noticed by a list', () => {
  const list = '/v1/tenants/blue/namespaces/blue/policies';
  const key = keys.policy('blue', 'blue', 'deny');
  test.each([
    ['deleted by REST', (app: App) => app.call('DELETE', `${list}/deny`)],
    ['written by REST', (app: App) => app.call('PUT', `${list}/deny`, { podSelector: {} })],
    ['deleted by hand', (app: App) => app.store.commit([], [{ kind: 'delete', key }])],
  ] as const)('is a problem until it is %s', async (_, mend) => {
    const app = await wholeApp();
    await put(app.store, key, ODD);
    expect((await app.call('GET', list)).body.items).toEqual([]);
    expect(await told(app)).toEqual([`record_unreadable ${key}`]);
    expect((await app.call('GET', '/metrics')).body.text).toContain('tenet_problems{kind="record_unreadable"');
    await mend(app);
    expect(await told(app)).toEqual([]);
    expect((await app.call('GET', '/metrics')).body.text).not.toContain('tenet_problems{kind="record_unreadable"');
  });
});

test('what a node says it refused and counted is a problem once it is asked for, until it is gone', async () => {
  const app = await wholeApp();
  const odd = [keys.nodeDenials('blue', 'node1'), keys.traffic('node1')];
  for (const key of odd) await put(app.store, key, ODD);
  expect(await told(app)).toEqual([]);
  expect((await app.call('GET', '/v1/tenants/blue/denials')).body.items).toEqual([]);
  expect((await app.call('GET', '/metrics')).status).toBe(200);
  expect(await told(app)).toEqual(odd.map((key) => `record_unreadable ${key}`));
  for (const key of odd) await app.store.commit([], [{ kind: 'delete', key }]);
  expect(await told(app)).toEqual([]);
});
