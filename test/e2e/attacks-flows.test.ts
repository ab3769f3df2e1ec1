/**
 * Pods that take what their node has once for all its pods: entries of the table of connections, and source ports to one destination. Each
 * attack sends the first packets of far more flows than it may have; how many it got, the node's table says. Once the rules are cut the
 * same packets get them all.
 */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { netnsPath } from '../lab/probe/netns-path.ts';
import { ipv4, PROTOCOL, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { openRaw, sendToNow } from '../lab/probe/socket.ts';
import { BACKEND } from './support/backend.ts';
import { fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, without } from './support/openings.ts';
import { meets, type Role, raiseStage, type Stage, UDP_PORT } from './support/stage.ts';

/** Bounds that a test can reach; ports are as few as can be. */
const POD_FLOWS = 512;
const TENANT_FLOWS = 768;
/** Of a tenant in a second while the table is nearly full. */
const RATION = Math.ceil(TENANT_FLOWS / 120);
const PORTS = { from: 65_280, to: 65_535 };
const PORT_SHARE = 128;
const FLAGS = [
  ...['--pod-flows', String(POD_FLOWS), '--tenant-flows', String(TENANT_FLOWS)],
  ...['--masquerade-ports', `${PORTS.from}-${PORTS.to}`],
];
/** Flows of an attack, more than twice any bound. */
const ATTACK = 2000;
const NEIGHBOURS_CALLS = 20;
/** The port where the outside answers. */
const OUTSIDE_PORT = 8000;

let stage: Stage;
const links = new Map<Role, RawLink>();

beforeAll(async () => {
  stage = await raiseStage({ agentFlags: FLAGS });
  const { lab, cast, node1, node2 } = stage;
  for (const role of ['red1', 'red1b', 'red2'] as const) links.set(role, new RawLink(cast[role].netns));
  await lab.prober(lab.outside).udpListen(OUTSIDE_PORT, 'outside');
  // A flow without an answer outlives the test, however slow the machine is.
  const minutes = ['udp_timeout', 'udp_timeout_stream', 'tcp_timeout_syn_sent'];
  for (const node of [node1, node2])
    await inside(node, minutes.map((name) => `sysctl -qw net.netfilter.nf_conntrack_${name}=600`).join('; '));
});
afterAll(async () => {
  for (const link of links.values()) link.close();
  await stage?.close();
});
beforeEach(async () => {
  await forgetFlows();
  await expectCalls('blue1', NEIGHBOURS_CALLS);
  await expectCalls('red1', NEIGHBOURS_CALLS);
  return forgetFlows;
});

/** Nodes forget all flows: each count begins at none. */
async function forgetFlows(): Promise<void> {
  for (const node of [stage.node1, stage.node2]) await inside(node, 'conntrack -F 2>/dev/null');
}

/** So many new flows of a pod to the outside are answered. */
async function expectCalls(role: Role, count: number): Promise<void> {
  expect(await answered(role, count)).toBe(count);
}

async function answered(role: Role, count: number): Promise<number> {
  const { lab, cast } = stage;
  const calls = Array.from({ length: count }, () =>
    lab.prober(cast[role]).udpExchange(lab.outside.address, OUTSIDE_PORT),
  );
  return (await Promise.all(calls)).filter(({ id }) => id === 'outside').length;
}

/**
 * A pod sends the first packets of flows to each of several destinations; resolves once all have gone as far as they go.
 * @param port undefined: another one for each flow
 */
async function attack(role: Role, destinations: readonly string[], flows = ATTACK, port?: number): Promise<void> {
  const { lab, cast } = stage;
  for (let flow = 0; flow < flows; flow++) {
    const destination = destinations[flow % destinations.length] ?? '';
    const ends = { source: cast[role].ip, destination };
    const ports = { sourcePort: 2000 + flow, destinationPort: port ?? 20_000 + flow };
    // A refused TCP call would leave no flow.
    const packet = ipv4({ ...ends, protocol: PROTOCOL.udp }, udp({ ...ends, ...ports }, Buffer.from('flow')));
    links.get(role)?.send(fromContainer(cast[role], packet));
    // What a pod may send at once its link has room for.
    if (flow % 200 === 199) await lab.sentinel.pass();
  }
  await lab.sentinel.pass();
}

/** Flows in a node's table. @param which arguments of conntrack(8) */
async function flows(node: 'node1' | 'node2', which: string): Promise<number> {
  const listed = await inside(stage[node], `conntrack -L ${which} 2>/dev/null | wc -l`);
  return Number(listed);
}

const from = ({ ip }: Container) => `-s ${ip}`;
const to = ({ ip }: Container) => `-d ${ip}`;

/** A bound is met, and not by far less than what it allows. */
function expectBounded(count: number, bound: number): void {
  expect(count).toBeLessThanOrEqual(bound);
  expect(count).toBeGreaterThan(bound * 0.8);
}

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

test('what a gateway brings, for it may be the whole world', async () => {
  const { lab, cast, gateway, system } = stage;
  const attackByGateway = async () => {
    const fd = openRaw(netnsPath(gateway.netns), PROTOCOL.udp);
    try {
      for (let flow = 0; flow < ATTACK; flow++) {
        const ends = { source: system, destination: cast.red1.ip };
        const body = udp({ ...ends, sourcePort: 2000 + flow, destinationPort: UDP_PORT }, Buffer.from('flow'));
        sendToNow(fd, ipv4({ ...ends, protocol: PROTOCOL.udp }, body), { address: cast.red1.ip, port: 0 });
        if (flow % 200 === 199) await lab.sentinel.pass();
      }
    } finally {
      closeSync(fd);
    }
  };
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
