/**
 * Nodes come, go and change: a new one is reached from old containers at once, one that is forgotten frees what it held and is not believed
 * when it comes back, and the MTU of a node's own network is followed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CniFailure, Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { contradictions, endpointsOf, etcdDump, makeTenant, untilListed, untilReached } from './support/cluster.ts';
import { allowed, Flood, forbidden } from './support/flood.ts';
import { inside, tenetState } from './support/node-state.ts';

let lab: Lab;
/** one on node1, one on node2 */
let red: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 3 });
  await lab.killAgent('node3', 'SIGTERM');
  await forget('node3');
  await makeTenant(lab, 'red');
  red = [await lab.attach('node1', { tenant: 'red' }), await lab.attach('node2', { tenant: 'red' })];
});
afterAll(() => lab?.close());

/** DELETE until the node's lease has run out. */
async function forget(node: string): Promise<void> {
  await waitFor(async () => (await lab.rest('DELETE', `/v1/nodes/${node}`)).status === 204, {
    what: `${node} is forgotten`,
    timeoutMs: 60_000,
    everyMs: 200,
  });
}

const nodesNamed = async () =>
  (await lab.rest<{ items: { name: string }[] }>('GET', '/v1/nodes')).body.items.map(({ name }) => name);

test('a node joins: old containers reach its containers, and nothing they had is disturbed', async () => {
  expect(await nodesNamed()).toEqual(['node1', 'node2']);
  await makeTenant(lab, 'blue');
  const blue = await lab.attach('node2', { tenant: 'blue' });
  await untilReached(lab, [red]);
  const flood = await Flood.start([
    allowed('udp', 'old to old', red[0], red[1], 7001),
    allowed('tcp', 'old to old, TCP', red[1], red[0], 7002),
    forbidden('other tenant', blue, red[0], 7001),
    // Shows that the listener which the other tenant must not reach is alive.
    allowed('udp', 'back', red[1], red[0], 7001),
  ]);
  try {
    await lab.startAgent('node3');
    const fresh = await lab.attach('node3', { tenant: 'red' });
    await untilReached(lab, [
      [red[0], fresh],
      [red[1], fresh],
      [fresh, red[0]],
      [fresh, red[1]],
    ]);
    expect(await nodesNamed()).toEqual(['node1', 'node2', 'node3']);
    await flood.passes(50);
    await lab.detach(fresh);
    await flood.stopUnharmed();
  } finally {
    flood.close();
  }
  await lab.detach(blue);
});

describe('a node that is forgotten', () => {
  let lost: Container;
  let kept: Container;

  test('is not forgotten while its agent lives', async () => {
    const { status, body } = await lab.rest('DELETE', '/v1/nodes/node3');
    expect(status).toBe(409);
    expect(JSON.stringify(body)).toContain('alive');
  });

  test('frees its blocks: another node takes the last one', async () => {
    await makeTenant(lab, 'small', { subnetPrefixLength: 27 });
    kept = await lab.attach('node3', { tenant: 'red' });
    lost = await lab.attach('node3', { tenant: 'small' });
    await untilReached(lab, [[red[0], kept]]);
    const refused = lab.attach('node1', { tenant: 'small' });
    await expect(refused).rejects.toSatisfy((error: CniFailure) => error.code === 100);
    await lab.killAgent('node3', 'SIGKILL');
    await forget('node3');
    const left = [...(await etcdDump(lab))].filter((entry) => JSON.stringify(entry).includes('node3'));
    expect(left).toEqual([]);
    expect(contradictions(await etcdDump(lab))).toEqual([]);
    await untilListed(lab, 'red', red);
    // No node has a way to it any more, nor takes its VXLAN.
    const isAboutNode3 = (line: string) => line.includes(lab.host('node3').underlay);
    for (const node of ['node1', 'node2']) {
      const look = async () => (await tenetState(lab.host(node))).filter(isAboutNode3).length === 0;
      await waitFor(look, { what: `${node} has forgotten node3` });
    }
    const heir = await lab.attach('node1', { tenant: 'small' });
    expect(await endpointsOf(lab, 'small')).toHaveLength(1);
    await lab.detach(heir);
  });

  test('comes back: keeps what no node took, and gives up what is another’s', async () => {
    const heir = await lab.attach('node1', { tenant: 'small' });
    await lab.startAgent('node3');
    await untilListed(lab, 'red', [...red, kept]);
    await untilReached(lab, [
      [red[0], kept],
      [kept, red[1]],
    ]);
    // The block is node1's now: no address of it is node3's to give or to speak for.
    await expect(lab.attach('node3', { tenant: 'small' })).rejects.toSatisfy((error: CniFailure) => error.code === 100);
    await untilListed(lab, 'small', [heir]);
    await expect(lab.check(lost)).rejects.toThrow();
    await lab.detach(lost);
    const peer = await lab.attach('node1', { tenant: 'small' });
    await untilReached(lab, [[peer, heir]]);
    for (const each of [peer, heir, kept]) await lab.detach(each);
    await untilListed(lab, 'small', []);
    expect(contradictions(await etcdDump(lab))).toEqual([]);
  });
});

