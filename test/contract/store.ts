/**
 * What every Store must do, run against the real one and the fake. A behaviour that other code relies on belongs here; what
 * only one implementation can show (networks that break, hooks) belongs in that one's own test.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import { Unavailable } from '../../controller/errors.ts';
import { Compacted, type Guard, type Store, type WatchBatch, type Write } from '../../controller/store/store.ts';

export interface StoreFixture {
  /** empty at first, closed by the suite */
  readonly store: Store;
  /** forgets history up to `revision` */
  compact(revision: number): Promise<void>;
}

const put = (key: string, value = 'v'): Write => ({ kind: 'put', key, value });

/** Batches of a watch as they come, and the watch's end. */
export interface Watching {
  readonly batches: WatchBatch[];
  readonly ended: Promise<void>;
  readonly abort: AbortController;
}

/** Watches until the test ends. */
export function startWatching(store: Store, prefix: string, after: number): Watching {
  const abort = new AbortController();
  const batches: WatchBatch[] = [];
  const run = async (): Promise<void> => {
    for await (const batch of store.watch(prefix, after, abort.signal)) batches.push(batch);
  };
  const ended = run();
  ended.catch(() => undefined); // callers that await `ended` see it
  onTestFinished(async () => {
    abort.abort();
    await ended.catch(() => undefined);
  });
  return { batches, ended, abort };
}

/** `put key=value@revision` and `delete key@revision`, in the order of arrival. */
export function describeEvents(batches: readonly WatchBatch[]): string[] {
  return batches.flatMap(({ events }) =>
    events.map((event) =>
      event.kind === 'put'
        ? `put ${event.entry.key}=${event.entry.value}@${event.entry.modRevision}`
        : `delete ${event.key}@${event.modRevision}`,
    ),
  );
}

/** Runs the suite; `open` gives each test a store of its own. */
export function describeStore(name: string, open: () => Promise<StoreFixture>): void {
  const openForTest = async (): Promise<StoreFixture> => {
    const fixture = await open();
    onTestFinished(() => fixture.store.close());
    return fixture;
  };
  describe(name, () => {
    describeReads(openForTest);
    describeGuards(openForTest);
    describeCommits(openForTest);
    describeWatches(openForTest);
    describeLeases(openForTest);
  });
}

function describeReads(open: () => Promise<StoreFixture>): void {
  test('an absent key is undefined, at a revision', async () => {
    const { store } = await open();
    const { entry, revision } = await store.get('nothing');
    expect(entry).toBeUndefined();
    expect(revision).toBeGreaterThanOrEqual(1);
  });

  test('a value comes back as it was put', async () => {
    const { store } = await open();
    const { revision } = await store.commit([], [put('tenants/blå', '{"名":"ü"}')]);
    const { entry } = await store.get('tenants/blå');
    expect(entry).toEqual({
      key: 'tenants/blå',
      value: '{"名":"ü"}',
      createRevision: revision,
      modRevision: revision,
    });
  });

  test('a list holds the keys under its prefix alone, in order', async () => {
    const { store } = await open();
    await store.commit(
      [],
      ['a/2', 'a/10', 'a/1', 'a', 'a0', 'b/1'].map((key) => put(key)),
    );
    const { entries, more } = await store.list('a/');
    expect(entries.map(({ key }) => key)).toEqual(['a/1', 'a/10', 'a/2']);
    expect(more).toBe(false);
    expect((await store.list('')).entries).toHaveLength(6);
  });

  test('a list is read by pages', async () => {
    const { store } = await open();
    await store.commit(
      [],
      ['p/1', 'p/2', 'p/3', 'q/1'].map((key) => put(key)),
    );
    const first = await store.list('p/', { limit: 2 });
    expect(first.entries.map(({ key }) => key)).toEqual(['p/1', 'p/2']);
    expect(first.more).toBe(true);
    const second = await store.list('p/', { limit: 2, after: 'p/2' });
    expect(second.entries.map(({ key }) => key)).toEqual(['p/3']);
    expect(second.more).toBe(false);
    expect((await store.list('p/', { limit: 3 })).more).toBe(false);
    expect((await store.list('p/', { after: 'p/3' })).entries).toEqual([]);
  });

  test('a list is read as it was at a revision, by pages too', async () => {
    const { store } = await open();
    const { revision: at } = await store.commit([], [put('p/1', 'old'), put('p/2'), put('q/1')]);
    await store.commit([], [put('p/1', 'new'), put('p/3')]);
    const { revision } = await store.commit([], [{ kind: 'delete', key: 'p/2' }]);
    const then = await store.list('p/', { at });
    expect(then).toMatchObject({ revision, more: false });
    expect(then.entries.map(({ key, value, modRevision }) => [key, value, modRevision])).toEqual([
      ['p/1', 'old', at],
      ['p/2', 'v', at],
    ]);
    const page = await store.list('p/', { at, limit: 1 });
    expect(page).toMatchObject({ entries: [{ key: 'p/1', value: 'old' }], more: true });
    const rest = await store.list('p/', { at, limit: 1, after: 'p/1' });
    expect(rest).toMatchObject({ entries: [{ key: 'p/2' }], more: false });
  });
}

