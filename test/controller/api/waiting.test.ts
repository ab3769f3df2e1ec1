/** wait=enforced: writes that answer when every node concerned says that it has them; agents' words are put in by hand. */
import { describe, expect, test } from 'vitest';
import type { EnforcedRevisions } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { settle } from './deadlines.ts';
import { putBlock, putEndpoint, putNode, startApp, until } from './fixture.ts';
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
