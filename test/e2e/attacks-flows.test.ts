/**
 * Pods that take what their node has once for all its pods: entries of the table of connections, and source ports to one destination. Each
 * attack sends the first packets of far more flows than it may have; how many it got, the node's table says. Once the rules are cut the
 * same packets get them all.
 */
import { beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BACKEND } from './support/backend.ts';
import {
  ATTACK,
  expectBounded,
  NEIGHBOURS_CALLS,
  OUTSIDE_PORT,
  POD_FLOWS,
  PORT_SHARE,
  PORTS,
  RATION,
  setUpFlows,
  TENANT_FLOWS,
} from './support/flow-attacks.ts';
import { inside } from './support/node-state.ts';
import { type Cut, without } from './support/openings.ts';
import { meets, type Stage } from './support/stage.ts';

const set = setUpFlows();
const { answered, attack, attackByGateway, expectCalls, flows, forgetFlows } = set;
let stage: Stage;
beforeAll(() => {
  stage = set.stage;
});

const from = ({ ip }: Container) => `-s ${ip}`;
const to = ({ ip }: Container) => `-d ${ip}`;

const limits = (node: 'node1' | 'node2', comments: readonly string[]): Cut[] =>
  ['begin', 'begin_beyond'].flatMap((chain) => comments.map((comment) => ({ node, chain, comment })));
const OF_POD = 'limit flows of the pod';
const OF_TENANT = 'limit flows of the tenant';
const TO_TENANT = 'limit flows to the tenant';
const RATIONED = 'ration new flows of the tenant';
const PORTS_TO_ONE: Cut = { node: 'node1', chain: 'begin_beyond', comment: 'limit ports to one destination' };

test('one pod and the table of connections', async () => {
  const { lab, cast } = stage;
  const everywhere = [lab.outside.address, cast.red2.ip, cast.red1b.ip];
  await attack('red1', everywhere);
  expectBounded(await flows('node1', from(cast.red1)), POD_FLOWS);
  await expectCalls('blue1', NEIGHBOURS_CALLS);
  await expectCalls('red1b', NEIGHBOURS_CALLS);

  // Flows that are over are not counted.
  await inside(stage.node1, `conntrack -D ${from(cast.red1)}`);
  await expectCalls('red1', NEIGHBOURS_CALLS);

  await without(lab, [...limits('node1', [OF_POD, OF_TENANT]), PORTS_TO_ONE], async () => {
    await attack('red1', everywhere);
    expect(await flows('node1', from(cast.red1))).toBeGreaterThanOrEqual(ATTACK);
  });
});

test('what is over the bound is counted, and told with its reason', async () => {
  const { lab, cast } = stage;
  const denials = async () => {
    const { status, body } = await lab.rest<{ items: Record<string, unknown>[] }>('GET', '/v1/tenants/red/denials');
    expect(status).toBe(200);
    return body.items;
  };
  await denials();
  await attack('red1', [cast.red1b.ip]);
  const isIt = ({ reason, direction }: Record<string, unknown>) => reason === 'flows' && direction === 'egress';
  await waitFor(async () => (await denials()).some(isIt), { what: 'a flow over the bound is told' });
});

test('all pods of a tenant and the table of connections', async () => {
  const { lab, cast } = stage;
  const count = async () => (await flows('node1', from(cast.red1))) + (await flows('node1', from(cast.red1b)));
  const attackFromBoth = async () => {
    await attack('red1', [cast.red1b.ip]);
    await attack('red1b', [cast.red1.ip]);
  };
  await attackFromBoth();
  expectBounded(await count(), TENANT_FLOWS);
  await expectCalls('blue1', NEIGHBOURS_CALLS);

  await without(lab, limits('node1', [OF_TENANT]), async () => {
    await attackFromBoth();
    expect(await count()).toBeGreaterThan(TENANT_FLOWS);
  });
});

