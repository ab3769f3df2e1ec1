/** Controllers that know nothing of each other never give the same thing twice. */
import { expect, test } from 'vitest';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parsePrefix, prefixesOverlap } from '../../../dataplane/address.ts';
import { dump, startApp } from '../api/fixture.ts';
import { expectSound, race } from './creation-race.ts';

test('two controllers create 1000 tenants at once: nothing twice, none lost', async () => {
  const store = new MemoryStore();
  const apps = [await startApp({ store }), await startApp({ store })];
  await expectSound(store, await race(apps, 1000, 32));
}, 60_000);

test('two controllers that pick the same every time still give nothing twice', async () => {
  const store = new MemoryStore();
  const apps = [await startApp({ store, random: () => 0.5 }), await startApp({ store, random: () => 0.5 })];
  await expectSound(store, await race(apps, 100, 4));
}, 60_000);

test('a pool is given away to the last subnet by two controllers at once, and no further', async () => {
  const store = new MemoryStore();
  const cluster = { pools: [parsePrefix('10.9.0.0/20')], subnetPrefixLength: 26, blockPrefixLength: 28 };
  const apps = [await startApp({ store, cluster }), await startApp({ store, cluster })];
  // 64 places, of which the system tenant's /22 takes sixteen.
  const answers = await Promise.all(
    Array.from(
      { length: 80 },
      async (_, index) => await apps[index % 2]?.call('POST', '/v1/tenants', { name: `t${index}` }),
    ),
  );
  const counts = new Map<number | undefined, number>();
  for (const answer of answers) counts.set(answer?.status, (counts.get(answer?.status) ?? 0) + 1);
  expect(Object.fromEntries(counts)).toEqual({ 201: 48, 409: 32 });
  expect(answers.filter((answer) => answer?.status === 409).every((answer) => answer?.body.code === 'exhausted')).toBe(
    true,
  );
  const keys = Object.keys(await dump(store));
  for (const prefix of ['claims/subnet/', 'claims/vni/', 'tenants/'])
    expect(
      keys.filter((key) => key.startsWith(prefix)),
      prefix,
    ).toHaveLength(49);
}, 60_000);

test('the last subnet goes to a tenant that may have it, though one that may not asked first', async () => {
  const store = new MemoryStore();
  const cluster = { pools: [parsePrefix('10.9.0.0/24')], subnetPrefixLength: 26, blockPrefixLength: 28 };
  const { call } = await startApp({ store, cluster });
  for (const name of ['a', 'b']) await call('POST', '/v1/tenants', { name });
  const [refused, given] = await Promise.all([
    call('POST', '/v1/tenants', { name: 'a' }),
    call('POST', '/v1/tenants', { name: 'c' }),
  ]);
  expect([refused.status, refused.body.code, given.status]).toEqual([409, 'conflict', 201]);
});

test('subnets of different sizes, asked for at once, never overlap', async () => {
  const store = new MemoryStore();
  const apps = [await startApp({ store }), await startApp({ store })];
  const wanted = ['10.129.0.0/16', '10.129.4.0/22', '10.129.4.0/24', '10.129.0.0/17', '10.129.0.0/22', '10.160.0.0/11'];
  const answers = await Promise.all(
    wanted.map(
      async (subnet, index) =>
        await apps[index % 2]?.call('POST', '/v1/tenants', { name: `t${index}`, subnets: [subnet] }),
    ),
  );
  const given = answers.flatMap((answer) => answer?.body.subnets ?? []);
  expect(given).toContain('10.160.0.0/11');
  for (const answer of answers) expect([201, 409]).toContain(answer?.status);
  expect(given.filter((subnet) => subnet.startsWith('10.129')).length).toBeGreaterThan(0);
  const sorted = given.map(parsePrefix);
  for (const [index, a] of sorted.entries())
    expect(sorted.slice(index + 1).filter((b) => prefixesOverlap(a, b))).toEqual([]);
});
