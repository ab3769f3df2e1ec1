/** The leader finishes deletions that no caller waits for any more, and frees nothing that a node still holds. */
import { expect, onTestFinished, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { deleteTenant } from '../../../controller/operations/delete-tenant.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { finishDeletions } from '../../../controller/upkeep/deletions.ts';
import type { LeaderGuard } from '../../../controller/upkeep/election.ts';
import { problemBook } from '../../cni-plugin/agent/builders.ts';
import { dump, putBlock, putNode, startApp, until } from '../api/fixture.ts';

const silent = { info: () => undefined, warn: () => undefined };

/** Makes a controller the leader. */
async function lead(store: MemoryStore): Promise<LeaderGuard> {
  const { revision } = await store.commit([], [{ kind: 'put', key: keys.leader, value: formatRecord({}) }]);
  return { kind: 'sameIncarnation', key: keys.leader, createRevision: revision };
}

/** Upkeep that ends with the test. `rounds` counts how often it has looked at what nodes still hold of a tenant. */
function startUpkeep(store: MemoryStore, guard: LeaderGuard): { readonly rounds: () => number } {
  const abort = new AbortController();
  let rounds = 0;
  const counting: Store = {
    get: (key) => store.get(key),
    list: (prefix, options) => {
      if (prefix.startsWith(keys.allBlocks)) rounds++;
      return store.list(prefix, options);
    },
    commit: (guards, writes) => store.commit(guards, writes),
    watch: (prefix, after, signal) => store.watch(prefix, after, signal),
    lease: (ttlSeconds) => store.lease(ttlSeconds),
    close: () => store.close(),
  };
  const ended = finishDeletions(
    { store: counting, log: silent, book: problemBook(), intervalMs: 5 },
    abort.signal,
    guard,
  );
  ended.catch(() => undefined);
  onTestFinished(async () => {
    abort.abort();
    await ended.catch(() => undefined);
  });
  return { rounds: () => rounds };
}

async function startWithTenant() {
  const store = new MemoryStore();
  const app = await startApp({ store });
  const empty = await dump(store);
  await app.call('POST', '/v1/tenants', { name: 'blue' });
  const block = await putBlock(store, 'blue', '10.128.8.0/27');
  return { ...app, memory: store, empty, block };
}

test('a tenant goes as soon as its last block is given back', async () => {
  const { memory, registry, empty, block } = await startWithTenant();
  expect((await deleteTenant(registry, 'blue', {}, 10)).remaining).toEqual(['node1']);
  startUpkeep(memory, await lead(memory));
  await memory.commit([], [{ kind: 'delete', key: block }]);
  await until('gone', async () => (await memory.get(keys.tenant('blue'))).entry === undefined);
  const { leader: _, ...rest } = await dump(memory);
  expect(rest).toEqual(empty);
});

test('one that is deleted while upkeep runs goes too, others stay', async () => {
  const { memory, registry, block, call } = await startWithTenant();
  await call('POST', '/v1/tenants', { name: 'green' });
  startUpkeep(memory, await lead(memory));
  expect((await deleteTenant(registry, 'blue', {}, 10)).remaining).toEqual(['node1']);
  await memory.commit([], [{ kind: 'delete', key: block }]);
  await until('gone', async () => (await call('GET', '/v1/tenants/blue')).status === 404);
  expect((await call('GET', '/v1/tenants/green')).status).toBe(200);
});

test('a block of a dead node keeps the tenant until an operator deletes the node', async () => {
  const { memory, registry, block, call } = await startWithTenant();
  await putNode(memory, 'node1', { live: false });
  await deleteTenant(registry, 'blue', {}, 10);
  const { rounds } = startUpkeep(memory, await lead(memory));
  await until('five rounds', () => rounds() >= 5);
  expect((await memory.get(block)).entry).toBeDefined();
  expect((await call('GET', '/v1/tenants/blue')).body.phase).toBe('deleting');
  expect((await call('DELETE', '/v1/nodes/node1')).status).toBe(204);
  await until('gone', async () => (await call('GET', '/v1/tenants/blue')).status === 404);
});

test('who is leader no longer writes nothing', async () => {
  const { memory, registry, block } = await startWithTenant();
  await deleteTenant(registry, 'blue', {}, 10);
  const guard = await lead(memory);
  await memory.commit([], [{ kind: 'delete', key: keys.leader }]);
  await lead(memory);
  await memory.commit([], [{ kind: 'delete', key: block }]);
  const before = await dump(memory);
  const { rounds } = startUpkeep(memory, guard);
  await until('many tries', () => rounds() >= 50);
  expect(await dump(memory)).toEqual(before);
});

test('a store that is away for a while only delays it', async () => {
  const { memory, registry, block } = await startWithTenant();
  await deleteTenant(registry, 'blue', {}, 10);
  await memory.commit([], [{ kind: 'delete', key: block }]);
  const guard = await lead(memory);
  for (const operation of ['list', 'get', 'commit'] as const) memory.failNext('unavailable', operation);
  startUpkeep(memory, guard);
  // Asked of the watch, so that the failures are left for upkeep to meet.
  await until('gone', () => registry.claims.tenantCount === 1);
});

test('records and claims that cannot be read stop neither it nor the controller', async () => {
  const { memory, registry, block, call } = await startWithTenant();
  await memory.commit(
    [],
    ['tenants/bad', 'claims/subnet/bad', 'claims/vni/bad'].map((key) => ({ kind: 'put', key, value: 'not JSON' })),
  );
  startUpkeep(memory, await lead(memory));
  await deleteTenant(registry, 'blue', {}, 10);
  await memory.commit([], [{ kind: 'delete', key: block }]);
  await until('gone', async () => (await call('GET', '/v1/tenants/blue')).status === 404);
  expect((await call('POST', '/v1/tenants', { name: 'green' })).status).toBe(201);
});
