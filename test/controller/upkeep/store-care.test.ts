/** The store is looked after: it is warned of before it is full, it is not called ready while it refuses writes, and its history ends. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createMetrics } from '../../../controller/api/metrics.ts';
import { Unavailable } from '../../../controller/errors.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import { Registry } from '../../../controller/operations/registry.ts';
import { openEtcdKeeper, openEtcdStore } from '../../../controller/store/etcd-store.ts';
import type { StoreKeeper, StoreState } from '../../../controller/store/keeper.ts';
import { isAway, StoreRefusal } from '../../../controller/store/store.ts';
import { keepCompacted, watchStore } from '../../../controller/upkeep/store-care.ts';
import { callEtcd, compactEtcd, ETCD_START_MS, startTestEtcd } from '../store/etcd-fixture.ts';

const MIB = 1024 ** 2;

/** A keeper that says what a test says, and remembers what it was told to drop. */
class SaidKeeper implements StoreKeeper {
  state: StoreState = { revision: 1, members: [], alarms: [] };
  error: Error | undefined;
  compacted = 0;
  looks = 0;
  readonly dropped: number[] = [];

  async look(): Promise<StoreState> {
    this.looks++;
    if (this.error !== undefined) throw this.error;
    return this.state;
  }
  async isCompacted(revision: number): Promise<boolean> {
    return revision < this.compacted;
  }
  async compact(revision: number): Promise<void> {
    this.dropped.push(revision);
    this.compacted = revision;
  }
  close(): void {}
}

const bookOf = () => new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
const full = (fileBytes: number): StoreState['members'] => [
  { endpoint: 'http://etcd1:2379', fileBytes, usedBytes: 1, quotaBytes: 100 * MIB },
];

describe('what the store says', () => {
  async function look(state: Partial<StoreState>) {
    const keeper = new SaidKeeper();
    const book = bookOf();
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const set = async (next: Partial<StoreState>) => {
      keeper.state = { ...keeper.state, ...next };
      const { looks } = keeper;
      await expect.poll(() => keeper.looks).toBeGreaterThan(looks + 1);
      return book.all().map(({ kind, about, text }) => `${kind} ${about}: ${text}`);
    };
    void watchStore({ keeper, book, everyMs: 1 }, abort.signal);
    return { keeper, set, found: await set(state) };
  }

  test('is no problem while it has room', async () => {
    expect((await look({ members: full(74 * MIB) })).found).toEqual([]);
  });

  test('is warned of before it is full, in steps, until there is room again', async () => {
    const { found, set } = await look({ members: full(76 * MIB) });
    expect(found).toEqual(['store_filling etcd http://etcd1:2379: its file has reached 75 % of its quota of 100 MiB']);
    expect(await set({ members: full(79 * MIB) })).toEqual(found);
    expect((await set({ members: full(91 * MIB) }))[0]).toContain('90 %');
    expect(await set({ members: full(10 * MIB) })).toEqual([]);
  });

  test('stays as it was found last while the store is away', async () => {
    const { keeper, set } = await look({ alarms: ['NOSPACE'] });
    keeper.error = new Unavailable('etcd', 'away');
    expect(await set({})).toEqual([expect.stringContaining('store_full alarm NOSPACE')]);
  });
});

describe('history', () => {
  async function keep(keeper: SaidKeeper) {
    const abort = new AbortController();
    let atMs = 0;
    const log = { info: () => undefined };
    const ended = keepCompacted(
      { keeper, book: bookOf(), log, keepMs: 1_000, everyMs: 1, nowMs: () => atMs },
      abort.signal,
    );
    onTestFinished(async () => {
      abort.abort();
      await ended;
    });
    return async (nowMs: number, revision: number) => {
      atMs = nowMs;
      keeper.state = { ...keeper.state, revision };
      const { looks } = keeper;
      await expect.poll(() => keeper.looks).toBeGreaterThan(looks + 2);
    };
  }

  test('ends where it was a while ago, no later', async () => {
    const keeper = new SaidKeeper();
    const at = await keep(keeper);
    await at(0, 100);
    await at(999, 200);
    expect(keeper.dropped).toEqual([]);
    await at(1_000, 300);
    expect(keeper.dropped).toEqual([100]);
    await at(1_999, 400);
    expect(keeper.dropped.at(-1)).toBe(200);
  });

  test('is none of the revisions that a store has lost which was put back to an older copy', async () => {
    const keeper = new SaidKeeper();
    const at = await keep(keeper);
    await at(0, 100);
    await at(500, 10);
    await at(1_000, 20);
    expect(keeper.dropped).toEqual([]);
    await at(1_500, 30);
    expect(keeper.dropped).toEqual([10]);
  });

  test('is left to another program that ends it', async () => {
    const keeper = new SaidKeeper();
    const at = await keep(keeper);
    await at(0, 100);
    keeper.compacted = 250;
    await at(1_000, 300);
    await at(1_500, 301);
    expect(keeper.dropped).toEqual([]);
  });
});

