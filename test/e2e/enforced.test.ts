/**
 * wait=enforced on a whole cluster: once a write has been answered, the very next packet obeys it, on every node; a node that does not
 * get it is named, and gets it once it can.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import type { RestResponse } from '../lab/rest.ts';
import { makeTenant, silentPairs, untilReached } from './support/cluster.ts';

interface Status {
  readonly enforced: boolean;
  readonly nodes: readonly { readonly node: string; readonly latencyMs?: number; readonly alive?: boolean }[];
  readonly lagging?: readonly string[];
}

type Answer = RestResponse<{ readonly status: Status; readonly inForce?: boolean }>;

const WAIT = 'wait=enforced&timeout=60s';
const NODES = ['node1', 'node2', 'node3'];

let lab: Lab;
/** Blue is on node1 and node2, red on node2 and node3. */
let blue: readonly [Container, Container];
let red: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 3, gateways: 1 });
  for (const tenant of ['blue', 'red']) await makeTenant(lab, tenant);
  blue = [await lab.attach('node1', { tenant: 'blue' }), await lab.attach('node2', { tenant: 'blue' })];
  red = [await lab.attach('node2', { tenant: 'red' }), await lab.attach('node3', { tenant: 'red' })];
  await untilReached(lab, within());
});
afterEach(async () => {
  for (const node of NODES) await lab.killAgent(node, 'SIGCONT');
});
afterAll(() => lab?.close());

async function write(method: string, path: string, body?: object, query = WAIT): Promise<Answer> {
  return (await lab.rest(method, `${path}?${query}`, body)) as Answer;
}

/** Expects that it came to these nodes. */
function expectEnforced({ status, body }: Answer, wanted: number, nodes: readonly string[]): void {
  expect(status, JSON.stringify(body)).toBe(wanted);
  expect(body.status).toMatchObject({ enforced: true });
  expect(body.status.nodes.map(({ node }) => node)).toEqual(nodes);
}

const across = () => blue.flatMap((from) => red.flatMap((to) => [[from, to] as const, [to, from] as const]));
const within = () => [blue, red].flatMap(([one, two]) => [[one, two] as const, [two, one] as const]);

/** Every way inside a tenant is open, and between them as said, at the first packet. */
async function expectOpen(isOpen: boolean): Promise<void> {
  const silent = await silentPairs(lab, [...within(), ...across()]);
  expect(silent.length, silent.join('; ')).toBe(isOpen ? 0 : across().length);
  expect(await silentPairs(lab, within())).toEqual([]);
}

test('a peering is in force with the answer to the second request, and out of force with that to its end', async () => {
  const all = ['gw1', ...NODES];
  await expectOpen(false);
  const asked = await write('PUT', '/v1/tenants/blue/peerings/red');
  expectEnforced(asked, 201, ['gw1', 'node1', 'node2']);
  expect(asked.body.inForce).toBe(false);
  await expectOpen(false);
  for (let round = 0; round < 3; round++) {
    const agreed = await write('PUT', '/v1/tenants/red/peerings/blue');
    await expectOpen(true);
    expectEnforced(agreed, 201, all);
    expect(agreed.body.inForce).toBe(true);
    const ended = await write('DELETE', '/v1/tenants/red/peerings/blue');
    await expectOpen(false);
    expectEnforced(ended, 200, all);
  }
  expectEnforced(await write('DELETE', '/v1/tenants/blue/peerings/red'), 200, ['gw1', 'node1', 'node2']);
});

test('gateways are shut out and let in with the answer', async () => {
  const gateway = lab.host('gw1');
  const outcomes = async () => {
    const pings = blue.map(({ ip }) => lab.prober(gateway).ping(ip));
    return (await Promise.all(pings)).map(({ outcome }) => outcome);
  };
  for (let round = 0; round < 3; round++) {
    const shut = await write('PATCH', '/v1/tenants/blue', { ingress: { gateways: false } });
    expect(await outcomes()).toEqual(['timeout', 'timeout']);
    expectEnforced(shut, 200, ['gw1', 'node1', 'node2']);
    const open = await write('PATCH', '/v1/tenants/blue', { ingress: { gateways: true } });
    expect(await outcomes()).toEqual(['answered', 'answered']);
    expectEnforced(open, 200, ['gw1', 'node1', 'node2']);
  }
});

