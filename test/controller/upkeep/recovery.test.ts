/** The leader ends a recovery when all nodes have claimed again what they hold, and not before; until then nothing new is given out. */
import { expect, onTestFinished, test } from 'vitest';
import { enforcedBy } from '../../../controller/model/kinds/enforced.ts';
import { recoveries } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { endRecoveries } from '../../../controller/upkeep/recovery.ts';
import { problemBook } from '../../cni-plugin/agent/builders.ts';
import { putNode, startApp } from '../api/fixture.ts';

const silent = { info: () => undefined, warn: () => undefined };

async function beginRecovery(mostMs: number) {
  const store = new MemoryStore();
  const app = await startApp({ store });
  await putNode(store, 'node1');
  await putNode(store, 'node2', { live: false });
  const put = async (key: string, value: string) => {
    await store.commit([], [{ kind: 'put', key, value }]);
  };
  await put(keys.leader, formatRecord({}));
  await put(keys.recovery, recoveries.format({ history: 'h2', begunAt: '2026-01-01T00:00:00Z', phase: 'claiming' }));
  const createRevision = (await store.get(keys.leader)).entry?.createRevision ?? 0;
  const abort = new AbortController();
  const book = problemBook();
  let looks = 0;
  const list = store.list.bind(store);
  store.list = (prefix, options) => {
    if (prefix === keys.allEnforced) looks++;
    return list(prefix, options);
  };
  const options = { store, log: silent, book, leastMs: 0, mostMs, everyMs: 1 };
  const ended = endRecoveries(options, abort.signal, { kind: 'sameIncarnation', key: keys.leader, createRevision });
  onTestFinished(async () => {
    abort.abort();
    await ended;
  });
  const claim = (node: string, history: string) =>
    put(keys.enforced(node), enforcedBy.format({ at: '2026-01-01T00:00:00Z', history, tenants: {} }));
  const isOver = async () => (await store.get(keys.recovery)).entry === undefined;
  /** It has looked at what was said so far. */
  const looked = async () => {
    const before = looks;
    await expect.poll(() => looks).toBeGreaterThan(before + 1);
  };
  return { ...app, store, book, claim, isOver, looked };
}

test('it ends when the last node has spoken in the new history', async () => {
  const { call, book, claim, isOver, looked } = await beginRecovery(3_600_000);
  await claim('node1', 'h2');
  await claim('node2', 'birth');
  await looked();
  expect(await isOver()).toBe(false);
  expect(book.all()).toMatchObject([{ kind: 'store_replaced', about: 'h2' }]);
  const refused = await call('POST', '/v1/tenants', { name: 'blue' });
  expect(refused).toMatchObject({ status: 503 });
  expect(refused.body).toMatchObject({ detail: expect.stringContaining('claiming again') });
  await claim('node2', 'h2');
  await expect.poll(isOver).toBe(true);
  await expect.poll(() => book.all()).toEqual([]);
  expect(await call('POST', '/v1/tenants', { name: 'blue' })).toMatchObject({ status: 201 });
});

test('a node that is not alive is not waited for beyond its time', async () => {
  const { claim, isOver, looked } = await beginRecovery(0);
  await looked();
  expect(await isOver()).toBe(false);
  await claim('node1', 'h2');
  await expect.poll(isOver).toBe(true);
});

test('a record of it that cannot be read is told of: nothing new is given out while it is there', async () => {
  const { store, book } = await beginRecovery(3_600_000);
  await store.commit([], [{ kind: 'put', key: keys.recovery, value: '{"schema":9}' }]);
  await expect.poll(() => book.all()).toMatchObject([{ kind: 'record_unreadable', about: 'recovery' }]);
  await store.commit([], [{ kind: 'delete', key: keys.recovery }]);
  await expect.poll(() => book.all()).toEqual([]);
});