describe('of a real etcd', () => {
  let etcd: Awaited<ReturnType<typeof startTestEtcd>>;

  beforeAll(async () => {
    etcd = await startTestEtcd({ quotaBytes: 20 * MIB });
  }, ETCD_START_MS);
  afterAll(() => etcd.remove());

  test('the size, the quota and the end of history are read, and history is dropped', async () => {
    const store = openEtcdStore({ endpoints: [etcd.etcdUrl] });
    const keeper = openEtcdKeeper({ endpoints: [etcd.etcdUrl] });
    onTestFinished(async () => {
      keeper.close();
      await store.close();
    });
    for (let i = 0; i < 9; i++) await store.commit([], [{ kind: 'put', key: 'k', value: `${i}` }]);
    const { revision, members, alarms } = await keeper.look();
    expect(alarms).toEqual([]);
    expect(members).toMatchObject([{ endpoint: etcd.etcdUrl, quotaBytes: 20 * MIB }]);
    expect(members[0]?.fileBytes).toBeGreaterThanOrEqual(members[0]?.usedBytes ?? Number.NaN);
    expect((await store.get('k')).revision).toBe(revision);
    expect(await keeper.isCompacted(revision - 1)).toBe(false);
    await keeper.compact(revision);
    await keeper.compact(revision);
    expect(await keeper.isCompacted(revision - 1)).toBe(true);
    expect(await keeper.isCompacted(revision)).toBe(false);
    await compactEtcd(etcd, (await store.commit([], [{ kind: 'put', key: 'k', value: 'x' }])).revision);
    expect(await keeper.isCompacted(revision)).toBe(true);
  });

  test('that refuses writes no controller is ready, and each is again once it takes them', async () => {
    const store = openEtcdStore({ endpoints: [etcd.etcdUrl] });
    const keeper = openEtcdKeeper({ endpoints: [etcd.etcdUrl] });
    const log = { info() {}, warn() {}, error() {} };
    const registry = new Registry({ name: 'a', store: createMetrics().watchStore(store), cluster: {}, log });
    const abort = new AbortController();
    const care = watchStore({ keeper, book: registry.book, everyMs: 20 }, abort.signal);
    onTestFinished(async () => {
      abort.abort();
      await care;
      keeper.close();
      await registry.close();
      await store.close();
    });
    await registry.start();
    await registry.checkReady();
    const value = 'x'.repeat(MIB);
    let refusal: unknown;
    for (let i = 0; refusal === undefined && i < 100; i++)
      await store.commit([], [{ kind: 'put', key: `fill/${i}`, value }]).catch((error: unknown) => {
        refusal = error;
      });
    expect(refusal).toBeInstanceOf(StoreRefusal);
    expect(isAway(refusal)).toBe(false);
    const isReady = () =>
      registry.checkReady().then(
        () => true,
        () => false,
      );
    await expect.poll(isReady).toBe(false);
    await expect(registry.checkReady()).rejects.toThrow('the store takes no writes: its database space is used up');
    expect(registry.book.all().map(({ kind }) => kind)).toContain('store_full');
    // Reads go on all the while.
    expect((await store.get('fill/0')).entry?.value).toBe(value);
    for (let i = 0; i < 100; i++) await store.commit([], [{ kind: 'delete', key: `fill/${i}` }]).catch(() => undefined);
    await compactEtcd(etcd, (await store.get('fill/0')).revision);
    await callEtcd(etcd, 'maintenance/defragment', {});
    const { alarms } = (await callEtcd(etcd, 'maintenance/alarm', { action: 'GET' })) as {
      readonly alarms: readonly { readonly memberID: string }[];
    };
    for (const { memberID } of alarms)
      await callEtcd(etcd, 'maintenance/alarm', { action: 'DEACTIVATE', memberID, alarm: 'NOSPACE' });
    await expect.poll(isReady).toBe(true);
  });
});