test('a node that hung while it was forgotten claims again what no node took, and gives up the rest by itself', async () => {
  await makeTenant(lab, 'tiny', { subnetPrefixLength: 27 });
  const kept = await lab.attach('node3', { tenant: 'red' });
  const lost = await lab.attach('node3', { tenant: 'tiny' });
  await lab.killAgent('node3', 'SIGSTOP');
  await forget('node3');
  const heir = await waitFor(() => lab.attach('node1', { tenant: 'tiny' }), { what: 'node1 gets the block' });
  await lab.killAgent('node3', 'SIGCONT');
  await untilListed(lab, 'red', [...red, kept]);
  await untilReached(lab, [[red[0], kept]]);
  await untilListed(lab, 'tiny', [heir]);
  await waitFor(
    () =>
      lab.check(lost).then(
        () => false,
        () => true,
      ),
    { what: 'the container of node3 is detached' },
  );
  for (const each of [heir, lost, kept]) await lab.detach(each);
  expect(contradictions(await etcdDump(lab))).toEqual([]);
});

describe('the underlay’s MTU', () => {
  /** of the container's own interface and of every link of ours on node1 */
  async function mtus(): Promise<readonly number[]> {
    const links = JSON.parse(await inside(lab.host('node1'), 'ip -j link show')) as { ifname: string; mtu: number }[];
    const [own] = JSON.parse(await inside(red[0], 'ip -j link show eth0')) as { mtu: number }[];
    return [own?.mtu ?? 0, ...links.filter(({ ifname }) => /^tn[pt]/.test(ifname)).map(({ mtu }) => mtu)];
  }
  const untilAll = (mtu: number) =>
    waitFor(async () => (await mtus()).every((each) => each === mtu), { what: `MTU ${mtu}` });
  const sends = (packetSize: number) => lab.prober(red[0]).ping(red[1].ip, { packetSize, dontFragment: true });

  test('is followed down and up again, and what just fits passes', async () => {
    await untilAll(1450);
    expect(await sends(1450)).toMatchObject({ outcome: 'answered' });
    await inside(lab.host('node1'), 'ip link set eth0 mtu 1400');
    await untilAll(1350);
    expect(await sends(1350)).toMatchObject({ outcome: 'answered' });
    expect(await sends(1351)).toMatchObject({ outcome: 'unreachable', error: 'EMSGSIZE' });
    const born = await lab.attach('node1', { tenant: 'red' });
    expect(born.result.interfaces).toMatchObject([{}, {}]);
    expect(await inside(born, 'ip link show eth0')).toContain('mtu 1350');
    await lab.detach(born);
    await inside(lab.host('node1'), 'ip link set eth0 mtu 1500');
    await untilAll(1450);
    expect(await sends(1450)).toMatchObject({ outcome: 'answered' });
  });

  test('is found by an agent that starts after it changed', async () => {
    await lab.killAgent('node1');
    await inside(lab.host('node1'), 'ip link set eth0 mtu 1400');
    await lab.startAgent('node1');
    await untilAll(1350);
    expect(await sends(1350)).toMatchObject({ outcome: 'answered' });
    await inside(lab.host('node1'), 'ip link set eth0 mtu 1500');
    await untilAll(1450);
  });
});