test('a node that stands still is named, and gets what it missed once it goes on', async () => {
  await lab.killAgent('node3', 'SIGSTOP');
  expectEnforced(await write('PUT', '/v1/tenants/blue/peerings/red'), 201, ['gw1', 'node1', 'node2']);
  // On a busy machine others may be late as well, at first.
  const late = await waitFor(
    async () => {
      const answer = await write('PUT', '/v1/tenants/red/peerings/blue', {}, 'wait=enforced&timeout=500ms');
      expect(answer.status, JSON.stringify(answer.body)).toBe(202);
      return answer.body.status.lagging?.length === 1 && answer.body.status;
    },
    { what: 'one node is late' },
  );
  expect(late).toMatchObject({ enforced: false, lagging: ['node3'] });
  expect(late.nodes.filter(({ latencyMs }) => latencyMs !== undefined)).toHaveLength(3);
  await lab.killAgent('node3', 'SIGCONT');
  expectEnforced(await write('PUT', '/v1/tenants/red/peerings/blue'), 200, ['gw1', ...NODES]);
  await expectOpen(true);
  for (const [tenant, peer] of [
    ['red', 'blue'],
    ['blue', 'red'],
  ])
    expect((await write('DELETE', `/v1/tenants/${tenant}/peerings/${peer}`)).status).toBe(200);
  await expectOpen(false);
});

test('a write that waits for a node outlives a restart of etcd, and so does the next write', async () => {
  await lab.killAgent('node3', 'SIGSTOP');
  const waiting = write('PATCH', '/v1/tenants/red', { labels: { round: 'one' } });
  await waitFor(async () => JSON.stringify((await lab.rest('GET', '/v1/tenants/red')).body).includes('one'), {
    what: 'the write is in etcd',
  });
  await lab.killEtcd();
  await lab.startEtcd();
  await lab.killAgent('node3', 'SIGCONT');
  expectEnforced(await waiting, 200, ['gw1', 'node2', 'node3']);
  const next = await write('PATCH', '/v1/tenants/red', { labels: { round: 'two' } });
  expectEnforced(next, 200, ['gw1', 'node2', 'node3']);
});

test('namespaces, subnets and new tenants come to the nodes that need them', async () => {
  const nodes = ['gw1', 'node1', 'node2'];
  expectEnforced(await write('PUT', '/v1/tenants/blue/namespaces/shop', { labels: { a: 'b' } }), 201, nodes);
  expectEnforced(await write('PUT', '/v1/tenants/blue/namespaces/shop', { labels: { a: 'c' } }), 200, nodes);
  expectEnforced(await write('DELETE', '/v1/tenants/blue/namespaces/shop'), 200, nodes);
  expectEnforced(await write('POST', '/v1/tenants/blue/subnets', { prefixLength: 26 }), 201, nodes);
  expectEnforced(await write('POST', '/v1/tenants', { name: 'green' }), 201, ['gw1']);
  const container = await lab.attach('node1', { tenant: 'green' });
  expectEnforced(await write('PATCH', '/v1/tenants/green', { labels: { a: 'b' } }), 200, ['gw1', 'node1']);
  await lab.detach(container);
  expectEnforced(await write('DELETE', '/v1/tenants/green'), 200, ['gw1']);
});

test('of many writes at once each is answered when it is enforced', async () => {
  const writes = Array.from({ length: 60 }, (_, index) =>
    write('PUT', `/v1/tenants/${index % 2 ? 'blue' : 'red'}/namespaces/at-once-${index}`, {}),
  );
  for (const { status, body } of await Promise.all(writes)) {
    expect(status, JSON.stringify(body)).toBe(201);
    expect(body.status.enforced).toBe(true);
    expect(body.status.nodes).toHaveLength(3);
  }
});
