/** Asking nodes for what they see: once for all callers, for as long as there are any, and again when the store has lost it. */
import { afterEach, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { subjects } from '../../../controller/model/kinds/wanted.ts';
import { Wanted, type WantedOptions } from '../../../controller/operations/wanted.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';

const BLUE = subjects.denials('blue');
/** Never to come in a test. */
const LONG_MS = 600_000;

let wanted: Wanted | undefined;
afterEach(() => wanted?.close());

async function start(options: Partial<WantedOptions> = {}) {
  const store = new MemoryStore();
  const nodesOf = (subject: string) => (subject === BLUE ? ['node1', 'node2'] : undefined);
  wanted = new Wanted({ store, log: console, nodesOf, patienceMs: LONG_MS, lingerMs: LONG_MS, ...options });
  const put = (key: string) => store.commit([], [{ kind: 'put', key, value: formatRecord({}) }]);
  const asked = async () => (await store.list(keys.wanted)).entries.map(({ key }) => key.replace(/[^/]+$/, ''));
  return { store, put, asked, wanted };
}

test('is written once, however many want it, and stays until the last has had it', async () => {
  const { store, asked, wanted } = await start({ lingerMs: 0 });
  const holds = [wanted.hold(BLUE), wanted.hold(BLUE)];
  await Promise.all(holds.map(({ answered }) => answered));
  const { revision } = await store.get('any');
  const third = wanted.hold(BLUE);
  await third.answered;
  expect((await store.get('any')).revision).toBe(revision);
  expect(await asked()).toEqual(['wanted/denials/blue/']);
  for (const hold of [...holds, third]) hold.release();
  third.release();
  await expect.poll(asked, { timeout: 10_000 }).toEqual([]);
});

test('what is still wanted stays when something else no longer is', async () => {
  const { asked, wanted } = await start({ lingerMs: 0 });
  const traffic = wanted.hold(subjects.traffic);
  const blue = wanted.hold(BLUE);
  await Promise.all([traffic.answered, blue.answered]);
  expect((await asked()).sort()).toEqual(['wanted/denials/blue/', 'wanted/traffic/']);
  blue.release();
  await expect.poll(asked, { timeout: 10_000 }).toEqual(['wanted/traffic/']);
});

test('waits for the first answer of nodes that have something of it and are alive, and of no other', async () => {
  const { put, asked, wanted } = await start();
  for (const node of ['node1', 'node3']) await put(keys.liveNode(node));
  // An answer of earlier is none.
  await put(keys.nodeDenials('blue', 'node1'));
  let isAnswered = false;
  const answered = wanted.hold(BLUE).answered.then(() => {
    isAnswered = true;
  });
  await expect.poll(asked, { timeout: 10_000 }).toHaveLength(1);
  await put(keys.nodeDenials('blue', 'node3'));
  await put(keys.nodeDenials('blue2', 'node1'));
  expect(isAnswered).toBe(false);
  await put(keys.nodeDenials('blue', 'node1'));
  await answered;
  const traffic = wanted.hold(subjects.traffic).answered;
  await expect.poll(asked, { timeout: 10_000 }).toHaveLength(2);
  for (const node of ['node1', 'node3']) await put(keys.traffic(node));
  await traffic;
});

test('does not wait for ever for nodes that are silent, nor when it is closed', async () => {
  const silent = await start({ patienceMs: 10 });
  await silent.put(keys.liveNode('node1'));
  await silent.wanted.hold(BLUE).answered;
  await silent.wanted.close();
  const closed = await start();
  await closed.put(keys.liveNode('node1'));
  const { answered } = closed.wanted.hold(BLUE);
  await expect.poll(closed.asked, { timeout: 10_000 }).toHaveLength(1);
  await closed.wanted.close();
  await answered;
  expect(await closed.asked()).toEqual([]);
});

test('is asked again when the store has lost the lease', async () => {
  const { store, asked, wanted } = await start();
  await Promise.all([wanted.hold(BLUE).answered, wanted.hold(subjects.traffic).answered]);
  store.failNext('unavailable', 'lease');
  await store.expireLeases();
  await expect.poll(asked, { timeout: 10_000 }).toHaveLength(2);
});

test.each(['unavailable', 'indeterminate-not-applied'] as const)(
  'a store that does not take it (%s) is told to who wants it; the next asks anew',
  async (failure) => {
    const { store, asked, wanted } = await start();
    store.failNext(failure);
    const failed = wanted.hold(BLUE);
    await expect(failed.answered).rejects.toMatchObject({ code: 'unavailable' });
    failed.release();
    await wanted.hold(BLUE).answered;
    expect(await asked()).toEqual(['wanted/denials/blue/']);
  },
);