test('pods of other nodes, whose own nodes do not bound them', async () => {
  const { lab, cast } = stage;
  await without(lab, limits('node2', [OF_POD, OF_TENANT]), async () => {
    await attack('red2', [cast.red1.ip]);
    expectBounded(await flows('node1', to(cast.red1)), TENANT_FLOWS);
    await expectCalls('blue1', NEIGHBOURS_CALLS);
    await without(lab, [{ node: 'node1', chain: 'begin_here', comment: TO_TENANT }], async () => {
      await attack('red2', [cast.red1.ip]);
      expect(await flows('node1', to(cast.red1))).toBeGreaterThanOrEqual(ATTACK);
    });
  });
});

test('a flow to another node is one entry of either table: what carries it is not tracked', async () => {
  const { lab, cast } = stage;
  const nodes = ['node1', 'node2'] as const;
  const carrying = () => Promise.all(nodes.map((node) => flows(node, '-p udp --dport 4789')));
  const callAcross = async () => {
    await attack('red1', [cast.red2.ip]);
    // Those that are not at their bound.
    await meets(stage, cast.red1b, 'red2');
    await meets(stage, cast.blue2, 'blue1');
  };
  await callAcross();
  expectBounded(await flows('node1', from(cast.red1)), POD_FLOWS);
  expect(await carrying()).toEqual([0, 0]);

  const tracked = nodes.flatMap((node) =>
    ['prerouting', 'output'].map((chain): Cut => ({ node, chain, comment: 'VXLAN is not tracked' })),
  );
  await without(lab, tracked, async () => {
    await forgetFlows();
    await callAcross();
    for (const count of await carrying()) expect(count).toBeGreaterThan(POD_FLOWS * 0.8);
  });
});

test('what a policy refuses is held against no limit', async () => {
  const { lab, cast, gateway, node1 } = stage;
  const letGatewaysIn = async (gateways: boolean) => {
    const { status } = await lab.rest('PATCH', '/v1/tenants/red?wait=enforced', { ingress: { gateways } });
    expect(status).toBe(200);
  };
  /** Of the rule that has flows counted; the other backend's rules count none. */
  const counted = async () => {
    const listed = await inside(node1, 'iptables-save -c -t mangle');
    return Number(/^\[(\d+):\d+\] .* -j TENET-FLOWS-HERE$/m.exec(listed)?.[1]);
  };
  await meets(stage, gateway, 'red1');
  await letGatewaysIn(false);
  try {
    const before = BACKEND === 'iptables' ? await counted() : 0;
    await attackByGateway();
    if (BACKEND === 'iptables') expect(await counted()).toBe(before);
    await meets(stage, cast.red2, 'red1');
    if (BACKEND === 'iptables') expect(await counted()).toBeGreaterThan(before);
  } finally {
    await letGatewaysIn(true);
  }
  await meets(stage, gateway, 'red1');
});

test('what a gateway brings, for it may be the whole world', async () => {
  const { lab, gateway, system } = stage;
  const count = () => flows('node1', `-s ${system}`);
  await attackByGateway();
  expectBounded(await count(), TENANT_FLOWS);
  await meets(stage, gateway, 'blue1');
  await expectCalls('blue1', NEIGHBOURS_CALLS);
  // Nor does it keep the tenant itself from calling.
  await expectCalls('red1', NEIGHBOURS_CALLS);
  await without(lab, [{ node: 'node1', chain: 'begin_here', comment: TO_TENANT }], async () => {
    await attackByGateway();
    expect(await count()).toBeGreaterThanOrEqual(ATTACK);
  });
});

