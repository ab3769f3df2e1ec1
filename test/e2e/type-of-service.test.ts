/**
 * The rules keep an identity where forwarding keeps a packet's priority, and put the priority back from its type of service. So packets
 * of every type must pass, and one must leave with the priority it had.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { makeTenant } from './support/cluster.ts';
import { inside } from './support/node-state.ts';

let lab: Lab;
let here: Container;
let there: Container;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  await makeTenant(lab, 'red');
  here = await lab.attach('node1', { tenant: 'red' });
  there = await lab.attach('node2', { tenant: 'red' });
  await waitFor(async () => (await lab.prober(here).ping(there.ip)).outcome === 'answered', { what: 'the first ping' });
});
afterAll(() => lab?.close());

const ALL = [0x00, 0x08, 0x10, 0x18, 0x20, 0x48, 0x50, 0x58, 0x88, 0xb8, 0xe0, 0xff];

test('packets of every type of service reach the other node and come back', async () => {
  const lost = await Promise.all(
    ALL.map(async (tos) => {
      const answer = await inside(here, `ping -c 1 -W 2 -Q ${tos} ${there.ip} || true`);
      return answer.includes(' 1 received') ? [] : [tos];
    }),
  );
  expect(lost.flat()).toEqual([]);
});

test('a packet leaves with the priority that forwarding gave it', async () => {
  const node = lab.host('node1');
  // TC_PRIO_BULK, _INTERACTIVE, _INTERACTIVE_BULK for the two bits of the type of service
  const priorities = [
    [0x00, '0:0'],
    [0x08, '0:2'],
    [0x10, '0:6'],
    [0x18, '0:4'],
  ] as const;
  const rules = priorities.map(
    ([tos, priority]) => `add rule ip seen post ip daddr ${there.ip} @nh,8,8 ${tos} meta priority ${priority} counter`,
  );
  const chain = 'add chain ip seen post { type filter hook postrouting priority 0; }';
  await inside(
    node,
    `printf '%s\\n' 'add table ip seen' '${chain}' ${rules.map((rule) => `'${rule}'`).join(' ')} | nft -f -`,
  );
  for (const [tos] of priorities) await inside(here, `ping -c 1 -W 2 -Q ${tos} ${there.ip}`);
  const counters = (await inside(node, 'nft list table ip seen')).match(/packets \d+/g);
  expect(counters).toEqual(['packets 1', 'packets 1', 'packets 1', 'packets 1']);
});
