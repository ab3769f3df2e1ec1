/** The fake store: the contract, and the hooks that only it has. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { IndeterminateCommit, type Write } from '../../../controller/store/store.ts';
import { describeStore, startWatching } from '../../contract/store.ts';

describeStore('memory store', async () => {
  const store = new MemoryStore();
  return { store, compact: async (revision) => store.compact(revision) };
});

const write: Write = { kind: 'put', key: 'k', value: '1' };

describe('injected failures', () => {
  test('unavailable: nothing is done', async () => {
    const store = new MemoryStore();
    store.failNext('unavailable');
    await expect(store.commit([], [write])).rejects.toThrow(Unavailable);
    expect((await store.get('k')).entry).toBeUndefined();
    expect((await store.commit([], [write])).committed).toBe(true);
  });

  test('indeterminate: done or not, the caller is not told', async () => {
    const store = new MemoryStore();
    store.failNext('indeterminate-not-applied');
    store.failNext('indeterminate-applied');
    await expect(store.commit([], [write])).rejects.toThrow(IndeterminateCommit);
    expect((await store.get('k')).entry).toBeUndefined();
    await expect(store.commit([], [write])).rejects.toThrow(IndeterminateCommit);
    expect((await store.get('k')).entry?.value).toBe('1');
  });

  test('a read fails alone', async () => {
    const store = new MemoryStore();
    store.failNext('unavailable', 'list');
    await store.get('k');
    await expect(store.list('')).rejects.toThrow(Unavailable);
    await store.list('');
  });
});

test('progress tells idle watches the revision', async () => {
  const store = new MemoryStore();
  const watching = startWatching(store, 'w/', 1);
  const { revision } = await store.commit([], [write]);
  store.progress();
  await expect.poll(() => watching.batches).toEqual([{ revision, events: [] }]);
});

describe('a lease without keepalives', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('is lost at 0.8 of its time, its keys go at the end of it', async () => {
    const store = new MemoryStore();
    const lease = await store.lease(10);
    await store.commit([], [{ ...write, lease }]);
    let lost = false;
    void lease.lost.then(() => {
      lost = true;
    });
    store.stopKeepalives();
    await vi.advanceTimersByTimeAsync(7_999);
    expect(lost).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(lost).toBe(true);
    expect((await store.get('k')).entry).toBeDefined();
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await store.get('k')).entry).toBeUndefined();
  });
});
