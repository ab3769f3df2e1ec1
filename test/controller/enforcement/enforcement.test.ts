/** What is not known is not called enforced: a controller that cannot follow which nodes there are says so. */
import { expect, onTestFinished, test } from 'vitest';
import { Enforcement } from '../../../controller/enforcement/enforcement.ts';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';

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
