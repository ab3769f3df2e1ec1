/** Readiness and the time it takes to say so. */
import { expect, onTestFinished, test } from 'vitest';
import { createMetrics } from '../../../controller/api/metrics.ts';
import { putClaim } from '../../../controller/operations/claims.ts';
import { Registry } from '../../../controller/operations/registry.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { CallOptions } from '../../../controller/store/store.ts';

test('whether requests can be served is known within a second, however long calls to etcd may take', async () => {
  const given: (number | undefined)[] = [];
  const memory = new MemoryStore();
  const get = memory.get.bind(memory);
  memory.get = (key: string, options?: CallOptions) => {
    given.push(options?.timeoutMs);
    return get(key);
  };
  const log = { info() {}, warn() {}, error() {} };
  // As main.ts puts it together: the metrics are between.
  const registry = new Registry({ name: 'a', store: createMetrics().watchStore(memory), cluster: {}, log });
  onTestFinished(() => registry.close());
  await registry.start();
  given.length = 0;
  await registry.checkReady();
  expect(given).toEqual([1000]);
});

test('claims that a store put back to an older copy does not have are free, whatever revision they were made at', async () => {
  const store = new MemoryStore();
  const log = { info() {}, warn() {}, error() {} };
  const registry = new Registry({ name: 'a', store, cluster: {}, log });
  onTestFinished(() => registry.close());
  await registry.start();
  const older = store.copy();
  for (const vni of [7, 8, 9, 10, 11]) await store.commit([], [putClaim(keys.vniClaim(vni), 'lost')]);
  await expect.poll(() => registry.claims.tenantCount).toBe(6);
  store.rollBack(older);
  await expect.poll(() => registry.claims.tenantCount).toBe(1);
});
