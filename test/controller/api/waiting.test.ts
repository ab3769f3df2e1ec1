/** wait=enforced: writes that answer when every node concerned says that it has them; agents' words are put in by hand. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { setDeadline } from '../../../controller/enforcement/deadline.ts';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Enforced, EnforcedRevisions, NodeRole } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { settle } from './deadlines.ts';
import {
  type Answer,
  putBlock,
  putEndpoint,
  putNode,
  removeEndpoint,
  startApp,
  type TestApp,
  until,
} from './fixture.ts';

const AT = '2026-11-24T11:00:00.000Z';
const WAIT = 'wait=enforced&timeout=20s';
/** Over once nothing more happens by itself: see Deadlines. */
const BRIEFLY = 'wait=enforced&timeout=30ms';

interface Status {
  readonly revision: number;
  readonly enforced: boolean;
  readonly nodes: { readonly node: string; readonly enforcedAt?: string; readonly latencyMs?: number }[];
  readonly lagging?: string[];
}

const statusOf = ({ body }: Answer) => body.status as Status;

/** Blue has a block on node1, red one on node2; node3 has nothing. */
async function start() {
  const memory = new MemoryStore();
  const app = await startApp({ store: memory });
  for (const name of ['blue', 'red']) expect((await app.call('POST', '/v1/tenants', { name })).status).toBe(201);
  for (const node of ['node1', 'node2', 'node3']) await putNode(memory, node);
  await putBlock(memory, 'blue', '10.128.8.0/27', 'node1');
  await putBlock(memory, 'red', '10.129.8.0/27', 'node2');
  return { ...app, memory };
}

const upTo = (revision: number): EnforcedRevisions => ({
  tenant: revision,
  namespaces: revision,
  peerings: revision,
});

/** What an agent says it enforces, of each tenant. */
async function say(store: Store, node: string, said: Partial<Enforced> = {}): Promise<void> {
  const record: Enforced = { at: AT, history: BIRTH, tenants: {}, ...said };
  await store.commit([], [{ kind: 'put', key: keys.enforced(node), value: formatRecord(record) }]);
}

async function revisionNow(store: Store): Promise<number> {
  return (await store.get(keys.cluster)).revision;
}

/** Resolves when the write is in the store; the answer to it may take its time. */
async function written(store: Store, key: string, before: number): Promise<number> {
  let revision = 0;
  await until(`${key} is written`, async () => {
    const { entry } = await store.get(key);
    revision = entry?.modRevision ?? 0;
    return revision > before;
  });
  return revision;
}

/** Has the answer come yet? */
function track(answer: Promise<Answer>): { answer: Promise<Answer>; readonly isThere: () => boolean } {
  let isThere = false;
  void answer.then(() => {
    isThere = true;
  });
  return { answer, isThere: () => isThere };
}

async function addOverseer(store: Store, name: string, role: NodeRole): Promise<void> {
  await putNode(store, name);
  const { entry } = await store.get(keys.node(name));
  const record = { ...JSON.parse(entry?.value ?? '{}'), roles: [role] };
  await store.commit([], [{ kind: 'put', key: keys.node(name), value: JSON.stringify(record) }]);
}

async function patch({ call }: TestApp, query: string, tenant = 'blue'): Promise<Answer> {
  return await call('PATCH', `/v1/tenants/${tenant}?${query}`, { labels: { plan: 'gold' } });
}

describe('what policies of peers select by is waited for on their nodes as well:', () => {
  const url = '/v1/tenants/blue/endpoints/3f9c01ab77d2';
  test.each<[string, string, unknown, keyof EnforcedRevisions]>([
    ['labels of an endpoint', `${url}/labels`, { labels: { app: 'web' } }, 'endpoints'],
    ['ports of an endpoint', `${url}/ports`, { ports: [] }, 'endpoints'],
    ['labels of a namespace', '/v1/tenants/blue/namespaces/blue', { labels: { a: 'b' } }, 'namespaces'],
  ])('%s', async (_, path, body, kind) => {
    const { call, memory } = await start();
    await putEndpoint(memory);
    await call('PUT', '/v1/tenants/blue/peerings/red');
    const ahead = (await revisionNow(memory)) + 1000;
    const enough: EnforcedRevisions = { tenant: 0, namespaces: 0, peerings: 0, [kind]: ahead };
    await say(memory, 'node1', { tenants: { blue: enough } });
    // Only asked for: red's nodes have nothing to do with it.
    const alone = await call('PUT', `${path}?${WAIT}`, body);
    expect(statusOf(alone)).toMatchObject({ enforced: true, nodes: [{ node: 'node1' }] });
    await call('PUT', '/v1/tenants/red/peerings/blue');
    const late = await call('PUT', `${path}?${BRIEFLY}`, body);
    expect(late).toMatchObject({ status: 202, body: { status: { enforced: false, lagging: ['node2'] } } });
    await say(memory, 'node2', { tenants: { blue: enough } });
    expect(statusOf(await call('PUT', `${path}?${WAIT}`, body))).toMatchObject({
      enforced: true,
      nodes: [{ node: 'node1' }, { node: 'node2' }],
    });
  });
});

