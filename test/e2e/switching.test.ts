/**
 * Running nodes go from one backend to the other: no allowed flow is cut, no message of a forbidden one arrives, and of the one they came
 * from nothing is left.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Container, cniCheck } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { makeTenant, silentPairs, untilReached } from './support/cluster.ts';
import { allowed, Flood, forbidden } from './support/flood.ts';
import { FILTERS, filtersOf, inside } from './support/node-state.ts';

const NODES = ['node1', 'node2', 'gw1'];

let lab: Lab;
let red: readonly [Container, Container, Container];
let blue: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 2, gateways: 1, backend: 'nftables' });
  await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  const attach = (node: string, tenant: string) => lab.attach(node, { tenant });
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

async function startFlood(): Promise<Flood> {
  const [r1, r2, r3] = red;
  const gateway = lab.host('gw1');
  const outside = { netns: lab.outside.netns, ip: lab.outside.address };
  const flood = await Flood.start([
    allowed('udp', 'same host', r1, r2, 7001),
    allowed('udp', 'across', r1, r3, 7001),
    allowed('udp', 'across, back', r3, r1, 7001),
    allowed('udp', 'gateway', gateway, r3, 7001),
    allowed('udp', 'to the outside', r1, outside, 7001),
    allowed('tcp', 'same host, TCP', r1, r2, 7003),
    allowed('tcp', 'across, TCP', r1, r3, 7003),
    allowed('tcp', 'to the outside, TCP', r3, outside, 7003),
    forbidden('other tenant, same host', blue[0], r2, 7001),
    forbidden('other tenant, across', blue[0], r3, 7001),
    forbidden('other tenant, other node', blue[1], r1, 7001),
  ]);
  onTestFinished(() => flood.close());
  return flood;
}

/** What each backend has in a node's kernel, in lines. */
async function found(node: string): Promise<Readonly<Record<string, number>>> {
  const count = async (command: string) => Number((await inside(lab.host(node), `${command} | wc -l`)).trim());
  return {
    nftables: await count('nft list table inet tenet 2>/dev/null'),
    iptables: await count('{ iptables-save; ip6tables-save; iptables-legacy-save; } 2>/dev/null | grep TENET-'),
    ipsets: await count('ipset list -name | grep tenet-'),
    filters: filtersOf(await inside(lab.host(node), FILTERS)).filter(({ place }) => place === 'ingress').length,
  };
}

/** @param isWithoutPods then no pod's link has a filter either */
function hasOnly(backend: 'iptables' | 'nftables', state: Readonly<Record<string, number>>, isWithoutPods: boolean) {
  const { nftables = 0, iptables = 0, ipsets = 0, filters = 0 } = state;
  if (backend === 'nftables') return nftables > 20 && iptables === 0 && ipsets === 0 && filters === 0;
  return nftables === 0 && iptables > 20 && ipsets > 0 && filters > 0 !== isWithoutPods;
}

for (const backend of ['iptables', 'nftables'] as const)
  test(`to ${backend}`, async () => {
    const flood = await startFlood();
    for (const node of NODES) {
      await lab.killAgent(node, 'SIGTERM');
      await lab.startAgent(node, undefined, backend);
      const other = backend === 'iptables' ? 'nftables' : 'iptables';
      // Rules go first, what they speak of after them.
      const look = async () => {
        const state = await found(node);
        if (!hasOnly(backend, state, node === 'gw1')) throw new Error(JSON.stringify(state));
        return true;
      };
      await waitFor(look, { what: `${node} has left ${other}, and what belongs to ${backend} stands` });
      await flood.passes(50);
    }
    const fresh = await lab.attach('node1', { tenant: 'red' });
    expect(
      await silentPairs(lab, [
        [fresh, red[2]],
        [red[2], fresh],
      ]),
    ).toEqual([]);
    expect(await silentPairs(lab, [[fresh, blue[0]]])).toHaveLength(1);
    await lab.detach(fresh);
    for (const container of [...red, ...blue]) await cniCheck(container);
    await flood.stopUnharmed();
  });