function describeGuards(open: () => Promise<StoreFixture>): void {
  const cases: readonly [string, (created: number, modified: number) => Guard, boolean][] = [
    ['absent: absent', () => ({ kind: 'absent', key: 'none' }), true],
    ['absent: present', () => ({ kind: 'absent', key: 'k' }), false],
    ['present: present', () => ({ kind: 'present', key: 'k' }), true],
    ['present: absent', () => ({ kind: 'present', key: 'none' }), false],
    ['unchanged: the same', (_, modRevision) => ({ kind: 'unchanged', key: 'k', modRevision }), true],
    ['unchanged: older', (created) => ({ kind: 'unchanged', key: 'k', modRevision: created }), false],
    ['unchanged: absent', (_, modRevision) => ({ kind: 'unchanged', key: 'none', modRevision }), false],
    ['sameIncarnation: the same', (createRevision) => ({ kind: 'sameIncarnation', key: 'k', createRevision }), true],
    ['sameIncarnation: another', (_, m) => ({ kind: 'sameIncarnation', key: 'k', createRevision: m }), false],
    ['sameIncarnation: absent', (c) => ({ kind: 'sameIncarnation', key: 'none', createRevision: c }), false],
    ['emptyRange: empty', () => ({ kind: 'emptyRange', from: 'l', to: 'z' }), true],
    ['emptyRange: its start is taken', () => ({ kind: 'emptyRange', from: 'k', to: 'z' }), false],
    ['emptyRange: one inside', () => ({ kind: 'emptyRange', from: 'a', to: 'z' }), false],
    ['emptyRange: its end does not count', () => ({ kind: 'emptyRange', from: 'a', to: 'k' }), true],
  ];
  test.for(cases)('guard %s', async ([, guard, holds]) => {
    const { store } = await open();
    const created = await store.commit([], [put('k', '1')]);
    const modified = await store.commit([], [put('k', '2')]);
    const result = await store.commit([guard(created.revision, modified.revision)], [put('written')]);
    expect(result).toEqual({ committed: holds, revision: modified.revision + (holds ? 1 : 0) });
    expect((await store.get('written')).entry !== undefined).toBe(holds);
  });

  test('one failing guard among many stops every write', async () => {
    const { store } = await open();
    const guards: Guard[] = [
      { kind: 'absent', key: 'a' },
      { kind: 'present', key: 'b' },
    ];
    expect((await store.commit(guards, [put('a'), put('c')])).committed).toBe(false);
    expect((await store.list('')).entries).toEqual([]);
  });

  test('of many claims on one range, exactly one succeeds', async () => {
    const { store } = await open();
    const claims = Array.from({ length: 40 }, (_, i) =>
      store.commit([{ kind: 'emptyRange', from: 'claims/', to: 'claims0' }], [put(`claims/${i}`)]),
    );
    const results = await Promise.all(claims);
    expect(results.filter(({ committed }) => committed)).toHaveLength(1);
    expect((await store.list('claims/')).entries).toHaveLength(1);
  });

  test('concurrent changes of one key by compare-and-swap lose none', async () => {
    const { store } = await open();
    await store.commit([], [put('n', '0')]);
    const add = async (): Promise<void> => {
      for (;;) {
        const { entry } = await store.get('n');
        if (!entry) throw new Error('the counter is gone');
        const next = put('n', String(Number(entry.value) + 1));
        const guard: Guard = { kind: 'unchanged', key: 'n', modRevision: entry.modRevision };
        if ((await store.commit([guard], [next])).committed) return;
      }
    };
    await Promise.all(Array.from({ length: 10 }, add));
    expect((await store.get('n')).entry?.value).toBe('10');
  });
}