test('a table that is nearly full: a tenant goes on with its ration, and takes no other’s', async () => {
  const { lab, cast, node1 } = stage;
  // Without those that were there before.
  const attacking = () => flows('node1', `${from(cast.red1)} ${to(cast.red1b)}`);
  const problems = async () => {
    const { body } = await lab.rest<{ items: { kind: string; node?: string }[] }>('GET', '/v1/cluster/problems');
    return body.items.filter(({ kind, node }) => kind === 'table_crowded' && node === 'node1').length;
  };
  const size = Number(await inside(node1, 'cat /proc/sys/net/netfilter/nf_conntrack_max'));
  await fillTable(Math.ceil(size * 0.8));
  await waitFor(async () => (await problems()) === 1, { what: 'the node says that its table is nearly full' });
  const list = BACKEND === 'nftables' ? 'nft list set inet tenet crowded4' : 'ipset save tenet-crowded';
  const isRationed = async () => (await inside(node1, list)).includes('128.0.0.0');
  await waitFor(isRationed, { what: 'its rules ration flows' });
  const before = performance.now();
  await attack('red1', [cast.red1b.ip], POD_FLOWS - 10);
  const rationed = await attacking();
  const seconds = (performance.now() - before) / 1000;
  expect(rationed).toBeGreaterThan(0);
  expect(rationed).toBeLessThanOrEqual(RATION * (seconds + 2));
  await expectCalls('blue1', RATION);

  await without(lab, limits('node1', [RATIONED]), async () => {
    await attack('red1', [cast.red1b.ip], POD_FLOWS - 10);
    expect(await attacking()).toBeGreaterThan(POD_FLOWS * 0.8);
  });
  await forgetFlows();
  await waitFor(async () => (await problems()) === 0, { what: 'the node says that its table has room' });
  await waitFor(async () => !(await isRationed()), { what: 'its rules ration no flows' });
  await attack('red1', [cast.red1b.ip], POD_FLOWS - 10);
  expect(await attacking()).toBeGreaterThan(POD_FLOWS * 0.8);
});

/** Puts so many flows into the node's table: what others have left behind. */
async function fillTable(count: number): Promise<void> {
  const program = `BEGIN { for (i = 0; i < ${count}; i++) {
    ends = sprintf("-s 203.0.113.%d -d 203.0.113.1 --sport 1000 --dport %d", 2 + int(i / 60000), 1 + i % 60000)
    print "-I -p udp", ends, "-t 600" } }`;
  await inside(stage.node1, `awk '${program}' | conntrack -R - >/dev/null`);
}

test('one tenant and the source ports to one destination', async () => {
  const { lab, cast } = stage;
  const taken = () => flows('node1', `${from(cast.red1)} -p udp -d ${lab.outside.address} --dport ${OUTSIDE_PORT}`);
  const more = PORTS.to - PORTS.from + 100;
  await attack('red1', [lab.outside.address], more, OUTSIDE_PORT);
  expectBounded(await taken(), PORT_SHARE);
  await expectCalls('blue1', NEIGHBOURS_CALLS);
  await without(lab, [PORTS_TO_ONE], async () => {
    await attack('red1', [lab.outside.address], more, OUTSIDE_PORT);
    expect(await taken()).toBeGreaterThan(PORT_SHARE);
    expect(await answered('blue1', NEIGHBOURS_CALLS)).toBeLessThan(NEIGHBOURS_CALLS);
  });
});

test('one tenant and the source ports to one destination, by several names that other programs give it', async () => {
  const { lab, cast, node1 } = stage;
  const names = [9001, 9002, 9003, 9004].map((port) => ({ address: '203.0.113.9', port }));
  const translate = names.map(
    ({ address, port }) =>
      `-d ${address} -p udp --dport ${port} -j DNAT --to-destination ${lab.outside.address}:${OUTSIDE_PORT}`,
  );
  const nat = (how: 'A' | 'D') =>
    inside(node1, translate.map((rule) => `iptables -w -t nat -${how} PREROUTING ${rule}`).join('\n'));
  const taken = () => flows('node1', `${from(cast.red1)} -p udp -r ${lab.outside.address}`);
  await nat('A');
  try {
    for (const { address, port } of names) await attack('red1', [address], PORT_SHARE / 2, port);
    expectBounded(await taken(), PORT_SHARE);
    await expectCalls('blue1', NEIGHBOURS_CALLS);
    // Each name is good for calls, while others' flows are few.
    await inside(node1, `conntrack -D ${from(cast.red1)}`);
    for (const { address, port } of names)
      expect((await lab.prober(cast.red1).udpExchange(address, port)).id).toBe('outside');
  } finally {
    await nat('D');
  }
});
