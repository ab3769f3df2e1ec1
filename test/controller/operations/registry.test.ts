/** Readiness and the time it takes to say so. */
import { expect, onTestFinished, test } from 'vitest';
import { createMetrics } from '../../../controller/api/metrics.ts';
import { Registry } from '../../../controller/operations/registry.ts';
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
