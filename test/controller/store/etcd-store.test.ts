/** The etcd store on an etcd that behaves: the contract, and lists too long for one answer. */
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import type { Store, Write } from '../../../controller/store/store.ts';
import { describeEvents, describeStore, startWatching } from '../../contract/store.ts';
import { callEtcd, compactEtcd, ETCD_START_MS, startTestEtcd } from './etcd-fixture.ts';

let etcd: Awaited<ReturnType<typeof startTestEtcd>>;
let stores = 0;

beforeAll(async () => {
  etcd = await startTestEtcd();
}, ETCD_START_MS);
afterAll(() => etcd.remove());

/** Tests share the etcd, each under a prefix of its own. */
function open(): Store {
  stores += 1;
  return openEtcdStore({ endpoints: [etcd.etcdUrl], prefix: `/test${stores}/` });
}

function openForTest(): Store {
  const store = open();
  onTestFinished(() => store.close());
  return store;
}

describeStore('etcd store', async () => ({ store: open(), compact: (revision) => compactEtcd(etcd, revision) }));

async function fill(store: Store, prefix: string, count: number): Promise<number> {
  let revision = 0;
  for (let start = 0; start < count; start += 100) {
    const writes = Array.from({ length: Math.min(100, count - start) }, (_, i): Write => {
      return { kind: 'put', key: `${prefix}${String(start + i).padStart(6, '0')}`, value: 'v' };
    });
    revision = (await store.commit([], writes)).revision;
  }
  return revision;
}

test('a list of many pages is of one revision', async () => {
  const store = openForTest();
  const revision = await fill(store, 'many/', 12_000);
  const listing = store.list('many/');
  const later = fill(store, 'many/9', 1_000);
  const { entries, revision: listed } = await listing;
  await later;
  const expected = 12_000 + (listed - revision) * 100;
  expect(entries).toHaveLength(expected);
  expect(new Set(entries.map(({ key }) => key)).size).toBe(expected);
  expect(Math.max(...entries.map(({ modRevision }) => modRevision))).toBe(listed);
  const limited = await store.list('many/', { limit: 5_500, after: 'many/000099' });
  expect(limited.entries.map(({ key }) => key).at(-1)).toBe('many/005599');
  expect(limited.more).toBe(true);
});

test('an answer that etcd splits in the middle of a revision is put together again', async () => {
  const store = openForTest();
  const first = await fill(store, 'big/', 1);
  const writes = Array.from({ length: 100 }, (_, i): Write => {
    return { kind: 'put', key: `big/${i}`, value: 'x'.repeat(13_000) };
  });
  for (let i = 0; i < 10; i++) await store.commit([], writes);
  const watching = startWatching(store, 'big/', first);
  await expect.poll(() => describeEvents(watching.batches).length).toBe(1000);
  // 13 MB to catch up with come in pieces of 2 MB; each batch has whole revisions of 100 events all the same.
  expect(watching.batches.filter(({ events }) => events.length % 100 !== 0)).toEqual([]);
});

test('a full database is unavailable, with the cure in the message, and disturbs no watch', async () => {
  const warn = vi.fn();
  const store = openEtcdStore({ endpoints: [etcd.etcdUrl], prefix: '/full/', logger: { info() {}, warn } });
  onTestFinished(() => store.close());
  const { revision } = await store.commit([], [{ kind: 'put', key: 'k', value: '1' }]);
  const watching = startWatching(store, '', revision - 1);
  await expect.poll(() => describeEvents(watching.batches).length).toBe(1);
  const alarm = { memberID: '0', alarm: 'NOSPACE' };
  await callEtcd(etcd, 'maintenance/alarm', { ...alarm, action: 'ACTIVATE' });
  try {
    const commit = store.commit([], [{ kind: 'put', key: 'k', value: '2' }]);
    const expected = { code: 'unavailable', message: expect.stringMatching(/compact.*defrag.*disarm/) };
    await expect(commit).rejects.toMatchObject(expected);
  } finally {
    await callEtcd(etcd, 'maintenance/alarm', { ...alarm, action: 'DEACTIVATE' });
  }
  await store.commit([], [{ kind: 'put', key: 'k', value: '3' }]);
  await expect.poll(() => describeEvents(watching.batches).length).toBe(2);
  expect(describeEvents(watching.batches)[1]).toMatch('put k=3');
  expect(warn).not.toHaveBeenCalled();
});
