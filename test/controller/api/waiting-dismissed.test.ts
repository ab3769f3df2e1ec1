/** wait=enforced: nodes that a change does not concern any more, peerings, deletions, and what is refused before anything is written. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { setDeadline } from '../../../controller/enforcement/deadline.ts';
import { keys } from '../../../controller/store/keys.ts';
import { settle } from './deadlines.ts';
import { putEndpoint, putNode, removeEndpoint, startApp, until } from './fixture.ts';
import {
  AT,
  addOverseer,
  BRIEFLY,
  patch,
  revisionNow,
  say,
  start,
  statusOf,
  track,
  upTo,
  WAIT,
  written,
} from './waiting-stage.ts';

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
