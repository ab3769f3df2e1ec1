/** Leases: in a real etcd kept alive, found dead, and given up in time; over an etcd that is made up, to the millisecond. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { EtcdLease } from '../../../controller/store/etcd-lease.ts';
import { type EtcdRpc, RpcError } from '../../../controller/store/etcd-rpc.ts';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import type { Lease, Store } from '../../../controller/store/store.ts';
import { startWatching } from '../../contract/store.ts';
import { callEtcd, ETCD_START_MS, startTestEtcd } from './etcd-fixture.ts';
import { TcpProxy } from './tcp-proxy.ts';

describe('in etcd', { timeout: 60_000 }, () => {
  let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

  beforeAll(async () => {
    etcd = await startTestEtcd();
  }, ETCD_START_MS);
  afterAll(() => etcd.remove());

  function openForTest(endpoints: readonly string[]): Store {
    const store = openEtcdStore({ endpoints });
    onTestFinished(() => store.close());
    return store;
  }

  /** Resolves when etcd's own clock has ended a lease of so many seconds that is granted now and that no client keeps alive. */
  async function untilExpired(store: Store, ttlSeconds: number): Promise<void> {
    const { ID: id } = (await callEtcd(etcd, 'lease/grant', { TTL: ttlSeconds })) as { readonly ID: string };
    const key = `unkept/${id}`;
    await store.commit([], [{ kind: 'put', key, value: 'v', lease: { id } as Lease }]);
    await expect.poll(async () => (await store.get(key)).entry, { timeout: 30_000 }).toBeUndefined();
  }

  test('a lease is kept alive for longer than its time to live', async () => {
    const store = openForTest([etcd.etcdUrl]);
    const lease = await store.lease(3);
    await store.commit([], [{ kind: 'put', key: 'live/a', value: '1', lease }]);
    await untilExpired(store, 3); // one that began later
    expect((await store.get('live/a')).entry).toBeDefined();
  });

  test('a lease that etcd revoked is lost when the next keepalive finds out, long before its time', async () => {
    const store = openForTest([etcd.etcdUrl]);
    const lease = await store.lease(10);
    await callEtcd(etcd, 'lease/revoke', { ID: lease.id });
    const lost = lease.lost.then(() => 'lost');
    expect(await Promise.race([lost, untilExpired(store, 5).then(() => '5 s have passed')])).toBe('lost');
  });

  test('a lease cut off is lost before etcd gives its keys up', async () => {
    const proxy = await TcpProxy.open(etcd.etcdUrl);
    onTestFinished(() => proxy.close());
    const store = openForTest([proxy.url]);
    const direct = openForTest([etcd.etcdUrl]);
    const lease = await store.lease(5);
    const { revision } = await store.commit([], [{ kind: 'put', key: 'live', value: 'v', lease }]);
    const watching = startWatching(direct, 'live', revision);
    proxy.refuse();
    await lease.lost;
    expect(watching.batches).toEqual([]);
    await expect.poll(() => watching.batches.length, { timeout: 30_000 }).toBe(1);
    expect((await direct.get('live')).entry).toBeUndefined();
  });
});

describe('over an etcd that is made up', () => {
  /** Answers of keepalives, one each: a time to live, never, or a failure. */
  type Answer = number | 'never' | 'refused' | { readonly ttl: number; readonly afterMs: number };

  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A lease of 10 s: when keepalives were sent and with how much time, and when it was lost. */
  async function granted(answer: (count: number) => Answer) {
    const startedMs = performance.now();
    const now = (): number => Math.round(performance.now() - startedMs);
    const sent: number[] = [];
    const timeouts: number[] = [];
    const rpc: Pick<EtcdRpc, 'grantLease' | 'keepAlive' | 'revokeLease'> = {
      grantLease: async (ttlSeconds) => ({ id: '1', ttlSeconds }),
      keepAlive: (_, timeoutMs) => {
        sent.push(now());
        timeouts.push(Math.round(timeoutMs));
        const what = answer(sent.length);
        if (what === 'never') return new Promise(() => undefined);
        if (what === 'refused') return Promise.reject(new RpcError('not-sent', 'made up'));
        if (typeof what === 'number') return Promise.resolve(what);
        return new Promise((resolve) => setTimeout(() => resolve(what.ttl), what.afterMs));
      },
      revokeLease: async () => undefined,
    };
    const lease = await EtcdLease.grant(rpc as EtcdRpc, 10);
    onTestFinished(() => lease.close());
    let lostMs: number | undefined;
    void lease.lost.then(() => {
      lostMs = now();
    });
    return { sent, timeouts, lostAt: () => lostMs };
  }

  test('keepalives are sent every fifth of its time', async () => {
    const { sent, lostAt } = await granted(() => 10);
    await vi.advanceTimersByTimeAsync(20_500);
    expect(sent).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20].map((seconds) => seconds * 1000));
    expect(lostAt()).toBeUndefined();
  });

  test('it is lost as soon as a keepalive finds it dead', async () => {
    const { lostAt } = await granted((count) => (count === 3 ? 0 : 10));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(lostAt()).toBe(6_000);
  });

  test.each<Answer>(['never', 'refused'])(
    'it is lost at 0.8 of its time when keepalives are %s answered',
    async (answer) => {
      const { sent, lostAt } = await granted((count) => (count === 1 ? 10 : answer));
      await vi.advanceTimersByTimeAsync(20_000);
      expect(lostAt()).toBe(10_000); // the one sent at 2 s was answered
      expect(sent.at(-1)).toBeLessThanOrEqual(10_000);
    },
  );

  test('a keepalive without an answer holds up none, and none is given more time than the lease is trusted for', async () => {
    const { sent, timeouts, lostAt } = await granted((count) => (count === 1 ? 'never' : 10));
    await vi.advanceTimersByTimeAsync(9_000);
    expect(sent).toEqual([2_000, 4_000, 6_000, 8_000]);
    expect(timeouts).toEqual([6_000, 4_000, 6_000, 6_000]);
    expect(lostAt()).toBeUndefined();
  });

  test('an answer counts from when its keepalive was sent, however late and out of order it comes', async () => {
    const answers: Answer[] = [
      { ttl: 10, afterMs: 5_500 },
      { ttl: 10, afterMs: 3_000 },
    ];
    const { lostAt } = await granted((count) => answers[count - 1] ?? 'never');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(lostAt()).toBe(12_000); // the second was sent at 4 s
  });
});
