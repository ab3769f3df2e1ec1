/** What is not known is not called enforced: a controller that cannot follow which nodes there are says so. */
import { expect, onTestFinished, test } from 'vitest';
import { Acknowledgements } from '../../../controller/enforcement/acknowledgements.ts';
import { Enforcement } from '../../../controller/enforcement/enforcement.ts';
import { Unavailable } from '../../../controller/errors.ts';
import { blocks } from '../../../controller/model/kinds/block.ts';
import { enforcedBy } from '../../../controller/model/kinds/enforced.ts';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { peerings } from '../../../controller/model/kinds/peering.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import { HistoryKeeper } from '../../../controller/store/history-keeper.ts';
import { ensureHistory } from '../../../controller/store/history-records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parsePrefix } from '../../../dataplane/address.ts';

const PAIR = { tenant: 'blue', peer: 'red' };
const BACK = { tenant: 'red', peer: 'blue' };
const ODD = '{"schema":9}';
const ASKED = peerings.format({ ...PAIR, createdAt: '' });
const ASKED_BACK = peerings.format({ ...BACK, createdAt: '' });

test('nothing is enforced while gateways cannot be followed, and it is again once they are', async () => {
  const store = new MemoryStore();
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  let isOdd = false;
  const list = store.list.bind(store);
  store.list = (prefix, options) =>
    isOdd && prefix === keys.nodes ? Promise.reject(new Error('odd')) : list(prefix, options);
  const watch = store.watch.bind(store);
  const breaking = new AbortController();
  store.watch = (prefix, after, signal) =>
    watch(prefix, after, prefix === keys.nodes && !breaking.signal.aborted ? breaking.signal : signal);
  const enforcement = new Enforcement({ store, history: () => BIRTH, book, endpointNodes: () => [] });
  onTestFinished(() => enforcement.close());
  const change = { tenant: 'blue', kinds: ['tenant'], revision: 1, holders: ['blue'] } as const;
  expect(await enforcement.wait(change, 10_000)).toMatchObject({ enforced: true });
  isOdd = true;
  breaking.abort();
  await expect.poll(() => book.all()).toMatchObject([{ kind: 'not_followed', about: keys.nodes, text: 'odd' }]);
  expect(await enforcement.wait(change, 10_000)).toMatchObject({ enforced: false });
  isOdd = false;
  await expect.poll(() => book.all()).toEqual([]);
  expect(await enforcement.wait(change, 10_000)).toMatchObject({ enforced: true });
});

test('whose peers are concerned is asked until the store answers: the write has been done', async () => {
  const store = new MemoryStore();
  const peer = {
    kind: 'put',
    key: keys.peering('blue', 'red'),
    value: peerings.format({ ...PAIR, createdAt: '' }),
  } as const;
  const back = { ...peer, key: keys.peering('red', 'blue'), value: peerings.format({ ...BACK, createdAt: '' }) };
  const block = {
    ...peer,
    key: keys.block('red', parsePrefix('10.129.8.0/27')),
    value: blocks.format({ node: 'node2' }),
  };
  await store.commit([], [peer, back, block]);
  const list = store.list.bind(store);
  let refusals = 2;
  store.list = (prefix, options) =>
    prefix === keys.peerings('blue') && refusals-- > 0
      ? Promise.reject(new Unavailable('store', 'away'))
      : list(prefix, options);
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  const enforcement = new Enforcement({ store, history: () => BIRTH, book, endpointNodes: () => [] });
  onTestFinished(() => enforcement.close());
  const change = { tenant: 'blue', kinds: ['endpoints'], revision: 1, holders: ['blue'], withPeers: true } as const;
  const waiting = enforcement.wait(change, 60_000);
  await expect.poll(() => refusals).toBeLessThan(0);
  const said = enforcedBy.format({
    at: '',
    history: BIRTH,
    tenants: { red: { endpoints: 1 }, blue: { endpoints: 1 } },
  });
  await store.commit([], [{ kind: 'put', key: keys.enforced('node2'), value: said }]);
  expect(await waiting).toMatchObject({ enforced: true, nodes: [{ node: 'node2' }] });
});

