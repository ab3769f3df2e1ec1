/** A store that was put back to an older copy is noticed, by whichever process sees it first, and taken up by all. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { histories, recoveries } from '../../../controller/model/kinds/history.ts';
import type { Remembered } from '../../../controller/store/evidence.ts';
import { type FollowSink, follow } from '../../../controller/store/follow.ts';
import { HistoryKeeper } from '../../../controller/store/history-keeper.ts';
import { ensureHistory } from '../../../controller/store/history-records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { IndeterminateCommit, type Store, type Write } from '../../../controller/store/store.ts';

const put = (key: string, value: string): Write => ({ kind: 'put', key, value });
const log = { info() {}, warn() {}, error() {} };
const watcher = { failed() {}, recovered() {} };

function keep(store: MemoryStore, name: string, remembered?: Remembered): HistoryKeeper & { readonly moves: string[] } {
  const keeper = new HistoryKeeper({ store, name, log, watcher, remembered });
  onTestFinished(() => keeper.close());
  const moves: string[] = [];
  keeper.onHistory((now, before) => moves.push(`${before} to ${now}`));
  return Object.assign(keeper, { moves });
}

/** What a follower of everything under `p/` holds. */
function copyOf(store: Store): Map<string, string> {
  const copy = new Map<string, string>();
  const sink: FollowSink = {
    snapshot: (entries) => {
      copy.clear();
      for (const { key, value } of entries) copy.set(key, value);
    },
    events: ({ events }) => {
      for (const event of events) {
        if (event.kind === 'put') copy.set(event.entry.key, event.entry.value);
        else copy.delete(event.key);
      }
    },
  };
  const over = new AbortController();
  onTestFinished(() => over.abort());
  void follow(store, 'p/', sink, over.signal, watcher);
  return copy;
}

async function historyIn(
  store: Store,
): Promise<{ readonly id?: string; readonly cause?: string; readonly by?: string }> {
  const { entry } = await store.get(keys.history);
  return (entry && histories.find(entry)) ?? {};
}

/** A store with a history, `p/a` in it and a copy of that; then `p/a` was changed and `p/b` added. */
async function setUp() {
  const store = new MemoryStore();
  await ensureHistory(store, 'controller1');
  await store.commit([], [put('p/a', 'old')]);
  const older = store.copy();
  const keeper = keep(store, 'node1');
  const copy = copyOf(keeper);
  await keeper.commit([], [put('p/a', 'new')]);
  await keeper.commit([], [put('p/b', 'lost')]);
  await expect
    .poll(() => [...copy])
    .toEqual([
      ['p/a', 'new'],
      ['p/b', 'lost'],
    ]);
  return { store, older, keeper, copy, birth: (await historyIn(store)).id };
}

describe('a store that was rolled back', () => {
  test('is read again at once, though its revisions are behind', async () => {
    const { store, older, keeper, copy, birth } = await setUp();
    store.rollBack(older);
    await expect.poll(() => [...copy]).toEqual([['p/a', 'old']]);
    const { id, cause, by } = await historyIn(store);
    expect({ cause, by }).toEqual({ cause: 'rollback', by: 'node1' });
    expect(id).not.toBe(birth);
    expect(keeper.moves).toEqual([`${birth} to ${id}`]);
    expect(keeper.history).toBe(id);
    await store.commit([], [put('p/c', 'after')]);
    await expect.poll(() => copy.get('p/c')).toBe('after');
  });

  test('is read again when its revisions have passed ours meanwhile', async () => {
    const { store, older, copy } = await setUp();
    store.rollBack({ ...older, ahead: 40 });
    await expect.poll(() => copy.get('p/a')).toBe('old');
    expect(copy.has('p/b')).toBe(false);
  });

  test('is noticed by a process that was away, from what it remembers', async () => {
    const { store, older, keeper } = await setUp();
    const { remembered } = keeper;
    await keeper.close();
    store.rollBack({ ...older, ahead: 40 });
    const next = keep(store, 'node1', remembered);
    await next.get('p/a');
    expect(next.moves).toHaveLength(1);
    expect((await historyIn(store)).cause).toBe('rollback');
  });

  test('holds back new claims from the commit on that begins its history', async () => {
    const { store, older, keeper } = await setUp();
    store.rollBack(older);
    await expect.poll(() => keeper.moves).toHaveLength(1);
    const { entry } = await store.get(keys.recovery);
    expect(entry && recoveries.get(entry)).toMatchObject({ history: keeper.history, phase: 'claiming' });
    expect(entry?.modRevision).toBe((await store.get(keys.history)).entry?.modRevision);
  });

  test('gets one new history, however many find it out', async () => {
    const { store, older, keeper, birth } = await setUp();
    const others = ['node2', 'node3'].map((name) => keep(store, name));
    for (const other of others) await other.list('p/');
    store.rollBack(older);
    await expect.poll(() => [keeper, ...others].map(({ moves }) => moves.length)).toEqual([1, 1, 1]);
    const { id } = await historyIn(store);
    for (const each of [keeper, ...others]) expect(each.moves).toEqual([`${birth} to ${id}`]);
  });

  test('and is empty gets a history too', async () => {
    const { store, keeper, copy } = await setUp();
    store.rollBack(new MemoryStore().copy());
    await expect.poll(() => keeper.moves).toHaveLength(1);
    await expect.poll(() => copy.size).toBe(0);
  });

  test('does not count as the one that a write went to, though it was under way when the connection broke', async () => {
    const { store, older, keeper } = await setUp();
    const commit = store.commit.bind(store);
    store.commit = async (guards, writes) => {
      if (writes.some((write) => write.kind === 'put' && write.key === 'p/x')) store.rollBack({ ...older, ahead: 40 });
      return await commit(guards, writes);
    };
    await expect(keeper.commit([], [put('p/x', 'late')])).rejects.toThrow(IndeterminateCommit);
    expect(keeper.moves).toHaveLength(1);
  });

  test('takes no write before it has been noticed', async () => {
    const { store, older, keeper } = await setUp();
    store.rollBack(older);
    const { revision } = await keeper.commit([], [put('p/d', 'by a caller')]);
    expect(revision).toBeGreaterThan((await store.get(keys.history)).entry?.modRevision ?? Number.NaN);
  });
});

