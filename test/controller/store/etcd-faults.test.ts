/** The etcd store when the network or etcd itself fails: what a caller may conclude, and that watches lose nothing. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { type FollowSink, follow } from '../../../controller/store/follow.ts';
import { IndeterminateCommit, type Store, type Write } from '../../../controller/store/store.ts';
import { describeEvents, startWatching } from '../../contract/store.ts';
import { compactEtcd, pidOf, startTestEtcd } from './etcd-fixture.ts';
import { TcpProxy } from './tcp-proxy.ts';

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  etcd = await startTestEtcd();
});
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

/** Milliseconds until `action` rejects, and with what. */
async function timeToReject(action: Promise<unknown>): Promise<{ error: unknown; elapsedMs: number }> {
  const startedAt = performance.now();
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { error, elapsedMs: performance.now() - startedAt };
}

describe('a write', () => {
  test('whose answer is lost with the connection is indeterminate, never a false "not committed"', async () => {
    const { proxy, store, direct } = await openBehindProxy();
    for (let i = 0; i < 10; i++) {
      const key = `k${i}`;
      await expect
        .poll(() =>
          store.get(key).then(
            () => true,
            () => false,
          ),
        )
        .toBe(true);
      proxy.swallowAnswers();
      const commit = timeToReject(store.commit([{ kind: 'absent', key }], [put(key)]));
      await expect.poll(async () => (await direct.get(key)).entry !== undefined).toBe(true);
      proxy.allow();
      expect((await commit).error).toBeInstanceOf(IndeterminateCommit);
    }
  });

  test('whose answer never comes is indeterminate after its deadline', async () => {
    const { proxy, store, direct } = await openBehindProxy();
    await store.get('k');
    proxy.swallowAnswers();
    const { error, elapsedMs } = await timeToReject(store.commit([], [put('k')]));
    expect(error).toBeInstanceOf(IndeterminateCommit);
    expect(elapsedMs).toBeLessThan(1_500);
    expect((await direct.get('k')).entry).toBeDefined();
  });

  test('is not sent again to another endpoint after that', async () => {
    const [a, b] = [await TcpProxy.open(etcd.etcdUrl), await TcpProxy.open(etcd.etcdUrl)];
    onTestFinished(async () => void (await Promise.all([a.close(), b.close()])));
    const prefix = `/${randomUUID()}/`;
    const store = openOn([a.url, b.url], prefix);
    await store.get('k');
    const { revision } = await openOn([etcd.etcdUrl], prefix).get('k');
    a.swallowAnswers();
    b.swallowAnswers();
    await expect(store.commit([], [put('k')])).rejects.toThrow(IndeterminateCommit);
    expect((await openOn([etcd.etcdUrl], prefix).get('k')).revision).toBe(revision + 1);
  });

  test('that nobody could be given is certainly not done, and goes to an endpoint that lives', async () => {
    const { proxy, store } = await openBehindProxy();
    await proxy.close();
    await expect(store.commit([], [put('k')])).rejects.toThrow(Unavailable);
    const prefix = `/${randomUUID()}/`;
    for (let i = 0; i < 5; i++)
      expect((await openOn([proxy.url, etcd.etcdUrl], prefix).commit([], [put('k')])).committed).toBe(true);
  });
});

test('an etcd that is stopped is unavailable within 1.5 s, and back at once when it goes on', async () => {
  const store = openOn([etcd.etcdUrl], `/${randomUUID()}/`);
  const { revision } = await store.commit([], [put('k')]);
  const watching = startWatching(store, '', revision);
  const pid = pidOf(etcd);
  process.kill(pid, 'SIGSTOP');
  try {
    const read = await timeToReject(store.get('k'));
    expect(read.error).toBeInstanceOf(Unavailable);
    expect(read.elapsedMs).toBeLessThan(1_500);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await expect
    .poll(() =>
      store.get('k').then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  await store.commit([], [put('k', '2')]);
  await expect.poll(() => describeEvents(watching.batches)).toEqual([`put k=2@${revision + 1}`]);
});

test('a lease cut off is lost at 0.8 of its time, before etcd gives its keys up', async () => {
  const { proxy, store, direct } = await openBehindProxy();
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

describe('a watch', () => {
  test('sees each of 5000 events once, in order, while its connection is cut again and again', async () => {
    const { proxy, store, direct } = await openBehindProxy();
    const { revision } = await direct.get('w');
    const watching = startWatching(store, 'w/', revision);
    const seen = (): number => describeEvents(watching.batches).length;
    let cuts = 0;
    for (let i = 0; i < 500; i++) {
      const commits = Array.from({ length: 10 }, (_, j) => direct.commit([], [put(`w/${i}`, String(j))]));
      await Promise.all(commits);
      if (i % 25 === 0 && proxy.connections > cuts) {
        proxy.cut();
        cuts += 1;
      }
    }
    await expect.poll(seen, { timeout: 5_000 }).toBe(5_000);
    const revisions = describeEvents(watching.batches).map((event) => Number(event.split('@')[1]));
    const missedOrRepeated = revisions.filter((seenAt, i) => seenAt !== revision + 1 + i);
    expect(missedOrRepeated).toEqual([]);
    expect(cuts).toBeGreaterThan(5);
  });

  test('goes on after etcd was killed and started again', async () => {
    const store = openOn([etcd.etcdUrl], `/${randomUUID()}/`);
    const { revision } = await store.commit([], [put('k', '1')]);
    const watching = startWatching(store, '', revision);
    const killed = pidOf(etcd);
    await store.commit([], [put('k', '2')]);
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => etcd.pid !== undefined && etcd.pid !== killed, { timeout: 5_000 }).toBe(true);
    await expect
      .poll(
        () =>
          store.get('k').then(
            () => true,
            () => false,
          ),
        { timeout: 5_000 },
      )
      .toBe(true);
    const after = await store.commit([], [put('k', '3')]);
    const expected = [`put k=2@${revision + 1}`, `put k=3@${after.revision}`];
    await expect.poll(() => describeEvents(watching.batches), { timeout: 5_000 }).toEqual(expected);
  });
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
  const following = follow(store, 'f/', sink, abort.signal);
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
    .poll(() => copies, { timeout: 5_000 })
    .toEqual([
      ['f/1', 'f/2'],
      ['f/2', 'f/3'],
    ]);
});