describe('a write answers', () => {
  test('at once where no node has anything of the tenant', async () => {
    const { call } = await start();
    const made = await call('POST', `/v1/tenants?${WAIT}`, { name: 'green' });
    expect(made).toMatchObject({ status: 201, headers: { location: '/v1/tenants/green' } });
    expect(made.body.status).toEqual({ revision: made.body.revision, enforced: true, nodes: [] });
    expect((await call('GET', '/v1/tenants/green')).body.status).toBeUndefined();
  });

  test('when the node has said so, not before, and says when and how long it took', async () => {
    const app = await start();
    const before = await revisionNow(app.memory);
    const { answer, isThere } = track(patch(app, WAIT));
    const revision = await written(app.memory, keys.tenant('blue'), before);
    await say(app.memory, 'node1', { tenants: { blue: upTo(revision - 1) } });
    await say(app.memory, 'node2', { tenants: { red: upTo(revision), blue: upTo(revision) } });
    await settle();
    expect(isThere()).toBe(false);
    await say(app.memory, 'node1', { tenants: { blue: { ...upTo(revision - 1), tenant: revision } } });
    expect(await answer).toMatchObject({ status: 200, body: { labels: { plan: 'gold' }, revision } });
    expect(statusOf(await answer)).toEqual({
      revision,
      enforced: true,
      nodes: [{ node: 'node1', enforcedAt: AT, latencyMs: expect.any(Number) }],
    });
    expect(statusOf(await answer).nodes[0]?.latencyMs).toBeGreaterThanOrEqual(0);
  });

  test('at once when the node was faster than the look at it', async () => {
    const app = await start();
    const ahead = (await revisionNow(app.memory)) + 1000;
    await say(app.memory, 'node1', { tenants: { blue: upTo(ahead) } });
    expect(statusOf(await patch(app, WAIT))).toMatchObject({ enforced: true, nodes: [{ node: 'node1' }] });
  });

  test('on the other replica as well', async () => {
    const { memory } = await start();
    const other = await startApp({ store: memory });
    await say(memory, 'node1', { tenants: { blue: upTo((await revisionNow(memory)) + 1000) } });
    expect(statusOf(await patch(other, WAIT)).enforced).toBe(true);
  });

  test.each<['gateway' | 'manage']>([['gateway'], ['manage']])('when a %s node has said so for all', async (role) => {
    const app = await start();
    await addOverseer(app.memory, 'edge', role);
    const ahead = (await revisionNow(app.memory)) + 1000;
    await say(app.memory, 'node1', { tenants: { blue: upTo(ahead) } });
    expect(await patch(app, BRIEFLY)).toMatchObject({ status: 202, body: { status: { lagging: ['edge'] } } });
    await say(app.memory, 'edge', { all: { ...upTo(ahead), tenant: 1 } });
    expect(await patch(app, BRIEFLY)).toMatchObject({ status: 202, body: { status: { lagging: ['edge'] } } });
    await say(app.memory, 'edge', { all: upTo(ahead) });
    expect(statusOf(await patch(app, WAIT)).nodes.map(({ node }) => node)).toEqual(['edge', 'node1']);
  });

  test('when a node with an endpoint but no block has said so', async () => {
    const app = await start();
    await putEndpoint(app.memory, { node: 'node3' });
    await until('counted', () => app.registry.census.ofTenant('blue') === 1);
    await say(app.memory, 'node1', { tenants: { blue: upTo((await revisionNow(app.memory)) + 1000) } });
    expect(statusOf(await patch(app, BRIEFLY)).lagging).toEqual(['node3']);
  });

  test('while others wait for other things', async () => {
    const app = await start();
    const before = await revisionNow(app.memory);
    const blue = track(patch(app, WAIT));
    const red = track(patch(app, WAIT, 'red'));
    const blueAt = await written(app.memory, keys.tenant('blue'), before);
    const redAt = await written(app.memory, keys.tenant('red'), before);
    await say(app.memory, 'node2', { tenants: { red: upTo(redAt) } });
    expect(statusOf(await red.answer).enforced).toBe(true);
    expect(blue.isThere()).toBe(false);
    await say(app.memory, 'node1', { tenants: { blue: upTo(blueAt) } });
    expect(statusOf(await blue.answer).enforced).toBe(true);
  });

  test('only with all kinds of records that it changed', async () => {
    const app = await start();
    const before = await revisionNow(app.memory);
    const path = '/v1/tenants/blue/namespaces/shop';
    const { answer, isThere } = track(app.call('PUT', `${path}?${WAIT}`, {}));
    const revision = await written(app.memory, keys.namespace('blue', 'shop'), before);
    await say(app.memory, 'node1', { tenants: { blue: { tenant: revision, namespaces: revision - 1, peerings: 0 } } });
    await settle();
    expect(isThere()).toBe(false);
    await say(app.memory, 'node1', { tenants: { blue: { tenant: revision - 1, namespaces: revision, peerings: 0 } } });
    await settle();
    expect(isThere()).toBe(false);
    await say(app.memory, 'node1', { tenants: { blue: { tenant: revision, namespaces: revision, peerings: 0 } } });
    expect(await answer).toMatchObject({ status: 201, body: { name: 'shop', status: { enforced: true } } });
    const again = await app.call('PUT', `${path}?${WAIT}`, {});
    expect(again).toMatchObject({ status: 200, body: { status: { revision, enforced: true } } });
    const relabelled = app.call('PUT', `${path}?${WAIT}`, { labels: { stage: 'test' } });
    const later = await written(app.memory, keys.namespace('blue', 'shop'), revision);
    await say(app.memory, 'node1', { tenants: { blue: { tenant: revision, namespaces: later, peerings: 0 } } });
    expect(await relabelled).toMatchObject({ status: 200, body: { status: { revision: later, enforced: true } } });
  });

  test('for a subnet and for deleted namespaces too', async () => {
    const app = await start();
    await app.call('PUT', '/v1/tenants/blue/namespaces/shop', {});
    const grown = await app.call('POST', `/v1/tenants/blue/subnets?${BRIEFLY}`, { prefixLength: 24 });
    expect(grown).toMatchObject({ status: 202, body: { name: 'blue', status: { lagging: ['node1'] } } });
    const path = '/v1/tenants/blue/namespaces/shop';
    expect(await app.call('DELETE', `${path}?${BRIEFLY}`)).toMatchObject({
      status: 202,
      body: { status: { enforced: false, lagging: ['node1'] } },
    });
    await say(app.memory, 'node1', { tenants: { blue: upTo((await revisionNow(app.memory)) + 1000) } });
    expect((await app.call('POST', `/v1/tenants/blue/subnets?${WAIT}`, { prefixLength: 24 })).status).toBe(201);
    await app.call('PUT', path, {});
    expect(await app.call('DELETE', `${path}?${WAIT}`)).toMatchObject({
      status: 200,
      body: { status: { enforced: true, nodes: [{ node: 'node1' }] } },
    });
  });
});

