/** Elections: one leader at a time, whatever breaks; a leader that was replaced can write nothing. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { campaign, type LeaderGuard } from '../../../controller/upkeep/election.ts';
import { ETCD_START_MS, startTestEtcd } from '../store/etcd-fixture.ts';
import { TcpProxy } from '../store/tcp-proxy.ts';
import { UNTROUBLED } from '../store/watcher.ts';

/** Who leads now, who led, and with which guard; shared by the candidates of a test. */
class Record {
  readonly leading = new Set<string>();
  readonly history: string[] = [];
  readonly guards: LeaderGuard[] = [];
  most = 0;
}

/** Lets a candidate stand until the test ends, or `abort` is called. */
function stand(store: Store, name: string, record: Record): { abort(): void; readonly done: Promise<void> } {
  const abort = new AbortController();
  const onElected = async (signal: AbortSignal, guard: LeaderGuard): Promise<void> => {
    record.leading.add(name);
    record.history.push(name);
    record.guards.push(guard);
    record.most = Math.max(record.most, record.leading.size);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve());
    });
    record.leading.delete(name);
  };
  const done = campaign(store, name, onElected, abort.signal, UNTROUBLED, { ttlSeconds: 3 });
  onTestFinished(async () => {
    abort.abort();
    await done;
  });
  return { abort: () => abort.abort(), done };
}

describe('on the fake store', () => {
  test('one of many leads; when it resigns another follows', async () => {
    const store = new MemoryStore();
    const record = new Record();
    const candidates = new Map(['a', 'b', 'c'].map((name) => [name, stand(store, name, record)]));
    for (let round = 1; round <= 3; round++) {
      await expect.poll(() => record.history.length).toBe(round);
      const leader = record.history.at(-1) ?? '';
      expect(record.leading).toEqual(new Set([leader]));
      candidates.get(leader)?.abort();
      await candidates.get(leader)?.done;
    }
    expect(new Set(record.history).size).toBe(3);
    expect(record.most).toBe(1);
    expect((await store.get(keys.leader)).entry).toBeUndefined();
  });

  test('a leader whose creation was not confirmed recognises its own key', async () => {
    const store = new MemoryStore();
    store.failNext('indeterminate-applied');
    const record = new Record();
    stand(store, 'a', record);
    await expect.poll(() => record.history).toEqual(['a']);
    const { entry } = await store.get(keys.leader);
    expect(record.guards[0]).toEqual({
      kind: 'sameIncarnation',
      key: keys.leader,
      createRevision: entry?.createRevision,
    });
  });

  test('a creation that did not happen is tried again', async () => {
    const store = new MemoryStore();
    store.failNext('indeterminate-not-applied');
    store.failNext('unavailable', 'lease');
    const record = new Record();
    stand(store, 'a', record);
    await expect.poll(() => record.history).toEqual(['a']);
  });

  test('a leader whose key is deleted steps down, and its guard no longer holds', async () => {
    const store = new MemoryStore();
    const record = new Record();
    stand(store, 'a', record);
    await expect.poll(() => record.history.length).toBe(1);
    await store.commit([], [{ kind: 'delete', key: keys.leader }]);
    await expect.poll(() => record.history.length).toBe(2);
    const [old, now] = record.guards;
    const write = { kind: 'put', key: 'k', value: 'v' } as const;
    expect((await store.commit(old ? [old] : [], [write])).committed).toBe(false);
    expect((await store.commit(now ? [now] : [], [write])).committed).toBe(true);
  });

  test('a leader is not troubled by compaction', async () => {
    const store = new MemoryStore();
    const record = new Record();
    stand(store, 'a', record);
    await expect.poll(() => record.history.length).toBe(1);
    const { revision } = await store.commit([], [{ kind: 'put', key: 'k', value: 'v' }]);
    store.compact(revision);
    await store.commit([], [{ kind: 'put', key: 'k', value: '2' }]);
    expect(record.leading).toEqual(new Set(['a']));
  });

  test('a bug in the leader’s work ends the campaign and gives the key up', async () => {
    const store = new MemoryStore();
    const bug = async (): Promise<void> => {
      throw new TypeError('a bug');
    };
    await expect(campaign(store, 'a', bug, new AbortController().signal, UNTROUBLED)).rejects.toThrow('a bug');
    expect((await store.get(keys.leader)).entry).toBeUndefined();
  });
});

describe('on etcd', () => {
  let etcd: Awaited<ReturnType<typeof startTestEtcd>>;
  beforeAll(async () => {
    etcd = await startTestEtcd();
  }, ETCD_START_MS);
  afterAll(() => etcd.remove());

  test('a leader that is cut off steps down before the next one leads', async () => {
    const record = new Record();
    const proxies = new Map<string, TcpProxy>();
    for (const name of ['a', 'b']) {
      const proxy = await TcpProxy.open(etcd.etcdUrl);
      const store = openEtcdStore({ endpoints: [proxy.url] });
      onTestFinished(async () => {
        await store.close();
        await proxy.close();
      });
      proxies.set(name, proxy);
      stand(store, name, record);
    }
    for (let round = 1; round <= 2; round++) {
      await expect.poll(() => record.history.length, { timeout: 30_000 }).toBe(round);
      const leader = record.history.at(-1) ?? '';
      if (round === 1) proxies.get(leader)?.refuse();
      else proxies.get(leader)?.swallowAnswers();
      await expect.poll(() => record.leading.has(leader), { timeout: 30_000 }).toBe(false);
      for (const [name, proxy] of proxies) if (name !== leader) proxy.allow();
    }
    await expect.poll(() => record.history.length, { timeout: 30_000 }).toBe(3);
    expect(record.most).toBe(1);
    for (const proxy of proxies.values()) proxy.allow();
  }, 120_000);
});
