/** Leases in a real etcd: kept alive, found dead, and given up in time when nobody answers. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { callEtcd, startTestEtcd } from './etcd-fixture.ts';
import { TcpProxy } from './tcp-proxy.ts';

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  etcd = await startTestEtcd();
});
afterAll(() => etcd.remove());

function openForTest(endpoints: readonly string[]): Store {
  const store = openEtcdStore({ endpoints });
  onTestFinished(() => store.close());
  return store;
}

test('a lease is kept alive for longer than its time to live', async () => {
  const store = openForTest([etcd.etcdUrl]);
  const lease = await store.lease(1);
  await store.commit([], [{ kind: 'put', key: 'live/a', value: '1', lease }]);
  const until = performance.now() + lease.ttlSeconds * 1000 + 500;
  await expect.poll(() => performance.now() > until, { timeout: 5_000 }).toBe(true);
  expect((await store.get('live/a')).entry).toBeDefined();
});

test('a lease that etcd revoked is lost at once when the next keepalive finds out', async () => {
  const store = openForTest([etcd.etcdUrl]);
  const lease = await store.lease(1);
  await callEtcd(etcd, 'lease/revoke', { ID: lease.id });
  const startedAt = performance.now();
  await lease.lost;
  expect(performance.now() - startedAt).toBeLessThan(700);
});

test('a lease cut off is lost at 0.8 of its time, before etcd gives its keys up', async () => {
  const proxy = await TcpProxy.open(etcd.etcdUrl);
  onTestFinished(() => proxy.close());
  const store = openForTest([proxy.url]);
  const direct = openForTest([etcd.etcdUrl]);
  const lease = await store.lease(2);
  await store.commit([], [{ kind: 'put', key: 'live', value: 'v', lease }]);
  proxy.refuse();
  const startedAt = performance.now();
  await lease.lost;
  const elapsedMs = performance.now() - startedAt;
  expect((await direct.get('live')).entry).toBeDefined();
  expect(elapsedMs).toBeGreaterThan(1_000);
  expect(elapsedMs).toBeLessThan(1_700);
  await expect.poll(async () => (await direct.get('live')).entry, { timeout: 4_000 }).toBeUndefined();
});