describe('a write that is not enforced in time answers 202', () => {
  test('with the nodes that lag, and those that are dead among them', async () => {
    const app = await start();
    await putBlock(app.memory, 'blue', '10.128.8.32/27', 'node2');
    await putBlock(app.memory, 'blue', '10.128.8.64/27', 'node3');
    await putNode(app.memory, 'node3', { live: false });
    await say(app.memory, 'node1', { tenants: { blue: upTo((await revisionNow(app.memory)) + 1000) } });
    await say(app.memory, 'node2', { tenants: { red: upTo((await revisionNow(app.memory)) + 1000) } });
    const late = await patch(app, BRIEFLY);
    expect(late).toMatchObject({ status: 202, headers: { etag: `"${late.body.revision}"` } });
    expect(statusOf(late)).toEqual({
      revision: late.body.revision,
      enforced: false,
      nodes: [
        { node: 'node1', enforcedAt: AT, latencyMs: expect.any(Number) },
        { node: 'node2' },
        { node: 'node3', alive: false },
      ],
      lagging: ['node2', 'node3'],
    });
  });

  test('when a node says what cannot be read', async () => {
    const app = await start();
    await app.memory.commit([], [{ kind: 'put', key: keys.enforced('node1'), value: 'not JSON' }]);
    expect(statusOf(await patch(app, BRIEFLY)).lagging).toEqual(['node1']);
    await app.memory.commit([], [{ kind: 'put', key: keys.enforced('node1'), value: '{"schema":1,"tenants":7}' }]);
    expect(statusOf(await patch(app, BRIEFLY)).lagging).toEqual(['node1']);
    expect((await app.call('GET', '/v1/nodes/node1')).status).toBe(200);
  });

  test('when the store goes away after the write, whatever nodes have said', async () => {
    const app = await start();
    await say(app.memory, 'node1', { tenants: { blue: upTo((await revisionNow(app.memory)) + 1000) } });
    expect((await patch(app, WAIT)).status).toBe(200);
    for (let times = 0; times < 50; times++) app.memory.failNext('unavailable', 'list');
    const late = await patch(app, BRIEFLY);
    expect(late.status).toBe(202);
    expect(statusOf(late)).toMatchObject({ enforced: false, nodes: [], lagging: [] });
  });

  test('when the controller ends', async () => {
    const app = await start();
    const before = await revisionNow(app.memory);
    const waiting = patch(app, WAIT);
    await written(app.memory, keys.tenant('blue'), before);
    await settle();
    await app.registry.close();
    expect((await waiting).status).toBe(202);
  });
});

