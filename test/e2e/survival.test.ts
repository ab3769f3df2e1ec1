/**
 * etcd, controllers and agents die and come back while containers talk: no message of an allowed flow is lost, none of a forbidden one
 * arrives, containers of known tenants start and stop all the while, and afterwards everything agrees.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type CniFailure, type Container, cniCheck, cniDel } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { PLUGIN } from './support/backend.ts';
import { contradictions, etcdDump, makeTenant, untilListed, untilReached } from './support/cluster.ts';
import { allowed, Flood, forbidden } from './support/flood.ts';
import { inside, ruleHandles } from './support/node-state.ts';

let lab: Lab;
/** two on node1, one on node2 */
let red: readonly [Container, Container, Container];
/** one on each node */
let blue: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 2, gateways: 1, plugin: PLUGIN });
  await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  red = [await attach('node1', 'red'), await attach('node1', 'red'), await attach('node2', 'red')];
  blue = [await attach('node1', 'blue'), await attach('node2', 'blue')];
  await untilReached(lab, [
    [red[0], red[2]],
    [red[2], red[0]],
    [blue[0], blue[1]],
    [blue[1], blue[0]],
  ]);
});
afterAll(() => lab?.close());

const attach = (node: string, tenant: string): Promise<Container> => lab.attach(node, { tenant });

/** Same host, across hosts both ways, from the gateway; and the other tenant against the very same listeners. */
async function startFlood(): Promise<Flood> {
  const [r1, r2, r3] = red;
  const gateway = lab.host('gw1');
  const flood = await Flood.start([
    allowed('udp', 'same host', r1, r2, 7001),
    allowed('udp', 'across', r1, r3, 7001),
    allowed('udp', 'across, back', r3, r1, 7001),
    allowed('udp', 'gateway to node1', gateway, r2, 7001),
    allowed('udp', 'gateway to node2', gateway, r3, 7002),
    allowed('tcp', 'same host, TCP', r1, r2, 7003),
    allowed('tcp', 'across, TCP', r1, r3, 7003),
    allowed('tcp', 'gateway, TCP', gateway, r3, 7004),
    forbidden('other tenant, same host', blue[0], r2, 7001),
    forbidden('other tenant, across', blue[0], r3, 7001),
    forbidden('other tenant, other node', blue[1], r1, 7001),
  ]);
  onTestFinished(() => flood.close());
  return flood;
}

async function reaches(from: Container, to: Container, port = 7100): Promise<void> {
  const listener = await lab.prober(to).tcpListen(port, to.id);
  try {
    await waitFor(async () => (await lab.prober(from).tcpConnect(to.ip, port)).id === to.id, {
      what: `${from.ip} reaches ${to.ip}`,
    });
  } finally {
    listener.close();
  }
}

async function expectAgreement(): Promise<void> {
  await untilListed(lab, 'red', red);
  await untilListed(lab, 'blue', blue);
  expect(contradictions(await etcdDump(lab))).toEqual([]);
  for (const container of [...red, ...blue]) await cniCheck(container);
}

/** Answered with "try again later". @see CNI spec 1.1.0, section 5, "Error" */
const tryAgain = (call: Promise<unknown>) =>
  expect(call.then(() => undefined)).rejects.toSatisfy((error: CniFailure) => error.code === 11);

test('the flood itself: a loss and a leak are seen', async () => {
  const [r1, , r3] = red;
  const lossy = await Flood.start([allowed('udp', 'across', r1, r3, 7000)]);
  onTestFinished(() => lossy.close());
  // A rule for one message in two, as another program writes one; removed again below.
  await inside(
    lab.host('node1'),
    'nft add table ip loss; nft add chain ip loss f "{ type filter hook forward priority 0; }"',
  );
  await inside(lab.host('node1'), 'nft add rule ip loss f udp dport 7000 numgen inc mod 2 0 drop');
  try {
    await lossy.passes(10);
  } finally {
    await inside(lab.host('node1'), 'nft delete table ip loss');
  }
  await expect(lossy.stopUnharmed()).rejects.toThrow('lost or gained');
  const leaky = await Flood.start([{ ...allowed('udp', 'leak', r1, r3, 7000), forbidden: true }]);
  onTestFinished(() => leaky.close());
  await waitFor(async () => (await leaky.counts()).every(({ delivered }) => delivered > 0), { what: 'the leak leaks' });
  await expect(leaky.stopUnharmed()).rejects.toThrow('lost or gained');
});

