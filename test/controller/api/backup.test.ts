/** A backup holds all that makes the cluster; a restore makes the cluster what it says, or refuses it before anything is written. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { atMost } from '../../../controller/api/lines-body.ts';
import { enforcedBy } from '../../../controller/model/kinds/enforced.ts';
import { recoveries } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { MAX_COMMIT_OPERATIONS } from '../../../controller/store/commit-rules.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Guard, Store, Write } from '../../../controller/store/store.ts';
import { type Answer, dump, putBlock, putEndpoint, putNode, startApp, type TestApp, until } from './fixture.ts';

const RESTORE = '/v1/cluster/restore';
const ALLOW_ALL = { podSelector: {}, ingress: [{}] };

/** Counts what each commit holds, and can be cut off. */
class CountingStore extends MemoryStore {
  readonly sizes: number[] = [];
  commitsLeft = Number.POSITIVE_INFINITY;

  override async commit(guards: readonly Guard[], writes: readonly Write[]) {
    if (this.commitsLeft-- <= 0) this.failNext('unavailable');
    this.sizes.push(guards.length + writes.length);
    return await super.commit(guards, writes);
  }
}

/** A cluster of two tenants that peer, with a policy each, and a node that holds something. @param raw what is below the application */
async function setUp(raw = new MemoryStore()) {
  const app = await startApp({ store: raw });
  const { call, store } = app;
  for (const [name, subnet] of [
    ['blue', '10.128.4.0/22'],
    ['red', '10.128.8.0/22'],
  ] as const) {
    const tenant = { name, namespaces: [`${name}-web`], subnets: [subnet] };
    expect((await call('POST', '/v1/tenants', tenant)).status).toBe(201);
    expect((await call('PUT', policyPath(name, 'first'), ALLOW_ALL)).status).toBe(201);
  }
  expect((await call('PUT', '/v1/tenants/blue/peerings/red')).status).toBe(201);
  await putNode(store, 'node1');
  await putBlock(store, 'blue', '10.128.4.0/27');
  await putEndpoint(store);
  return { ...app, raw };
}

const policyPath = (tenant: string, name: string) => `/v1/tenants/${tenant}/namespaces/${tenant}-web/policies/${name}`;

async function backUp({ call }: Pick<TestApp, 'call'>): Promise<string> {
  const { status, body, headers } = await call('GET', '/v1/cluster/backup');
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('application/x-ndjson');
  const { text } = body as { text?: string };
  return text ?? '';
}

/** Restores while a leader would wait for nodes; it ends the recovery. */
async function restore(
  { call, deadlines }: Pick<TestApp, 'call' | 'deadlines'>,
  raw: Store,
  file: string,
): Promise<Answer> {
  const done = call('PUT', RESTORE, file, { 'content-type': 'application/x-ndjson' });
  await endRecovery(raw, done);
  const answer = await done;
  expect(deadlines.running).toEqual([]);
  return answer;
}

/** What the leader does once all nodes hold again what they held. Does nothing where the restore is refused. */
async function endRecovery(raw: Store, restoring: Promise<unknown>): Promise<void> {
  let isOver = false;
  void restoring.finally(() => (isOver = true));
  await until(
    'nodes are waited for, or the restore is refused',
    async () => isOver || (await phaseOf(raw)) === 'claiming',
  );
  if (!isOver) await raw.commit([], [{ kind: 'delete', key: keys.recovery }]);
}

async function phaseOf(raw: Store): Promise<string | undefined> {
  const { entry } = await raw.get(keys.recovery);
  return entry && recoveries.find(entry)?.phase;
}

/** Of the kinds that a restore makes what they were. */
async function configured(store: Store): Promise<Readonly<Record<string, string>>> {
  const all = Object.entries(await dump(store));
  const kinds = /^(cluster$|tenants\/|claims\/|namespaces\/|policies\/|peerings\/)/;
  return Object.fromEntries(all.filter(([key]) => kinds.test(key)));
}