test('a store that is away for a moment after the write costs only time', async () => {
  const app = await start();
  await say(app.memory, 'node1', { tenants: { blue: upTo((await revisionNow(app.memory)) + 1000) } });
  expect((await patch(app, WAIT)).status).toBe(200);
  for (let times = 0; times < 2; times++) app.memory.failNext('unavailable', 'list');
  expect(await patch(app, WAIT)).toMatchObject({ status: 200, body: { status: { enforced: true } } });
});

describe('a node is not waited for any more', () => {
  test('once its last container has ended and it follows the tenant no longer', async () => {
    const app = await start();
    const before = await revisionNow(app.memory);
    await say(app.memory, 'node1', { tenants: { blue: upTo(before) } });
    const endpoint = await putEndpoint(app.memory);
    const { answer, isThere } = track(patch(app, WAIT));
    await written(app.memory, keys.tenant('blue'), before);
    await settle();
    await removeEndpoint(app.memory, endpoint);
    await until('counted', () => app.registry.census.ofTenant('blue') === 0);
    const { entries } = await app.memory.list(keys.blocks('blue'));
    await app.memory.commit(
      [],
      entries.map(({ key }) => ({ kind: 'delete', key })),
    );
    await settle();
    expect(isThere()).toBe(false);
    await say(app.memory, 'node1');
    expect(statusOf(await answer)).toMatchObject({ enforced: true, nodes: [] });
  });

  test('once it is forgotten, gateway or not', async () => {
    const app = await start();
    await addOverseer(app.memory, 'edge', 'gateway');
    for (const node of ['node1', 'edge']) {
      await say(app.memory, node, { tenants: { blue: upTo(1) } });
      await putNode(app.memory, `${node}`, { live: false });
    }
    await addOverseer(app.memory, 'edge', 'gateway');
    await app.memory.commit([], [{ kind: 'delete', key: keys.liveNode('edge') }]);
    const before = await revisionNow(app.memory);
    const { answer, isThere } = track(patch(app, WAIT));
    await written(app.memory, keys.tenant('blue'), before);
    expect((await app.call('DELETE', '/v1/nodes/node1')).status).toBe(204);
    await settle();
    expect(isThere()).toBe(false);
    expect((await app.call('DELETE', '/v1/nodes/edge')).status).toBe(204);
    expect(statusOf(await answer)).toMatchObject({ enforced: true, nodes: [] });
    expect((await app.memory.list(keys.allEnforced)).entries).toEqual([]);
  });
});

