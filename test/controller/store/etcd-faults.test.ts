/** The etcd store when the network or etcd itself fails: what a caller may conclude about writes and reads. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { IndeterminateCommit, type Store, type Write } from '../../../controller/store/store.ts';
import { describeEvents, startWatching } from '../../contract/store.ts';
import { pidOf, startTestEtcd } from './etcd-fixture.ts';
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

/** States of a process's threads, each once. @see proc(5), /proc/pid/stat */
function threadStates(pid: number): string[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const states = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8').replace(/^.*\) /, '')[0]);
  return [...new Set(states.map(String))];
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
    // Its threads stop one by one, and one that goes on may still answer.
    await expect.poll(() => threadStates(pid)).toEqual(['T']);
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