/** The file with other records, and the hash that fits them. */
function rewritten(file: string, change: (lines: string[]) => string[]): string {
  const body = change(file.trimEnd().split('\n').slice(0, -1))
    .map((line) => `${line}\n`)
    .join('');
  return `${body}${JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex') })}\n`;
}

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
  const moment = new Set([keys.liveNode('node1'), keys.history]);
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

const record = (key: string, value: object) => JSON.stringify({ key, value: JSON.stringify(value) });
const WRONG: readonly [string, (file: string) => string, RegExp][] = [
  ['that is empty', () => '', /the file is empty/],
  ['that is something else', () => '{"schema":1}\n', /line 1: is no head of a backup/],
  [
    'of another format',
    (file) => rewritten(file, ([head = '', ...rest]) => [head.replace('"format":1', '"format":2'), ...rest]),
    /format 2/,
  ],
  [
    'that was cut behind a line',
    (file) => `${file.trimEnd().split('\n').slice(0, 5).join('\n')}\n`,
    /line 6: is not there: the file was cut/,
  ],
  ['that was cut in a line', (file) => file.slice(0, file.length >> 1), /has no end: the file was cut/],
  ['that lacks its hash', (file) => `${file.trimEnd().split('\n').slice(0, -1).join('\n')}\n`, /the file was cut/],
  ['with an altered byte', (file) => file.replace('192.0.2.11', '192.0.2.12'), /the file was changed/],
  ['with more behind its end', (file) => `${file}{}\n`, /follows the end/],
  [
    'with a key of another kind',
    (file) => with1(file, record('leader', {})),
    /line 2: leader is not of a kind that a backup holds/,
  ],
  ['with a key of nothing', (file) => with1(file, record('else/where', {})), /line 2: else\/where is not of a kind/],
  [
    'with a record that cannot be read',
    (file) => with1(file, record('tenants/zz', { schema: 1, name: 'zz' })),
    /line 2: tenants\/zz /,
  ],
  [
    'with a record twice',
    (file) => rewritten(file, ([head = '', first = '', ...rest]) => [head, first, first, ...rest]),
    /line 3: cluster is there twice/,
  ],
  [
    'without the cluster',
    (file) => rewritten(file, ([head = '', , ...rest]) => counted([head, ...rest], -1)),
    /the configuration of the cluster is not among/,
  ],
];
/** With a record more behind the head. */
const with1 = (file: string, line: string) =>
  rewritten(file, ([head = '', ...rest]) => counted([head, line, ...rest], 1));
const counted = (lines: string[], more: number) => [
  ...lines.slice(0, -1),
  (lines.at(-1) ?? '').replace(/"count":(\d+)/, (_, count) => `"count":${Number(count) + more}`),
];

test.each(WRONG)('a file %s is refused by its line, and nothing is written', async (_, spoil, reason) => {
  const scene = await setUp();
  const file = await backUp(scene);
  expect(spoil(file)).not.toBe(file);
  const before = await dump(scene.raw);
  const { status, body } = await restore(scene, scene.raw, spoil(file));
  expect({ status, body }).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
  expect(body.errors?.[0]?.message).toMatch(reason);
  expect(await dump(scene.raw)).toEqual(before);
});

test('a request without a file, of another type, or with a wrong time is refused', async () => {
  const { call } = await setUp();
  expect((await call('PUT', RESTORE)).status).toBe(400);
  expect((await call('PUT', RESTORE, {})).status).toBe(415);
  const { status, body } = await call('PUT', `${RESTORE}?timeout=soon`, 'x', {
    'content-type': 'application/x-ndjson',
  });
  expect({ status, field: body.errors?.[0]?.field }).toEqual({ status: 400, field: 'timeout' });
});

test('a body that is too large is refused while it comes, and its rest dropped', async () => {
  const body = Readable.from([Buffer.alloc(6), Buffer.alloc(6), Buffer.alloc(6)]);
  const sizes: number[] = [];
  const read = async () => {
    for await (const part of atMost(10, body)) sizes.push(part.length);
  };
  await expect(read()).rejects.toMatchObject({ statusCode: 413 });
  expect(sizes).toEqual([6]);
  await until('the rest is read', () => body.readableEnded);
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