describe('a peering', () => {
  const path = '/v1/tenants/blue/peerings/red';
  const back = '/v1/tenants/red/peerings/blue';

  test('that only one side asks for concerns its own nodes', async () => {
    const { call, memory } = await start();
    await say(memory, 'node1', { tenants: { blue: upTo((await revisionNow(memory)) + 1000) } });
    expect(await call('PUT', `${path}?${WAIT}`)).toMatchObject({
      status: 201,
      body: { tenant: 'blue', inForce: false, status: { enforced: true, nodes: [{ node: 'node1' }] } },
    });
    expect(await call('DELETE', `${path}?${WAIT}`)).toMatchObject({
      status: 200,
      body: { status: { enforced: true, nodes: [{ node: 'node1' }] } },
    });
  });

  test('that both ask for concerns the nodes of both', async () => {
    const { call, memory } = await start();
    await call('PUT', path);
    const ahead = (await revisionNow(memory)) + 1000;
    await say(memory, 'node1', { tenants: { blue: upTo(ahead), red: upTo(ahead) } });
    await say(memory, 'node2', { tenants: { red: { ...upTo(ahead), peerings: 1 }, blue: upTo(ahead) } });
    expect(await call('PUT', `${back}?${BRIEFLY}`)).toMatchObject({
      status: 202,
      body: { inForce: true, status: { enforced: false, lagging: ['node2'] } },
    });
    await say(memory, 'node2', { tenants: { red: upTo(ahead), blue: upTo(1) } });
    expect(await call('PUT', `${back}?${WAIT}`)).toMatchObject({ status: 200, body: { status: { enforced: true } } });
    expect(await call('DELETE', `${path}?${BRIEFLY}`)).toMatchObject({
      status: 202,
      body: { status: { lagging: ['node2'] } },
    });
    await call('PUT', path);
    await say(memory, 'node2', { tenants: { blue: upTo(ahead) } });
    const gone = await call('DELETE', `${path}?${WAIT}`);
    expect(gone).toMatchObject({ status: 200, body: { status: { enforced: true } } });
    expect(statusOf(gone).nodes.map(({ node }) => node)).toEqual(['node1', 'node2']);
  });
});

describe('deleting a tenant', () => {
  test('waits until nodes have given back its blocks and gateways have forgotten it', async () => {
    const app = await start();
    await addOverseer(app.memory, 'edge', 'gateway');
    const { answer, isThere } = track(app.call('DELETE', `/v1/tenants/blue?${WAIT}`));
    await until('marked', async () => (await app.call('GET', '/v1/tenants/blue')).body.phase === 'deleting');
    const { entries } = await app.memory.list(keys.blocks('blue'));
    await app.memory.commit(
      [],
      entries.map(({ key }) => ({ kind: 'delete', key })),
    );
    await until('gone', async () => (await app.call('GET', '/v1/tenants/blue')).status === 404);
    const removed = await revisionNow(app.memory);
    await say(app.memory, 'edge', { all: upTo(removed - 1) });
    await settle();
    expect(isThere()).toBe(false);
    await say(app.memory, 'edge', { all: upTo(removed) });
    expect(await answer).toMatchObject({ status: 200 });
    expect(statusOf(await answer)).toMatchObject({ revision: removed, enforced: true, nodes: [{ node: 'edge' }] });
  });

  test('names the nodes that hold it up', async () => {
    const app = await start();
    await putNode(app.memory, 'node1', { live: false });
    expect(await app.call('DELETE', `/v1/tenants/blue?${BRIEFLY}`)).toMatchObject({
      status: 202,
      body: {
        tenant: 'blue',
        phase: 'deleting',
        nodes: ['node1'],
        status: { enforced: false, nodes: [{ node: 'node1', alive: false }], lagging: ['node1'] },
      },
    });
  });

  test('names the gateways that have not forgotten it', async () => {
    const app = await start();
    await addOverseer(app.memory, 'edge', 'gateway');
    await app.call('POST', '/v1/tenants', { name: 'green' });
    expect(await app.call('DELETE', `/v1/tenants/green?${BRIEFLY}`)).toMatchObject({
      status: 202,
      body: { tenant: 'green', phase: 'deleted', nodes: [], status: { enforced: false, lagging: ['edge'] } },
    });
  });

  test('knows when it went, even where another controller did it', async () => {
    const app = await start();
    const other = await startApp({ store: app.memory });
    await addOverseer(app.memory, 'edge', 'gateway');
    const answers = [app, other].map(({ call }) => call('DELETE', `/v1/tenants/blue?${WAIT}`));
    await until('marked', async () => (await app.call('GET', '/v1/tenants/blue')).body.phase === 'deleting');
    await settle();
    const { entries } = await app.memory.list(keys.blocks('blue'));
    await app.memory.commit(
      [],
      entries.map(({ key }) => ({ kind: 'delete', key })),
    );
    await until('gone', async () => (await app.call('GET', '/v1/tenants/blue')).status === 404);
    const removed = await revisionNow(app.memory);
    await say(app.memory, 'edge', { all: upTo(removed) });
    for (const answer of answers) {
      expect((await answer).status).toBe(200);
      expect(statusOf(await answer).revision).toBe(removed);
    }
  });
});

