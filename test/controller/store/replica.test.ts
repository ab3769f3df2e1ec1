/** A copy of what lies under a prefix, on the fake store: what it keeps, what it tells of, and records that cannot be read. */
import { expect, onTestFinished, test } from 'vitest';
import { Acknowledgements } from '../../../controller/enforcement/acknowledgements.ts';
import { formatRecord, Unreadable } from '../../../controller/model/kinds/kind.ts';
import { nodes } from '../../../controller/model/kinds/node.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import { followingProblems } from '../../../controller/store/findings.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { Replica } from '../../../controller/store/replica.ts';
import type { Write } from '../../../controller/store/store.ts';

const put = (key: string, value: string): Write => ({ kind: 'put', key, value });
const node = (name: string, underlay: string): Write => {
  const record = { name, underlay, underlayMac: '02:00:00:00:00:01', roles: ['compute'], version: '0' };
  return put(keys.node(name), formatRecord(record, nodes.version));
};
const odd = (name: string): Write => put(keys.node(name), '{"schema":9}');

/** A replica of nodes' underlay addresses, which writes down what it is told. */
function copyOf(store: MemoryStore) {
  const log: string[] = [];
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  const replica = new Replica<string>({
    book,
    read: (entry) => {
      const record = nodes.read(entry);
      return record instanceof Unreadable ? record : record.underlay;
    },
    onChange: (key, now, before) => void log.push(`${key} ${before ?? '-'} > ${now ?? '-'}`),
  });
  const stopping = new AbortController();
  const following = replica.follow(store, keys.nodes, stopping.signal, followingProblems(book));
  const stop = async () => {
    stopping.abort();
    await following;
  };
  onTestFinished(stop);
  return { replica, log, book, stop, problems: () => book.all().map(({ kind, about }) => `${kind} ${about}`) };
}

test('keeps what the listing has and what comes after, and tells each change once', async () => {
  const store = new MemoryStore();
  await store.commit([], [node('a', '192.0.2.1'), node('b', '192.0.2.2')]);
  const { replica, log } = copyOf(store);
  await replica.synced;
  expect([...replica.values()]).toEqual(['192.0.2.1', '192.0.2.2']);
  await store.commit([], [node('a', '192.0.2.3'), { kind: 'delete', key: keys.node('b') }]);
  await store.commit([], [node('a', '192.0.2.3')]);
  await store.commit([], [node('c', '192.0.2.4')]);
  await expect.poll(() => replica.get(keys.node('c'))).toBe('192.0.2.4');
  expect(log.slice(2)).toEqual(['nodes/a 192.0.2.1 > 192.0.2.3', 'nodes/b 192.0.2.2 > -', 'nodes/c - > 192.0.2.4']);
});

test('what went and came while the watch was broken is found by the next listing', async () => {
  const store = new MemoryStore();
  const breaking = new AbortController();
  const watch = store.watch.bind(store);
  const meanwhile: Write[] = [node('c', '192.0.2.4'), { kind: 'delete', key: keys.node('a') }];
  store.watch = async function* (prefix, after, signal) {
    const writes = meanwhile.splice(0);
    yield* watch(prefix, after, writes.length > 0 ? breaking.signal : signal);
    if (writes.length > 0) await store.commit([], writes);
  };
  await store.commit([], [node('a', '192.0.2.1'), node('b', '192.0.2.2')]);
  const { replica, log } = copyOf(store);
  await replica.synced;
  breaking.abort();
  await expect.poll(() => log.slice(2)).toEqual(['nodes/a 192.0.2.1 > -', 'nodes/c - > 192.0.2.4']);
});

test('an update that cannot be read leaves the record as it was, and is told until it can be', async () => {
  const store = new MemoryStore();
  await store.commit([], [node('a', '192.0.2.1')]);
  const { replica, log, problems } = copyOf(store);
  await replica.synced;
  await store.commit([], [odd('a')]);
  await expect.poll(problems).toEqual(['record_unreadable nodes/a']);
  expect(replica.get(keys.node('a'))).toBe('192.0.2.1');
  await store.commit([], [node('a', '192.0.2.5')]);
  await expect.poll(problems).toEqual([]);
  expect(log).toEqual(['nodes/a - > 192.0.2.1', 'nodes/a 192.0.2.1 > 192.0.2.5']);
});

test('another object under the name that cannot be read counts as absent, and so does a new one', async () => {
  const store = new MemoryStore();
  await store.commit([], [node('a', '192.0.2.1')]);
  const { replica, problems } = copyOf(store);
  await replica.synced;
  await store.commit([], [{ kind: 'delete', key: keys.node('a') }]);
  await store.commit([], [odd('a'), odd('b'), put('nodes/x/y', '{}')]);
  await expect
    .poll(() => problems().toSorted())
    .toEqual(['record_unreadable nodes/a', 'record_unreadable nodes/b', 'record_unreadable nodes/x/y']);
  expect([...replica.values()]).toEqual([]);
  const gone = ['nodes/a', 'nodes/b', 'nodes/x/y'].map((key): Write => ({ kind: 'delete', key }));
  await store.commit([], gone);
  await expect.poll(problems).toEqual([]);
});

test('what is not followed any more is no problem any more', async () => {
  const store = new MemoryStore();
  await store.commit([], [odd('a')]);
  const { problems, stop } = copyOf(store);
  await expect.poll(problems).toEqual(['record_unreadable nodes/a']);
  await stop();
  expect(problems()).toEqual([]);
});

test('an acknowledgement that cannot be read is told once it is asked for, until the node says something else', async () => {
  const store = new MemoryStore();
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  const said = new Acknowledgements(() => 0, book);
  const stopping = new AbortController();
  const following = said.follow(store, stopping.signal, followingProblems(book));
  onTestFinished(async () => {
    stopping.abort();
    await following;
  });
  await store.commit([], [put(keys.enforced('node1'), '{"schema":99}')]);
  await expect.poll(() => said.of('node1')).toBeDefined();
  expect(said.of('node1')?.record).toBeUndefined();
  const wanted = [{ kind: 'record_unreadable', about: keys.enforced('node1') }];
  expect(book.all()).toMatchObject(wanted);
  await store.commit([], [put(keys.enforced('node1'), '{"schema":98}')]);
  await expect.poll(() => book.all()[0]?.text).toContain('98');
  await store.commit([], [{ kind: 'delete', key: keys.enforced('node1') }]);
  await expect.poll(() => book.all()).toEqual([]);
});