describe('a store that is the same', () => {
  test('is gone on with after a break, and nothing is listed again', async () => {
    const { store, keeper, copy } = await setUp();
    let lists = 0;
    const list = store.list.bind(store);
    store.list = (...args) => {
      lists++;
      return list(...args);
    };
    store.rollBack(store.copy());
    await keeper.commit([], [put('p/c', 'more')]);
    await expect.poll(() => copy.get('p/c')).toBe('more');
    expect({ lists, moves: keeper.moves }).toEqual({ lists: 0, moves: [] });
  });

  test('is listed again where it has forgotten the revision that would prove it', async () => {
    const { store, keeper, copy } = await setUp();
    const { revision } = await store.commit([], [put('p/b', 'changed')]);
    await expect.poll(() => copy.get('p/b')).toBe('changed');
    const { remembered } = keeper;
    await store.commit([], [put('p/b', 'changed again')]);
    store.compact(revision + 1);
    await keeper.close();
    const next = keep(store, 'node1', remembered);
    expect((await next.get('p/b')).entry?.value).toBe('changed again');
    expect(next.moves).toEqual([]);
  });
});

describe('a restore', () => {
  test('is taken up by all when it is whole, and by none before', async () => {
    const { store, keeper, copy, birth } = await setUp();
    const operator = keep(store, 'controller1');
    await operator.list('p/');
    await operator.restore('controller1', async (raw) => {
      await raw.commit([], [put('p/a', 'half'), { kind: 'delete', key: 'p/b' }]);
      await expect
        .poll(() => keeper.get('p/a', { timeoutMs: 100 }).catch(({ message }: Error) => message))
        .toMatch('restored');
      expect(copy.get('p/a')).toBe('new');
      await raw.commit([], [put('p/a', 'whole')]);
    });
    await expect.poll(() => [...copy]).toEqual([['p/a', 'whole']]);
    const { id, cause } = await historyIn(store);
    expect(cause).toBe('restore');
    expect(keeper.moves).toEqual([`${birth} to ${id}`]);
    expect(operator.moves).toEqual([`${birth} to ${id}`]);
  });

  test('that fails half-way leaves the store to the next one', async () => {
    const { store, keeper, copy } = await setUp();
    const operator = keep(store, 'controller1');
    const broken = operator.restore('controller1', async (raw) => {
      await raw.commit([], [put('p/a', 'half')]);
      throw new Error('the power is gone');
    });
    await expect(broken).rejects.toThrow('the power is gone');
    await expect(keeper.get('p/a', { timeoutMs: 100 })).rejects.toThrow('being restored');
    const next = keep(store, 'controller2');
    await expect(next.get('p/a', { timeoutMs: 100 })).rejects.toThrow('being restored');
    await next.restore('controller2', async (raw) => void (await raw.commit([], [put('p/a', 'whole')])));
    await expect.poll(() => copy.get('p/a')).toBe('whole');
  });

  test('that another has overtaken writes nothing more', async () => {
    const { store } = await setUp();
    const [first, second] = [keep(store, 'controller1'), keep(store, 'controller2')];
    const overtaken = first.restore('controller1', async (raw) => {
      await second.restore('controller2', async (other) => void (await other.commit([], [put('p/a', 'second')])));
      await raw.commit([], [put('p/a', 'first')]);
    });
    await expect(overtaken).rejects.toThrow(Unavailable);
    expect((await store.get('p/a')).entry?.value).toBe('second');
  });
});