function describeCommits(open: () => Promise<StoreFixture>): void {
  test('all writes of a commit have its one revision', async () => {
    const { store } = await open();
    const before = await store.commit([], [put('x'), put('y')]);
    const { revision } = await store.commit([], [put('a'), put('y', '2'), { kind: 'delete', key: 'x' }]);
    expect(revision).toBe(before.revision + 1);
    const { entries } = await store.list('');
    expect(entries).toEqual([
      { key: 'a', value: 'v', createRevision: revision, modRevision: revision },
      { key: 'y', value: '2', createRevision: before.revision, modRevision: revision },
    ]);
  });

  test('a key deleted and put again is another incarnation', async () => {
    const { store } = await open();
    const first = await store.commit([], [put('t')]);
    await store.commit([], [{ kind: 'delete', key: 't' }]);
    const again = await store.commit([], [put('t')]);
    expect((await store.get('t')).entry?.createRevision).toBe(again.revision);
    const guard: Guard = { kind: 'sameIncarnation', key: 't', createRevision: first.revision };
    expect((await store.commit([guard], [put('x')])).committed).toBe(false);
  });

  test('deleting a range leaves its neighbours', async () => {
    const { store } = await open();
    await store.commit(
      [],
      ['r', 'r/', 'r/1', 'r/2', 'r0'].map((key) => put(key)),
    );
    await store.commit([], [{ kind: 'deleteRange', from: 'r/', to: 'r0' }]);
    expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['r', 'r0']);
  });

  test('a commit that changes nothing succeeds and raises no revision', async () => {
    const { store } = await open();
    const { revision } = await store.get('none');
    expect(await store.commit([], [{ kind: 'delete', key: 'none' }])).toEqual({ committed: true, revision });
    expect(await store.commit([{ kind: 'absent', key: 'none' }], [])).toEqual({ committed: true, revision });
  });

  test('a commit of 100 is taken, one that breaks the rules is a bug', async () => {
    const { store } = await open();
    const puts = Array.from({ length: 101 }, (_, i) => put(`k${i}`));
    expect((await store.commit([], puts.slice(0, 100))).committed).toBe(true);
    await expect(store.commit([], puts)).rejects.toThrow(RangeError);
    await expect(store.commit([], [put('k'), { kind: 'delete', key: 'k' }])).rejects.toThrow('twice');
    await expect(store.commit([], [put('k'), { kind: 'deleteRange', from: 'a', to: 'z' }])).rejects.toThrow('twice');
    await expect(store.commit([], [put('k', 'x'.repeat(1_500_000))])).rejects.toThrow(RangeError);
    expect((await store.commit([], [put('k', 'x'.repeat(1_300_000))])).committed).toBe(true);
  });

  test('a closed store is unavailable', async () => {
    const { store } = await open();
    await store.close();
    await expect(store.get('k')).rejects.toThrow(Unavailable);
    await expect(store.commit([], [put('k')])).rejects.toThrow(Unavailable);
  });
}

