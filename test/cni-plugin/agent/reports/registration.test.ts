/** A node becomes known by what the store holds, not by what was heard of it; in another history of the store, anew. */
import { pino } from 'pino';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type RegistrationOptions, stayRegistered } from '../../../../cni-plugin/agent/reports/registration.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { blocks } from '../../../../controller/model/kinds/block.ts';
import { recoveries } from '../../../../controller/model/kinds/history.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import { entries, node, problemBook, tenant } from '../builders.ts';

let store: MemoryStore;
let snapshot: Snapshot;

beforeEach(async () => {
  store = new MemoryStore();
  snapshot = new Snapshot();
  for (const { key, value } of entries({ tenants: [tenant('system', 1)] }))
    await store.commit([], [{ kind: 'put', key, value }]);
  for (const entry of (await store.list('')).entries) snapshot.put(entry);
});

function register(options: Partial<RegistrationOptions> = {}) {
  const abort = new AbortController();
  let over = new AbortController();
  const known = { times: 0 };
  const running = stayRegistered(
    {
      store,
      snapshot,
      book: problemBook(),
      log: pino({ level: 'silent' }),
      node: () => node(1),
      needsSystemAddress: true,
      onNameTaken: () => undefined,
      over: () => over.signal,
      reclaim: async () => undefined,
      onRegistered: () => known.times++,
      ...options,
    },
    abort.signal,
  );
  onTestFinished(async () => {
    abort.abort();
    await running;
  });
  const move = () => {
    const before = over;
    over = new AbortController();
    before.abort();
  };
  return { known, move };
}

const systemBlocks = async () =>
  (await store.list(keys.blocks('system'))).entries.map((entry) => [entry.key, blocks.find(entry)?.node]);

test('its system address is claimed again where the store has lost it, though the snapshot has it', async () => {
  const older = store.copy();
  const { known, move } = register();
  await expect.poll(() => known.times).toBe(1);
  const held = await systemBlocks();
  expect(held).toMatchObject([[expect.any(String), 'node1']]);
  store.rollBack(older);
  // The lowest is another node's by now, as it was before.
  move();
  await expect.poll(() => known.times).toBe(2);
  expect(await systemBlocks()).toEqual(held);
});

test('a node that has none waits while others claim again what they hold, one that had one does not', async () => {
  const value = recoveries.format({ history: 'x', begunAt: '2026-01-01T00:00:00Z', phase: 'claiming' });
  const { known, move } = register();
  await expect.poll(() => known.times).toBe(1);
  const [held] = await systemBlocks();
  await store.commit(
    [],
    [
      { kind: 'put', key: keys.recovery, value },
      { kind: 'delete', key: held?.[0] ?? '' },
    ],
  );
  move();
  await expect.poll(() => known.times).toBe(2);
  expect(await systemBlocks()).toEqual([held]);

  const other = register({ node: () => node(2), snapshot: new Snapshot() });
  const newcomer = new Snapshot();
  for (const entry of (await store.list('')).entries) newcomer.put(entry);
  const late = register({ node: () => node(3), snapshot: newcomer });
  let asked = 0;
  const get = store.get.bind(store);
  store.get = (key, options) => {
    if (key === keys.recovery) asked++;
    return get(key, options);
  };
  await expect.poll(() => asked).toBeGreaterThan(1);
  expect(late.known.times + other.known.times).toBe(0);
  await store.commit([], [{ kind: 'delete', key: keys.recovery }]);
  await expect.poll(() => late.known.times).toBe(1);
});

test('what was claimed again in a history that has ended meanwhile does not make it known', async () => {
  const reclaimed: string[] = [];
  const registered: string[] = [];
  let history = 'h2';
  const { move } = register({
    reclaim: async () => {
      reclaimed.push(history);
      if (history === 'h3') return;
      history = 'h3';
      move();
    },
    onRegistered: () => registered.push(reclaimed.at(-1) ?? ''),
  });
  await expect.poll(() => registered).toEqual(['h3']);
  expect(reclaimed).toEqual(['h2', 'h3']);
});
