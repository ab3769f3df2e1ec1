/** Watches over etcd when the network or etcd itself fails: nothing is lost, nothing comes twice, lost history is noticed. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { type FollowSink, follow } from '../../../controller/store/follow.ts';
import type { Store, Write } from '../../../controller/store/store.ts';
import { describeEvents, startWatching, type Watching } from '../../contract/store.ts';
import { compactEtcd, ETCD_START_MS, pidOf, startTestEtcd } from './etcd-fixture.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { UNTROUBLED } from './watcher.ts';

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  etcd = await startTestEtcd();
}, ETCD_START_MS);
afterAll(() => etcd.remove());

function openOn(endpoints: readonly string[], prefix: string): Store {
  const store = openEtcdStore({ endpoints, prefix });
  onTestFinished(() => store.close());
  return store;
}

/** A store behind a proxy, and one that reaches the same keys directly. */
async function openBehindProxy(): Promise<{ proxy: TcpProxy; store: Store; direct: Store }> {
  const proxy = await TcpProxy.open(etcd.etcdUrl);
  onTestFinished(() => proxy.close());
  const prefix = `/${randomUUID()}/`;
  return { proxy, store: openOn([proxy.url], prefix), direct: openOn([etcd.etcdUrl], prefix) };
}

const put = (key: string, value = 'v'): Write => ({ kind: 'put', key, value });

/** Fails unless the watch gave exactly the `count` events after `revision`, one a revision, in order. */
function expectEach({ batches }: Watching, revision: number, count: number): void {
  const revisions = describeEvents(batches).map((event) => Number(event.split('@')[1]));
  expect(revisions.length).toBe(count);
  expect(revisions.filter((seenAt, i) => seenAt !== revision + 1 + i)).toEqual([]);
}

test('a watch that catches up with 5000 events sees each once, cut again and again', { timeout: 240_000 }, async () => {
  const { proxy, store, direct } = await openBehindProxy();
  const { revision } = await direct.get('w');
  for (let i = 0; i < 5_000; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, j) => direct.commit([], [put(`w/${i + j}`, 'x'.repeat(500))])));
  await store.get('w');
  proxy.cutEvery(800_000); // etcd catches up by 1000 revisions a response, here 600 kB
  const { connections } = proxy;
  const watching = startWatching(store, 'w/', revision);
  await expect.poll(() => describeEvents(watching.batches).length, { timeout: 60_000 }).toBe(5_000);
  expectEach(watching, revision, 5_000);
  expect(proxy.connections - connections).toBeGreaterThanOrEqual(3);
});

test('a watch sees each of 2000 events once, in order, while its connection is cut again and again', {
  timeout: 120_000,
}, async () => {
  const { proxy, store, direct } = await openBehindProxy();
  const { revision } = await direct.get('w');
  const watching = startWatching(store, 'w/', revision);
  const seen = (): number => describeEvents(watching.batches).length;
  let cuts = 0;
  for (let i = 0; i < 200; i++) {
    const commits = Array.from({ length: 10 }, (_, j) => direct.commit([], [put(`w/${i}`, String(j))]));
    await Promise.all(commits);
    if (i % 20 !== 0) continue;
    // Back after the last cut; what follows this one is written while it is away.
    await expect.poll(() => proxy.connections).toBeGreaterThan(cuts);
    proxy.cut();
    cuts += 1;
  }
  await expect.poll(seen, { timeout: 60_000 }).toBe(2_000);
  expectEach(watching, revision, 2_000);
  expect(cuts).toBe(10);
});

test('a watch goes on after etcd was killed and started again', { timeout: 60_000 }, async () => {
  const store = openOn([etcd.etcdUrl], `/${randomUUID()}/`);
  const { revision } = await store.commit([], [put('k', '1')]);
  const watching = startWatching(store, '', revision);
  const killed = pidOf(etcd);
  await store.commit([], [put('k', '2')]);
  process.kill(killed, 'SIGKILL');
  await expect.poll(() => etcd.pid !== undefined && etcd.pid !== killed).toBe(true);
  const answers = (): Promise<boolean> =>
    store.get('k').then(
      () => true,
      () => false,
    );
  await expect.poll(answers, { timeout: 30_000 }).toBe(true);
  const after = await store.commit([], [put('k', '3')]);
  const expected = [`put k=2@${revision + 1}`, `put k=3@${after.revision}`];
  await expect.poll(() => describeEvents(watching.batches)).toEqual(expected);
});

test('a follower whose history was compacted while it was cut off lists again, and forgets what was deleted', async () => {
  const { proxy, store, direct } = await openBehindProxy();
  await direct.commit([], [put('f/1'), put('f/2')]);
  const copies: string[][] = [];
  const sink: FollowSink = {
    snapshot: (entries) => void copies.push(entries.map(({ key }) => key)),
    events: () => undefined,
  };
  const abort = new AbortController();
  const following = follow(store, 'f/', sink, abort.signal, UNTROUBLED);
  onTestFinished(async () => {
    abort.abort();
    await following;
  });
  await expect.poll(() => copies.length).toBe(1);
  proxy.refuse();
  await direct.commit([], [{ kind: 'delete', key: 'f/1' }]);
  const { revision } = await direct.commit([], [put('f/3')]);
  await compactEtcd(etcd, revision);
  proxy.allow();
  await expect
    .poll(() => copies)
    .toEqual([
      ['f/1', 'f/2'],
      ['f/2', 'f/3'],
    ]);
});