describe('refused before anything is written is', () => {
  test.each([
    ['another thing to wait for', 'wait=stored', 'wait'],
    ['nothing to wait for', 'wait=', 'wait'],
    ['a time-out without waiting', 'timeout=10s', 'timeout'],
    ['a time-out of nothing', 'wait=enforced&timeout=', 'timeout'],
    ['a time-out without a unit', 'wait=enforced&timeout=10', 'timeout'],
    ['a time-out of another unit', 'wait=enforced&timeout=1h', 'timeout'],
    ['a time-out of no time', 'wait=enforced&timeout=0s', 'timeout'],
    ['a negative time-out', 'wait=enforced&timeout=-1s', 'timeout'],
    ['a time-out that is too long', 'wait=enforced&timeout=5m1s', 'timeout'],
    ['an unknown parameter', 'wait=enforced&until=10s', 'until'],
  ])('%s', async (_, query, field) => {
    const { call, memory } = await start();
    const before = await revisionNow(memory);
    const calls: [string, string, unknown?][] = [
      ['POST', '/v1/tenants', { name: 'green' }],
      ['PATCH', '/v1/tenants/blue', { labels: {} }],
      ['POST', '/v1/tenants/blue/subnets', {}],
      ['PUT', '/v1/tenants/blue/namespaces/shop', {}],
      ['DELETE', '/v1/tenants/blue/namespaces/shop'],
      ['PUT', '/v1/tenants/blue/peerings/red', {}],
      ['DELETE', '/v1/tenants/blue/peerings/red'],
      ['DELETE', '/v1/tenants/blue'],
    ];
    for (const [method, path, body] of calls)
      expect(await call(method, `${path}?${query}`, body), `${method} ${path}`).toMatchObject({
        status: 400,
        body: { code: 'invalid_input', errors: [{ field }] },
      });
    expect(await revisionNow(memory)).toBe(before);
  });
});

test('the time that a write may take is the one it names, ten seconds unless it does, and the machine measures it', async () => {
  const app = await start();
  const answers = [patch(app, 'wait=enforced'), patch(app, 'wait=enforced&timeout=1m')];
  await until('both wait', () => app.deadlines.running.length === 2);
  expect([...app.deadlines.running].sort()).toEqual([10_000, 60_000]);
  await settle();
  app.deadlines.elapse();
  for (const answer of answers) expect((await answer).status).toBe(202);
  const { signal } = setDeadline(1);
  await once(signal, 'abort');
});

test('what nodes say is not followed before a caller waits', async () => {
  const { memory, call } = await start();
  for (let times = 0; times < 20; times++) memory.failNext('unavailable', 'list');
  expect((await call('PATCH', '/v1/tenants/blue', { labels: {} })).status).toBe(200);
});

test('nodes show what they have acknowledged last', async () => {
  const { memory, call } = await start();
  expect((await call('GET', '/v1/nodes/node1')).body.enforced).toBeUndefined();
  await say(memory, 'node1', { tenants: { blue: { tenant: 7, namespaces: 9, peerings: 3 } } });
  await say(memory, 'node2', { all: upTo(5) });
  expect((await call('GET', '/v1/nodes/node1')).body.enforced).toEqual({ at: AT, revision: 9 });
  const { body } = await call('GET', '/v1/nodes');
  expect(body.items?.map(({ enforced }) => enforced)).toEqual([
    { at: AT, revision: 9 },
    { at: AT, revision: 5 },
    undefined,
  ]);
});
