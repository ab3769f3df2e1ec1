/** Following a prefix, on the fake store: snapshots, events, lost history, outages. */
import { expect, onTestFinished, test } from 'vitest';
import type { Unavailable } from '../../../controller/errors.ts';
import { type FollowSink, type FollowWatcher, follow } from '../../../controller/store/follow.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Write } from '../../../controller/store/store.ts';
import { describeEvents } from '../../contract/store.ts';

const put = (key: string, value = 'v'): Write => ({ kind: 'put', key, value });

interface Recorded {
  readonly log: string[];
  readonly revisions: number[];
  readonly outages: Unavailable[];
  readonly troubles: readonly string[];
  readonly following: Promise<void>;
  readonly abort: AbortController;
}

/** Follows until the test ends, writing down what the sink is told. */
function record(store: MemoryStore, prefix: string, overrides: Partial<FollowSink> = {}): Recorded {
  const abort = new AbortController();
  const [log, revisions, outages]: [string[], number[], Unavailable[]] = [[], [], []];
  const sink: FollowSink = {
    snapshot: (entries, revision) => {
      revisions.push(revision);
      log.push(`snapshot ${entries.map(({ key }) => key).join(' ')}`);
    },
    events: (batch) => {
      revisions.push(batch.revision);
      log.push(...describeEvents([batch]));
    },
    unavailable: (error) => outages.push(error),
    ...overrides,
  };
  const troubles: string[] = [];
  const watcher: FollowWatcher = {
    failed: (what, error) => void troubles.push(`${what} ${error instanceof Error ? error.message : error}`),
    recovered: (what) => void troubles.push(`${what} recovered`),
  };
  const following = follow(store, prefix, sink, abort.signal, watcher);
  following.catch(() => undefined); // callers that await it see it
  onTestFinished(async () => {
    abort.abort();
    await following.catch(() => undefined);
  });
  return { log, revisions, outages, troubles, following, abort };
}

test('a snapshot comes first, then what changes', async () => {
  const store = new MemoryStore();
  await store.commit([], [put('nodes/a'), put('other/x')]);
  const { log, revisions, abort, following } = record(store, 'nodes/');
  await expect.poll(() => log).toEqual(['snapshot nodes/a']);
  await store.commit([], [put('nodes/b'), put('other/y')]);
  await store.commit([], [{ kind: 'delete', key: 'nodes/a' }]);
  await expect.poll(() => log).toEqual(['snapshot nodes/a', 'put nodes/b=v@3', 'delete nodes/a@4']);
  expect(revisions).toEqual([2, 3, 4]);
  abort.abort();
  await following;
});

test('an unavailable store is asked again', async () => {
  const store = new MemoryStore();
  store.failNext('unavailable', 'list');
  store.failNext('unavailable', 'list');
  const { log, outages } = record(store, 'nodes/');
  await expect.poll(() => log).toEqual(['snapshot ']);
  expect(outages.map(({ code }) => code)).toEqual(['unavailable', 'unavailable']);
});

test('history compacted between list and watch gives a new snapshot, without what was deleted', async () => {
  const store = new MemoryStore();
  await store.commit([], [put('nodes/a'), put('nodes/b')]);
  let first = true;
  const { log, revisions } = record(store, 'nodes/', {
    snapshot: async (entries, revision) => {
      revisions.push(revision);
      log.push(`snapshot ${entries.map(({ key }) => key).join(' ')}`);
      if (!first) return;
      first = false;
      store.compact((await store.commit([], [{ kind: 'delete', key: 'nodes/a' }])).revision);
    },
  });
  await expect.poll(() => log).toEqual(['snapshot nodes/a nodes/b', 'snapshot nodes/b']);
  expect(revisions).toEqual([2, 3]);
});

test('a slow sink is told one thing at a time', async () => {
  const store = new MemoryStore();
  let busy = 0;
  let most = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++busy);
    await new Promise(setImmediate);
    busy -= 1;
    done += 1;
  };
  record(store, 'n/', { snapshot: work, events: work });
  await expect.poll(() => done).toBe(1);
  for (let i = 0; i < 20; i++) await store.commit([], [put(`n/${i}`)]);
  await expect.poll(() => done).toBe(21);
  expect(most).toBe(1);
});

test('a sink that throws gets everything again until it takes it, and that it was behind is told meanwhile', async () => {
  const store = new MemoryStore();
  await store.commit([], [put('n/a')]);
  const taken: string[] = [];
  let stumbles = false;
  const { troubles, following, abort } = record(store, 'n/', {
    snapshot: (entries) => {
      if (stumbles) throw new Error('stumbled over a snapshot');
      taken.push(entries.map(({ key }) => key).join(' '));
    },
    events: ({ events }) => {
      stumbles = events.length > 0;
      if (stumbles) throw new Error('stumbled over an event');
    },
  });
  await expect.poll(() => taken).toEqual(['n/a']);
  await store.commit([], [put('n/b')]);
  await expect.poll(() => troubles.slice(0, 2)).toEqual(['n/ stumbled over an event', 'n/ stumbled over a snapshot']);
  await store.commit([], [put('n/c')]);
  stumbles = false;
  await expect.poll(() => taken).toEqual(['n/a', 'n/a n/b n/c']);
  expect(troubles.at(-1)).toBe('n/ recovered');
  abort.abort();
  await following;
});

test('an error of the store that is none of being away ends nothing either', async () => {
  const store = new MemoryStore();
  const list = store.list.bind(store);
  let refusals = 2;
  store.list = (prefix, options) => (refusals-- > 0 ? Promise.reject(new Error('not for you')) : list(prefix, options));
  const { log, troubles } = record(store, 'n/');
  await expect.poll(() => log).toEqual(['snapshot ']);
  expect(troubles).toEqual(['n/ not for you', 'n/ not for you', 'n/ recovered']);
});