function describeWatches(open: () => Promise<StoreFixture>): void {
  test('a watch gives what came after its revision, old and new, in order', async () => {
    const { store } = await open();
    const first = (await store.commit([], [put('w/1', 'a')])).revision;
    await store.commit([], [put('w/2', 'b'), put('other')]);
    const watching = startWatching(store, 'w/', first);
    await store.commit([], [put('other')]);
    await store.commit([], [put('w/1', 'c')]);
    await store.commit([], [{ kind: 'deleteRange', from: 'w/', to: 'w0' }]);
    const expected = [
      `put w/2=b@${first + 1}`,
      `put w/1=c@${first + 3}`,
      `delete w/1@${first + 4}`,
      `delete w/2@${first + 4}`,
    ];
    await expect.poll(() => describeEvents(watching.batches).length).toBe(expected.length);
    expect(describeEvents(watching.batches)).toEqual(expected);
    expect(watching.batches.at(-1)?.revision).toBe(first + 4);
  });

  test('events of one commit are never parted', async () => {
    const { store } = await open();
    const { revision } = await store.get('w');
    const watching = startWatching(store, 'w/', revision);
    const writes = Array.from({ length: 50 }, (_, i) => put(`w/${i}`, 'x'.repeat(20_000)));
    await store.commit([], writes);
    await expect.poll(() => describeEvents(watching.batches).length).toBe(50);
    expect(watching.batches.filter(({ events }) => events.length > 0)).toHaveLength(1);
  });

  test('many watches at once each get their own', async () => {
    const { store } = await open();
    const { revision } = await store.get('m');
    const watchings = Array.from({ length: 20 }, (_, i) => startWatching(store, `m${i}/`, revision));
    for (let i = 0; i < 20; i++) await store.commit([], [put(`m${i}/k`, String(i))]);
    await expect.poll(() => watchings.every(({ batches }) => describeEvents(batches).length === 1)).toBe(true);
    for (const [i, { batches }] of watchings.entries())
      expect(describeEvents(batches)).toEqual([`put m${i}/k=${i}@${revision + 1 + i}`]);
  });

  test('a watch ends when aborted, and when the store is closed', async () => {
    const { store } = await open();
    const aborted = startWatching(store, 'w/', 1);
    const closed = startWatching(store, 'w/', 1);
    await store.commit([], [put('w/1')]);
    await expect.poll(() => describeEvents(aborted.batches).length + describeEvents(closed.batches).length).toBe(2);
    aborted.abort.abort();
    await aborted.ended;
    await store.close();
    await closed.ended;
  });

  test('a watch from before the compaction throws Compacted; one from there on goes on', async () => {
    const { store, compact } = await open();
    const first = (await store.commit([], [put('c/1')])).revision;
    await store.commit([], [put('c/2')]);
    await store.commit([], [{ kind: 'delete', key: 'c/1' }]); // the compacted revision is itself a deletion
    await compact(first + 2);
    for (const after of [first, first + 1]) {
      const error = await startWatching(store, 'c/', after).ended.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Compacted);
      expect(error).toMatchObject({ compactRevision: first + 2 });
    }
    const watching = startWatching(store, 'c/', first + 2);
    await store.commit([], [put('c/3')]);
    await expect.poll(() => describeEvents(watching.batches)).toEqual([`put c/3=v@${first + 3}`]);
  });

  test('a list at a revision from before the compaction throws Compacted', async () => {
    const { store, compact } = await open();
    const { revision: at } = await store.commit([], [put('d/1')]);
    const { revision } = await store.commit([], [put('d/1', 'new')]);
    await compact(revision);
    await expect(store.list('d/', { at })).rejects.toBeInstanceOf(Compacted);
    expect((await store.list('d/', { at: revision })).entries).toMatchObject([{ value: 'new' }]);
  });
}

function describeLeases(open: () => Promise<StoreFixture>): void {
  test('closing a lease deletes its keys and no others', async () => {
    const { store } = await open();
    const lease = await store.lease(10);
    const held: Write = { kind: 'put', key: 'live/a', value: '1', lease };
    const { revision } = await store.commit([], [held, { ...held, key: 'live/b' }, put('live/c')]);
    const watching = startWatching(store, 'live/', revision);
    await lease.close();
    await lease.lost;
    const expected = [`delete live/a@${revision + 1}`, `delete live/b@${revision + 1}`];
    await expect.poll(() => describeEvents(watching.batches)).toEqual(expected);
    await lease.close(); // once more does no harm
  });

  test('a key put again without the lease outlives it', async () => {
    const { store } = await open();
    const lease = await store.lease(10);
    await store.commit([], [{ kind: 'put', key: 'live/a', value: '1', lease }]);
    await store.commit([], [put('live/a', '2')]);
    await lease.close();
    expect((await store.get('live/a')).entry?.value).toBe('2');
  });

  test('nothing can be put under a lease that has ended', async () => {
    const { store } = await open();
    const lease = await store.lease(10);
    await lease.close();
    const write: Write = { kind: 'put', key: 'live/a', value: '1', lease };
    await expect(store.commit([], [write])).rejects.toThrow(Unavailable);
    expect((await store.get('live/a')).entry).toBeUndefined();
  });
}
