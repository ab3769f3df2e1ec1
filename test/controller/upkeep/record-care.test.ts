/** Records of every kind that cannot be read are told, by the leader or by the programs that follow them. */
import { expect, onTestFinished, test } from 'vitest';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { watchRecords } from '../../../controller/upkeep/record-care.ts';
import { problemBook } from '../../cni-plugin/agent/builders.ts';
import { startApp } from '../api/fixture.ts';

const ODD = '{"schema":9}';

test('those that no other program reads in time, until they are mended, gone, or another leads', async () => {
  const store = new MemoryStore();
  const put = (key: string, value: string) => store.commit([], [{ kind: 'put', key, value }]);
  const book = problemBook();
  const abort = new AbortController();
  const told = () => book.all().map(({ kind, about }) => `${kind} ${about}`);
  const odd = ['backup', 'history', 'leader', 'live/node1', 'policy-turns/blue', 'wanted/traffic/asker', 'wanted/zz'];
  await put('live/node2', '{"schema":1}');
  for (const key of odd.slice(0, 4)) await put(key, ODD);
  const watching = watchRecords({ store, book }, abort.signal);
  onTestFinished(() => abort.abort());
  for (const key of odd.slice(4)) await put(key, ODD);
  await expect.poll(() => told().toSorted()).toEqual(odd.map((key) => `record_unreadable ${key}`));
  await put('live/node1', '{"schema":1}');
  await store.commit([], [{ kind: 'delete', key: 'history' }]);
  await expect.poll(told).toHaveLength(odd.length - 2);
  abort.abort();
  await watching;
  expect(told()).toEqual([]);
});

test('claims, of which what they claim is taken all the same', async () => {
  const store = new MemoryStore();
  const { call, registry } = await startApp({ store });
  expect((await call('POST', '/v1/tenants', { name: 'blue' })).status).toBe(201);
  const told = async () => (await call('GET', '/v1/cluster/problems')).body.items?.map(({ about }) => about);
  const claim = keys.namespaceClaim('blue');
  const good = (await store.get(claim)).entry?.value ?? '';
  const odd = [claim, 'claims/subnet/zz', keys.vniClaim(77)];
  for (const key of odd) await store.commit([], [{ kind: 'put', key, value: ODD }]);
  await expect.poll(told).toEqual(odd);
  expect(registry.claims.tenantCount).toBe(3);
  await store.commit([], [{ kind: 'put', key: claim, value: good }]);
  await store.commit(
    [],
    odd.slice(1).map((key) => ({ kind: 'delete', key }) as const),
  );
  await expect.poll(told).toEqual([]);
});
