/** A backup holds all that makes the cluster, and a restore makes the cluster what it says. */
import { expect, test } from 'vitest';
import { enforcedBy } from '../../../controller/model/kinds/enforced.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { MAX_COMMIT_OPERATIONS } from '../../../controller/store/commit-rules.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Write } from '../../../controller/store/store.ts';
import {
  ALLOW_ALL,
  backUp,
  CountingStore,
  configured,
  phaseOf,
  policyPath,
  RESTORE,
  restore,
  setUp,
} from './backup-fixture.ts';
import { dump, putBlock, putEndpoint, putNode, startApp, until } from './fixture.ts';

test('a backup has a head, every record that makes the cluster, and nothing that is told for a moment', async () => {
  const scene = await setUp();
  const lines = (await backUp(scene))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const [head, ...rest] = lines;
  const [tail, seal] = rest.splice(-2);
  expect(head).toMatchObject({ tenet: 'backup', format: 1, version: '0.0.0', history: { cause: 'birth' } });
  expect(tail).toEqual({ count: rest.length, leftOut: [] });
  expect(seal).toEqual({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  const all = await dump(scene.raw);
  const moment = new Set([keys.liveNode('node1'), keys.lastBackup, keys.history]);
  const wanted = Object.entries(all).filter(([key]) => !moment.has(key));
  expect(Object.fromEntries(rest.map(({ key, value }) => [key, value]))).toEqual(Object.fromEntries(wanted));
});

test('a backup is of one revision, though the cluster changes while it is read', async () => {
  const raw = new MemoryStore();
  const scene = await setUp(raw);
  const before = await configured(raw);
  const list = raw.list.bind(raw);
  let changes = 0;
  raw.list = async (prefix, options) => {
    if (options?.at !== undefined && changes++ === 0)
      await raw.commit(
        [],
        [
          { kind: 'delete', key: keys.peering('blue', 'red') },
          { kind: 'delete', key: keys.node('node1') },
        ],
      );
    return await list(prefix, options);
  };
  const records = (await backUp(scene))
    .trimEnd()
    .split('\n')
    .slice(1, -2)
    .map((line) => JSON.parse(line).key);
  expect(changes).toBeGreaterThan(1);
  expect(records).toEqual(expect.arrayContaining([...Object.keys(before), keys.node('node1')]));
});

test('a restore brings back what was, as a new history, and tells what it could not keep', async () => {
  const scene = await setUp();
  const { call, raw, registry } = scene;
  const before = await configured(raw);
  const file = await backUp(scene);
  const { history } = registry.store;
  expect((await call('POST', '/v1/tenants', { name: 'green' })).status).toBe(201);
  expect((await call('PUT', policyPath('blue', 'second'), ALLOW_ALL)).status).toBe(201);
  expect((await call('PUT', policyPath('blue', 'first'), { podSelector: {}, ingress: [] })).status).toBe(200);
  expect((await call('POST', '/v1/tenants/blue/subnets', {})).status).toBe(201);
  expect((await call('DELETE', '/v1/tenants/blue/peerings/red')).status).toBe(204);
  expect((await call('DELETE', '/v1/tenants/red')).status).toBe(204);
  expect(await configured(raw)).not.toEqual(before);

  const { status, body } = await restore(scene, raw, file);
  expect({ status, body }).toMatchObject({ status: 200, body: { recovered: true, waitingFor: [], more: 0 } });
  expect(await configured(raw)).toEqual(before);
  expect(body.history).toBe(registry.store.history);
  expect(body.history).not.toBe(history);
  expect(body.restored).toMatchObject({ tenant: 2, policy: 2, peering: 1 });
  expect(body.removed).toMatchObject({ tenant: 1, policy: 1 });
  expect(body.notKept).toEqual(
    expect.arrayContaining([
      { kind: 'tenant', name: 'green', reason: 'it is not in the backup' },
      { kind: 'policy', name: 'blue/blue-web/second', tenant: 'blue', reason: 'it is not in the backup' },
      expect.objectContaining({ kind: 'subnet', tenant: 'blue' }),
    ]),
  );
  expect((await call('GET', '/v1/tenants/red')).status).toBe(200);
  expect((await call('GET', '/v1/tenants/green')).status).toBe(404);
  // The cluster takes writes as before, and the restored claims are known.
  await until(
    'tenants are made again',
    async () => (await call('POST', '/v1/tenants', { name: 'green' })).status === 201,
  );
});

test('what a node of the store holds stays as it is', async () => {
  const scene = await setUp();
  const { raw } = scene;
  const file = await backUp(scene);
  await raw.commit([], [{ kind: 'delete', key: keys.block('blue', '10.128.4.0/27' as never) }]);
  const block = await putBlock(raw, 'blue', '10.128.4.32/27', 'node1');
  const { id } = await putEndpoint(raw, { id: '000000000002' });
  await raw.commit([], [{ kind: 'delete', key: keys.endpoint('blue', 'node1', '3f9c01ab77d2') }]);
  const held = await dump(raw);
  const { status, body } = await restore(scene, raw, file);
  expect(status).toBe(200);
  expect(body.restored).toEqual({});
  const after = await dump(raw);
  expect(Object.keys(after)).toEqual(Object.keys(held));
  expect(after).toMatchObject({ [block]: held[block], [keys.endpoint('blue', 'node1', id)]: expect.any(String) });
});

test('an empty store becomes the cluster, and keeps the blocks of nodes that have not come back', async () => {
  const scene = await setUp();
  await putNode(scene.store, 'node2');
  const lost = await putBlock(scene.store, 'blue', '10.128.4.64/27', 'node2');
  const taken = await putBlock(scene.store, 'blue', '10.128.4.96/27', 'node2');
  const before = await dump(scene.raw);
  const file = await backUp(scene);

  const raw = new MemoryStore();
  const next = await startApp({ store: raw, cluster: { pools: ['10.200.0.0/16'] as never } });
  // The agent of node1 has registered with the new store, and that of node2 is away.
  await putNode(raw, 'node1');
  await putBlock(raw, 'blue', '10.128.4.96/27', 'node1');
  const { status, body } = await restore(next, raw, file);
  expect(status).toBe(200);
  expect(await configured(raw)).toEqual(await configured(scene.raw));
  const after = await dump(raw);
  expect(after[lost]).toBe(before[lost]);
  expect(after[keys.node('node2')]).toBe(before[keys.node('node2')]);
  expect(after[taken]).toBe(formatRecord({ node: 'node1' }));
  // It publishes them itself: they may have other labels by now.
  expect(Object.keys(after).filter((key) => key.startsWith(keys.allEndpoints))).toEqual([]);
  // node1 speaks for itself.
  expect(after[keys.block('blue', '10.128.4.0/27' as never)]).toBeUndefined();
  const block = {
    kind: 'block',
    name: '10.128.4.96/27',
    tenant: 'blue',
    node: 'node2',
    reason: 'node1 holds it by now',
  };
  expect(body.notKept).toEqual([expect.objectContaining({ kind: 'subnet', tenant: 'system' }), block]);
  await until('the controller knows the pools', () => next.registry.cluster().pools[0] !== ('10.200.0.0/16' as never));
  expect((await next.call('POST', '/v1/tenants', { name: 'green' })).status).toBe(201);
});

test('what nodes hold outside of what tenants have by the backup is removed: its place may be given to others', async () => {
  const scene = await setUp();
  const { call, raw } = scene;
  const file = await backUp(scene);
  expect((await call('POST', '/v1/tenants', { name: 'green', subnets: ['10.128.200.0/24'] })).status).toBe(201);
  expect((await call('POST', '/v1/tenants/blue/subnets', { cidr: '10.128.210.0/24' })).status).toBe(201);
  const kept = Object.keys(await dump(raw)).filter((key) => /^(blocks|endpoints)\//.test(key));
  await putBlock(raw, 'green', '10.128.200.0/27');
  await putBlock(raw, 'blue', '10.128.210.0/27');
  await putEndpoint(raw, { id: '000000000003', tenant: 'green', namespace: 'green', ips: ['10.128.200.5'] as never });
  await putEndpoint(raw, { id: '000000000004', ips: ['10.128.210.5'] as never });
  expect((await restore(scene, raw, file)).body).toMatchObject({ removed: { block: 2, endpoint: 2 } });
  expect(Object.keys(await dump(raw)).filter((key) => /^(blocks|endpoints)\//.test(key))).toEqual(kept);
});

test('a backup of a cluster of other pools is refused while there are tenants', async () => {
  const scene = await setUp();
  const file = await backUp(scene);
  const raw = new MemoryStore();
  const other = await startApp({ store: raw, cluster: { pools: ['10.200.0.0/16'] as never } });
  expect((await other.call('POST', '/v1/tenants', { name: 'green' })).status).toBe(201);
  const before = await dump(raw);
  const { status, body } = await restore(other, raw, file);
  expect({ status, body }).toMatchObject({ status: 409, body: { code: 'conflict', errors: [{ field: 'pools' }] } });
  expect(await dump(raw)).toEqual(before);
});

test('records that cannot be read are left out of a backup and told, and a restore leaves them as they are', async () => {
  const scene = await setUp();
  const { raw } = scene;
  const odd = keys.policy('blue', 'blue-web', 'odd');
  await raw.commit([], [{ kind: 'put', key: odd, value: '{"schema":9}' }]);
  const file = await backUp(scene);
  expect(JSON.parse(file.trimEnd().split('\n').at(-2) ?? '')).toMatchObject({
    leftOut: [{ key: odd, reason: 'has schema 9, this version reads 1 and 2' }],
  });
  const { body } = await restore(scene, raw, file);
  expect(body).toMatchObject({ removed: {}, notKept: [] });
  expect((await dump(raw))[odd]).toBe('{"schema":9}');
  await raw.commit([], [{ kind: 'delete', key: odd }]);
  expect((await restore(scene, raw, file)).body).toMatchObject({ notKept: [{ kind: 'policy', name: odd }] });
});

test('3,000 records are written by commits of at most 100', async () => {
  const scene = await setUp();
  const policy = (await dump(scene.raw))[keys.policy('blue', 'blue-web', 'first')] ?? '';
  const names = Array.from({ length: 3000 }, (_, index) => `p${index}`);
  for (let start = 0; start < names.length; start += 100) {
    const writes = names.slice(start, start + 100).map((name): Write => {
      const value = policy.replace('"name":"first"', JSON.stringify({ name }).slice(1, -1));
      return { kind: 'put', key: keys.policy('blue', 'blue-web', name), value };
    });
    await scene.raw.commit([], writes);
  }
  const file = await backUp(scene);
  const raw = new CountingStore();
  const next = await startApp({ store: raw });
  raw.sizes.splice(0);
  const { status, body } = await restore(next, raw, file);
  expect({ status, body }).toMatchObject({ status: 200, body: { restored: { policy: 3002 } } });
  expect(Math.max(...raw.sizes)).toBeLessThanOrEqual(MAX_COMMIT_OPERATIONS);
  expect(raw.sizes.length).toBeGreaterThan(30);
  expect(await configured(raw)).toEqual(await configured(scene.raw));
});

test('a restore that was cut off leaves the store refused to all, and another one mends it', async () => {
  const scene = await setUp();
  const file = await backUp(scene);
  const raw = new CountingStore();
  const next = await startApp({ store: raw });
  // The history begins; what is written does not come to its end.
  raw.commitsLeft = 1;
  const cut = await restore(next, raw, file);
  raw.commitsLeft = Number.POSITIVE_INFINITY;
  expect(cut.status).toBe(503);
  expect(await phaseOf(raw)).toBe('restoring');
  expect((await next.call('GET', '/v1/tenants')).status).toBe(503);
  expect((await restore(next, raw, file)).status).toBe(200);
  expect(await configured(raw)).toEqual(await configured(scene.raw));
  expect((await next.call('GET', '/v1/tenants/blue')).status).toBe(200);
});

test('a commit whose answer is lost is looked at again', async () => {
  const scene = await setUp();
  const file = await backUp(scene);
  const before = await configured(scene.raw);
  expect((await scene.call('DELETE', policyPath('red', 'first'))).status).toBe(204);
  const raw = scene.raw;
  const commit = raw.commit.bind(raw);
  let lost = 0;
  raw.commit = async (guards, writes) => {
    if (
      writes.some(({ kind }) => kind === 'put') &&
      writes.every((each) => 'key' in each && each.key.startsWith('policies/')) &&
      lost++ < 2
    )
      raw.failNext(lost === 1 ? 'indeterminate-not-applied' : 'indeterminate-applied');
    return await commit(guards, writes);
  };
  expect((await restore(scene, raw, file)).status).toBe(200);
  expect(lost).toBe(2);
  expect(await configured(raw)).toEqual(before);
});

test('nodes that do not claim in time are named, and so is what nodes say they have lost', async () => {
  const scene = await setUp();
  const { call, raw, deadlines, registry } = scene;
  await putNode(raw, 'node2', { live: false });
  const file = await backUp(scene);
  const problem = {
    about: 'endpoint 3f9c01ab77d2',
    since: '2026-01-01T00:00:00Z',
    text: 'its block is node2’s',
    tenant: 'blue',
  };
  const done = call('PUT', `${RESTORE}?timeout=2m`, file, { 'content-type': 'application/x-ndjson' });
  await until('nodes are waited for', () => deadlines.running.includes(120_000));
  const said = { at: '2026-01-01T00:00:00Z', history: registry.store.history ?? '', tenants: {} };
  await raw.commit(
    [],
    [
      { kind: 'put', key: keys.enforced('node1'), value: enforcedBy.format(said) },
      {
        kind: 'put',
        key: keys.problems('node1'),
        value: formatRecord({ problems: [{ kind: 'place_taken', ...problem }] }),
      },
    ],
  );
  deadlines.elapse();
  const { status, body } = await done;
  expect({ status, body }).toMatchObject({ status: 202, body: { recovered: false, waitingFor: ['node2'] } });
  const loss = { kind: 'place_taken', name: problem.about, node: 'node1', tenant: 'blue', reason: problem.text };
  expect(body.notKept).toEqual([loss]);
});