test('etcd is gone for ten seconds: containers start, stop and talk', async () => {
  const flood = await startFlood();
  await lab.killEtcd('SIGKILL');
  const backAt = performance.now() + 10_000;
  const kept: Container[] = [];
  let rounds = 0;
  try {
    kept.push(await attach('node1', 'red'), await attach('node2', 'red'));
    for (; rounds < 3 || performance.now() < backAt; rounds++) {
      const [here, there] = await Promise.all([attach('node1', 'red'), attach('node2', 'red')]);
      await reaches(here, there);
      await reaches(there, red[0]);
      await Promise.all([lab.detach(here), lab.detach(there)]);
      await flood.passes(20);
    }
    // Without etcd it is unknown which tenant owns it.
    await tryAgain(attach('node1', 'unknown'));
  } finally {
    await lab.startEtcd();
  }
  await untilListed(lab, 'red', [...red, ...kept]);
  await makeTenant(lab, 'green');
  const green = await Promise.all([attach('node1', 'green'), attach('node2', 'green')]);
  await reaches(green[0], green[1]);
  for (const container of [...green, ...kept]) await lab.detach(container);
  await expectAgreement();
  await flood.stopUnharmed();
});

test('the controller is killed and restarted', async () => {
  const flood = await startFlood();
  await lab.killController('manage1', 'SIGKILL');
  const [here, there] = await Promise.all([attach('node1', 'red'), attach('node2', 'red')]);
  await reaches(here, there);
  await expect(lab.rest('GET', '/v1/tenants')).rejects.toThrow();
  await flood.passes(50);
  await lab.startController('manage1');
  await untilListed(lab, 'red', [...red, here, there]);
  await Promise.all([lab.detach(here), lab.detach(there)]);
  await expectAgreement();
  await flood.stopUnharmed();
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`agents end by ${signal} and are restarted`, async () => {
    const flood = await startFlood();
    const nodes = ['node1', 'node2', 'gw1'];
    const rules = await Promise.all(nodes.map((node) => ruleHandles(lab.host(node))));
    for (const node of nodes) await lab.killAgent(node, signal);
    await flood.passes(100);
    await tryAgain(attach('node1', 'red'));
    await tryAgain(cniDel(red[0]));
    for (const node of nodes) await lab.startAgent(node);
    await flood.passes(100);
    // The restarted agent knew its own rules: not one was made anew.
    expect(await Promise.all(nodes.map((node) => ruleHandles(lab.host(node))))).toEqual(rules);
    const [here, there] = await Promise.all([attach('node1', 'red'), attach('node2', 'red')]);
    await reaches(here, there);
    await Promise.all([lab.detach(here), lab.detach(there)]);
    await expectAgreement();
    await flood.stopUnharmed();
  });
}

test('an agent restarted while etcd is down works from its copy', async () => {
  const flood = await startFlood();
  await lab.killEtcd('SIGKILL');
  try {
    for (const node of ['node1', 'node2', 'gw1']) await lab.killAgent(node, 'SIGKILL');
    for (const node of ['node1', 'node2', 'gw1']) await lab.startAgent(node);
    await flood.passes(100);
    const [here, there] = await Promise.all([attach('node1', 'red'), attach('node2', 'red')]);
    await reaches(here, there);
    await lab.detach(here);
    await lab.startEtcd();
    await untilListed(lab, 'red', [...red, there]);
    await lab.detach(there);
  } finally {
    if (lab.pid('etcd') === undefined) await lab.startEtcd();
  }
  await expectAgreement();
  await flood.stopUnharmed();
});

test('everything is dead: the last rules stay in force', async () => {
  const flood = await startFlood();
  const nodes = ['node1', 'node2', 'gw1'];
  await Promise.all([...nodes.map((node) => lab.killAgent(node)), lab.killController('manage1'), lab.killEtcd()]);
  await flood.passes(500);
  await lab.startEtcd();
  await Promise.all([lab.startController('manage1'), ...nodes.map((node) => lab.startAgent(node))]);
  await expectAgreement();
  await flood.stopUnharmed();
});