test.each([
  ['a block of the tenant', { [keys.block('blue', parsePrefix('10.129.8.0/27'))]: ODD }, {}],
  [
    'its peering',
    { [keys.peering('blue', 'red')]: ODD, [keys.peering('red', 'blue')]: ASKED_BACK },
    { withPeers: true },
  ],
  [
    'the peering of its peer',
    { [keys.peering('blue', 'red')]: ASKED, [keys.peering('red', 'blue')]: ODD },
    { withPeers: true },
  ],
] as const)(
  'while %s cannot be read, nodes that speak of the tenant are concerned, and no others',
  async (_, records, also) => {
    const store = new MemoryStore();
    const put = (key: string, value: string) => store.commit([], [{ kind: 'put', key, value }]);
    for (const [key, value] of Object.entries(records)) await put(key, value);
    const say = (node: string, tenant: string, endpoints: number) =>
      put(keys.enforced(node), enforcedBy.format({ at: '', history: BIRTH, tenants: { [tenant]: { endpoints } } }));
    await say('node1', 'blue', 5);
    await say('node2', 'red', 5);
    await put('blocks/blue/zz', ODD);
    const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
    const enforcement = new Enforcement({ store, history: () => BIRTH, book, endpointNodes: () => [] });
    onTestFinished(() => enforcement.close());
    const change = (revision: number) =>
      ({ tenant: 'blue', kinds: ['endpoints'], revision, holders: ['blue'], ...also }) as const;
    expect(await enforcement.wait(change(5), 60_000)).toMatchObject({ enforced: true, nodes: [{ node: 'node1' }] });
    expect(await enforcement.wait(change(6), 0)).toMatchObject({ enforced: false, lagging: ['node1'] });
    const waiting = enforcement.wait(change(6), 60_000);
    await say('node1', 'blue', 6);
    expect(await waiting).toMatchObject({ enforced: true, nodes: [{ node: 'node1' }] });
  },
);

test('a key of another form is no block: it makes no node concerned', async () => {
  const store = new MemoryStore();
  await store.commit([], [{ kind: 'put', key: 'blocks/blue/zz', value: ODD }]);
  const value = enforcedBy.format({ at: '', history: BIRTH, tenants: { blue: { endpoints: 1 } } });
  await store.commit([], [{ kind: 'put', key: keys.enforced('node1'), value }]);
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  const enforcement = new Enforcement({ store, history: () => BIRTH, book, endpointNodes: () => [] });
  onTestFinished(() => enforcement.close());
  const change = { tenant: 'blue', kinds: ['endpoints'], revision: 6, holders: ['blue'] } as const;
  expect(await enforcement.wait(change, 60_000)).toMatchObject({ enforced: true, nodes: [] });
});

test('what a node says in another history is heard, though an acknowledgement of before has its revision', async () => {
  const memory = new MemoryStore();
  await ensureHistory(memory, 'a');
  const log = { info() {}, warn() {}, error() {} };
  const watcher = { failed() {}, recovered() {} };
  const store = new HistoryKeeper({ store: memory, name: 'a', log, watcher });
  const acknowledgements = new Acknowledgements(() => 0, new ProblemBook({ now: () => '2026-01-01T00:00:00Z' }));
  const over = new AbortController();
  onTestFinished(async () => {
    over.abort();
    await store.close();
  });
  void acknowledgements.follow(store, over.signal, watcher);
  const say = (history: string) => {
    const value = enforcedBy.format({ at: '2026-01-01T00:00:00Z', history, tenants: {} });
    return memory.commit([], [{ kind: 'put', key: keys.enforced('node1'), value }]);
  };
  const older = memory.copy();
  const { revision } = await say(BIRTH);
  await expect.poll(() => acknowledgements.of('node1')?.record?.history).toBe(BIRTH);
  memory.rollBack(older);
  expect((await say('h2')).revision).toBe(revision);
  await expect.poll(() => acknowledgements.of('node1')?.record?.history).toBe('h2');
});
