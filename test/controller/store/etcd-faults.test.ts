/** The etcd store when the network or etcd itself fails: what a caller may conclude about writes and reads. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { IndeterminateCommit, type Store, type Write } from '../../../controller/store/store.ts';
import { describeEvents, startWatching } from '../../contract/store.ts';
import { ETCD_START_MS, pidOf, startTestEtcd } from './etcd-fixture.ts';
import { TcpProxy } from './tcp-proxy.ts';

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

beforeAll(async () => {
  etcd = await startTestEtcd();
}, ETCD_START_MS);
afterAll(() => etcd.remove());

function openOn(endpoints: readonly string[], prefix: string, timeoutMs?: number): Store {
  const store = openEtcdStore({ endpoints, prefix, ...(timeoutMs !== undefined && { timeoutMs }) });
  onTestFinished(() => store.close());
  return store;
}

/** A store behind a proxy, and one that reaches the same keys directly. */
async function openBehindProxy(timeoutMs?: number): Promise<{ proxy: TcpProxy; store: Store; direct: Store }> {
  const proxy = await TcpProxy.open(etcd.etcdUrl);
  onTestFinished(() => proxy.close());
  const prefix = `/${randomUUID()}/`;
  return { proxy, store: openOn([proxy.url], prefix, timeoutMs), direct: openOn([etcd.etcdUrl], prefix) };
}

const put = (key: string, value = 'v'): Write => ({ kind: 'put', key, value });

/** With what `action` rejects. */
function rejectionOf(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

function answers(store: Store): Promise<boolean> {
  return store.get('k').then(
    () => true,
    () => false,
  );
}

/** States of a process's threads, each once. @see proc(5), /proc/pid/stat */
function threadStates(pid: number): string[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const states = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8').replace(/^.*\) /, '')[0]);
  return [...new Set(states.map(String))];
}

/** More than a test has: whatever is answered was not waited for so long. */
const FOR_EVER_MS = 600_000;

test('an etcd to which there is no connection is away, and the error says where and why, at once', async () => {
  const { proxy } = await openBehindProxy();
  await proxy.close();
  const { host } = new URL(proxy.url);
  const message = `etcd is away: ${proxy.url}: connect ECONNREFUSED ${host}`;
  const store = openOn([proxy.url], '/', FOR_EVER_MS);
  const expected = { code: 'unavailable', message };
  await expect(store.get('k')).rejects.toMatchObject(expected);
  await expect(store.commit([], [put('k')])).rejects.toMatchObject(expected);
  await expect(store.lease(3)).rejects.toMatchObject(expected);
});

describe('an endpoint that is silent', () => {
  test.each(['from the beginning', 'after it has answered'])('%s keeps no call from the next', async (when) => {
    const proxy = await TcpProxy.open(etcd.etcdUrl);
    onTestFinished(() => proxy.close());
    const prefix = `/${randomUUID()}/`;
    // Each starts with one of the two by chance.
    const stores = Array.from({ length: 6 }, () => openOn([proxy.url, etcd.etcdUrl], prefix, FOR_EVER_MS));
    if (when === 'after it has answered') await Promise.all(stores.map((store) => store.get('k')));
    proxy.swallowAnswers();
    const results = await Promise.all(
      stores.map(async (store, i) => {
        await store.get('k');
        const lease = await store.lease(10);
        return await store.commit(
          [{ kind: 'absent', key: `k${i}` }],
          [{ kind: 'put', key: `k${i}`, value: 'v', lease }],
        );
      }),
    );
    expect(results.filter(({ committed }) => committed)).toHaveLength(stores.length);
  });
});

describe('a write', () => {
  test('whose answer is lost with the connection is indeterminate, never a false "not committed"', async () => {
    const { proxy, store, direct } = await openBehindProxy();
    for (let i = 0; i < 10; i++) {
      const key = `k${i}`;
      await expect.poll(() => answers(store)).toBe(true);
      proxy.swallowAnswers();
      const commit = rejectionOf(store.commit([{ kind: 'absent', key }], [put(key)]));
      await expect.poll(async () => (await direct.get(key)).entry !== undefined).toBe(true);
      proxy.allow();
      expect(await commit).toBeInstanceOf(IndeterminateCommit);
    }
  });

  test('whose answer never comes is indeterminate after its deadline', async () => {
    const { proxy, store, direct } = await openBehindProxy(3_000);
    await store.get('k');
    proxy.swallowAnswers();
    const error = await rejectionOf(store.commit([], [put('k')]));
    expect(error).toBeInstanceOf(IndeterminateCommit);
    expect(error).toMatchObject({ message: expect.stringMatching(/: etcd is slow: .* did not answer within \S+ s$/) });
    expect((await direct.get('k')).entry).toBeDefined();
  });

  test('is not sent again to another endpoint after that', { timeout: 60_000 }, async () => {
    const [a, b] = [await TcpProxy.open(etcd.etcdUrl), await TcpProxy.open(etcd.etcdUrl)];
    onTestFinished(async () => void (await Promise.all([a.close(), b.close()])));
    const prefix = `/${randomUUID()}/`;
    const store = openOn([a.url, b.url], prefix, 1_500);
    const direct = openOn([etcd.etcdUrl], prefix);
    let revision = 0;
    let error: unknown;
    // One that comes more than a second after an answer is not sent at all.
    while (!(error instanceof IndeterminateCommit)) {
      a.allow();
      b.allow();
      revision = (await direct.get('k')).revision;
      await expect.poll(() => answers(store)).toBe(true);
      a.swallowAnswers();
      b.swallowAnswers();
      error = await rejectionOf(store.commit([], [put('k')]));
      expect(error).toBeDefined();
    }
    expect((await direct.get('k')).revision).toBe(revision + 1);
  });

  test('that no endpoint could be given is certainly not done, and goes to an endpoint that lives', async () => {
    const { proxy, store } = await openBehindProxy();
    await proxy.close();
    await expect(store.commit([], [put('k')])).rejects.toThrow(Unavailable);
    const prefix = `/${randomUUID()}/`;
    for (let i = 0; i < 5; i++)
      expect((await openOn([proxy.url, etcd.etcdUrl], prefix).commit([], [put('k')])).committed).toBe(true);
  });
});

test('an etcd that is stopped is slow, and back when it goes on', { timeout: 60_000 }, async () => {
  const store = openOn([etcd.etcdUrl], `/${randomUUID()}/`, 2_000);
  const { revision } = await store.commit([], [put('k')]);
  const watching = startWatching(store, '', revision);
  const pid = pidOf(etcd);
  process.kill(pid, 'SIGSTOP');
  try {
    // Its threads stop one by one, and one that goes on may still answer.
    await expect.poll(() => threadStates(pid)).toEqual(['T']);
    const error = await rejectionOf(store.get('k'));
    expect(error).toBeInstanceOf(Unavailable);
    expect(error).toMatchObject({
      message: expect.stringMatching(`^etcd is slow: ${etcd.etcdUrl} did not answer within \\S+ s$`),
    });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await expect.poll(() => answers(store)).toBe(true);
  await store.commit([], [put('k', '2')]);
  await expect.poll(() => describeEvents(watching.batches)).toEqual([`put k=2@${revision + 1}`]);
});
