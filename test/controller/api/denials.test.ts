/** What nodes refuse, as a list, and counted in metrics. */
import { describe, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { denial, end, PATH, STARTED, start, TestAgent } from './denials-stage.ts';
import { putNode, TOKEN } from './fixture.ts';

describe('the list', () => {
  test('has the latest of all nodes, newest first, each with its node', async () => {
    const { call, memory, agent } = await start();
    expect((await call('GET', PATH)).body.items).toEqual([]);
    await agent.refuse([{}, {}]);
    await new TestAgent(memory, 'node2').refuse([
      {
        at: '2026-11-24T11:00:01.500Z',
        from: { ip: parseIp('192.0.2.9') },
        protocol: 'ICMP',
        direction: 'egress',
        reason: 'flows',
      },
    ]);
    const { status, body } = await call('GET', PATH);
    expect(status).toBe(200);
    expect(body.items?.map(({ node, sequence }) => `${node}/${sequence}`)).toEqual(['node1/2', 'node2/1', 'node1/1']);
    expect(body.items?.[0]).toEqual({ ...denial(2, {}), reason: 'policy', node: 'node1', sequence: 2, count: 1 });
    expect(body.items?.[1]).toMatchObject({ from: { ip: '192.0.2.9' }, protocol: 'ICMP', reason: 'flows' });
  });

  test.each([
    ['limit=1', [4]],
    ['direction=egress', [3]],
    ['namespace=web', [4, 3, 2]],
    ['namespace=blue&direction=ingress', [4, 2]],
    ['namespace=red', []],
    ['since=2026-11-24T11:00:03Z', [4, 3]],
  ])('can be asked for less: %s', async (query, expected) => {
    const { call, agent } = await start();
    // Another tenant may have had a namespace of that name.
    const foreign = { ...end('x', 'web'), tenant: 'red' };
    await agent.refuse([{ from: foreign, to: foreign }, {}, { direction: 'egress' }, {}]);
    const { body } = await call('GET', `${PATH}?${query}`);
    expect(body.items?.map(({ sequence }) => sequence)).toEqual(expected);
  });

  test.each(['limit=0', 'limit=1001', 'direction=both', 'since=yesterday', 'since=2026-11-24', 'other=1'])(
    'refuses %s',
    async (query) => {
      const { call } = await start();
      const { status, body } = await call('GET', `${PATH}?${query}`);
      expect({ status, field: body.errors?.[0]?.field }).toEqual({ status: 400, field: query.split('=')[0] });
    },
  );

  test('passes over what cannot be read', async () => {
    const { call, store, agent } = await start();
    await agent.refuse([{}, { at: 'never' }, {}]);
    for (const [node, value] of [
      ['node2', '{"schema":9}'],
      ['node3', formatRecord({ denials: 'none' })],
    ] as const)
      await store.commit([], [{ kind: 'put', key: keys.nodeDenials('blue', node), value }]);
    expect((await call('GET', PATH)).body.items?.map(({ sequence }) => sequence)).toEqual([3, 1]);
  });

  test('is of a tenant that exists, and for HEAD a list whatever is asked', async () => {
    const { app, call } = await start();
    expect(await call('GET', '/v1/tenants/red/denials')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect((await call('GET', '/v1/tenants/red/denials?follow=true')).status).toBe(404);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const head = await app.inject({ method: 'HEAD', url: `${PATH}?follow=true`, headers });
    expect(head.headers['content-type']).toContain('application/json');
  });
});

test('forgetting a node forgets what it refused and counted', async () => {
  const { call, store, agent } = await start();
  const other = new TestAgent(store, 'node2');
  for (const node of ['node1', 'node2']) await putNode(store, node, { live: false });
  for (const each of [agent, other]) await each.refuse([{}]);
  for (const node of ['node1', 'node2'])
    await store.commit([], [{ kind: 'put', key: keys.traffic(node), value: formatRecord({ tenants: {} }) }]);
  expect((await call('DELETE', '/v1/nodes/node1')).status).toBe(204);
  const left = [...(await store.list('denials/')).entries, ...(await store.list('traffic/')).entries];
  expect(left.map(({ key }) => key)).toEqual(['denials/blue/node2', 'traffic/node2']);
});

describe('metrics', () => {
  async function scrape({ call }: Pick<Awaited<ReturnType<typeof start>>, 'call'>): Promise<string[]> {
    const { status, body } = await call('GET', '/metrics');
    expect(status).toBe(200);
    const lines = String(body.text).split('\n');
    return lines.filter((line) => line.startsWith('tenet_tenant_packets_total')).sort();
  }

  test('count packets of tenants by node, as nodes say', async () => {
    const app = await start();
    const say = async (node: string, tenants: object) =>
      await app.store.commit(
        [],
        [{ kind: 'put', key: keys.traffic(node), value: formatRecord({ at: STARTED, tenants }) }],
      );
    expect(await scrape(app)).toEqual([]);
    await say('node1', { blue: { allowed: 5, denied: 2 }, blue2: { allowed: 1, denied: 0 } });
    await say('node2', { blue: { allowed: 7, denied: 0 } });
    await scrape(app);
    await say('node1', { blue: { allowed: 6, denied: 2 }, broken: { allowed: 'x' } });
    await app.store.commit([], [{ kind: 'put', key: keys.traffic('node3'), value: 'not JSON' }]);
    expect(await scrape(app)).toEqual([
      'tenet_tenant_packets_total{tenant="blue",node="node1",verdict="allowed"} 6',
      'tenet_tenant_packets_total{tenant="blue",node="node1",verdict="denied"} 2',
      'tenet_tenant_packets_total{tenant="blue",node="node2",verdict="allowed"} 7',
      'tenet_tenant_packets_total{tenant="blue",node="node2",verdict="denied"} 0',
    ]);
    // Packets and problems are read at once.
    for (const _ of ['packets', 'problems']) app.memory.failNext('unavailable', 'list');
    expect(await scrape(app)).toEqual([]);
    expect(await scrape(app)).toHaveLength(4);
  });
});
