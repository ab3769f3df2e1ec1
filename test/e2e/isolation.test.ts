/**
 * What reaches what, by TCP, UDP and ICMP: containers of one tenant and of two, on one node and across, gateways, nodes, the platform and
 * the outside; what a tenant forbids and what the cluster declares open. Denied is silence from an end that answers others.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { tcpCell } from '../lab/probe/matrix.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { METADATA_ADDRESS } from '../lab/topology.ts';
import { expectSilence } from './support/attack.ts';
import { answerAs, cells, expectMatrix, type Source, type Target, wrongCells } from './support/cells.ts';
import { makeTenant } from './support/cluster.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { type Role, raiseStage, type Stage, TCP_PORT, UDP_PORT } from './support/stage.ts';

/** addresses of a block, unless the cluster is told otherwise */
const BLOCK_SIZE = 32;

let stage: Stage;
/** manage node's underlay address */
let manage: string;

beforeAll(async () => {
  stage = await raiseStage();
  const { lab } = stage;
  manage = lab.topology.manage[0]?.underlay ?? '';
  for (const host of lab.hosts) await answerAs(host.name, lab.prober(host));
  await answerAs('manage1', lab.prober(lab.controllers[0] ?? ''));
  await answerAs('outside', lab.prober(lab.outside));
  await answerAs('metadata', lab.prober(lab.fabricNetns), METADATA_ADDRESS);
});
afterAll(() => stage?.close());

const roles: readonly Role[] = ['red1', 'red1b', 'red2', 'blue1', 'blue2'];
const FRIEND = { red1: 'red2', red1b: 'red2', red2: 'red1', blue1: 'blue2', blue2: 'blue1' } as const;
const tenantOf = (role: Role): string => role.replace(/\d.*/, '');

const container = (role: Role): Source => ({ name: role, prober: stage.lab.prober(stage.cast[role]) });
const toContainer = (role: Role): Target => ({
  name: role,
  address: stage.cast[role].ip,
  witness: stage.lab.prober(stage.cast[FRIEND[role]]),
});
const host = (name: 'node1' | 'node2' | 'gw1'): Source => ({ name, prober: stage.lab.prober(stage.lab.host(name)) });
/** A host by its underlay address, with another one as witness. */
const toHost = (name: 'node1' | 'node2' | 'gw1'): Target => ({
  name,
  address: stage.lab.host(name).underlay,
  witness: host(name === 'node1' ? 'node2' : 'node1').prober,
});
const toManage = (): Target => ({ name: 'manage1', address: manage, witness: host('node1').prober });
const toOutside = (): Target => ({
  name: 'outside',
  address: stage.lab.outside.address,
  witness: host('node1').prober,
});

describe('containers', () => {
  test('reach their own tenant’s and no other’s, on one node and across', async () => {
    const pairs = roles.flatMap((from) => roles.filter((to) => to !== from).map((to) => [from, to] as const));
    await expectMatrix(
      pairs.flatMap(([from, to]) =>
        cells(container(from), toContainer(to), tenantOf(from) === tenantOf(to) ? 'allowed' : 'denied'),
      ),
    );
  });

  test('reach no node, no manage node and no gateway by any address', async () => {
    const { system } = stage;
    const targets: Target[] = [
      toHost('node1'),
      toHost('node2'),
      toHost('gw1'),
      toManage(),
      { ...toHost('gw1'), address: system, witnessAddress: stage.gateway.underlay },
      { name: 'node1', address: '169.254.1.1', witness: host('node1').prober },
      { name: 'metadata', address: METADATA_ADDRESS, witness: host('node1').prober },
    ];
    await expectMatrix(targets.flatMap((target) => cells(container('red1'), target, 'denied')));
  });

  test('do not reach etcd', async () => {
    const etcd = { address: manage, port: 2379, toName: 'etcd', witness: { from: host('node1').prober } };
    const all = (['red1', 'blue2'] as const).map((role) =>
      tcpCell({ ...etcd, from: container(role).prober, fromName: role, expected: 'denied' }),
    );
    await expectMatrix(all);
  });
});

describe('nodes and gateways', () => {
  test('a gateway reaches every tenant', async () => {
    const targets = (['red1', 'red2', 'blue1', 'blue2'] as const).map(toContainer);
    await expectMatrix(targets.flatMap((target) => cells(host('gw1'), target, 'allowed')));
  });

  test('a node reaches its own containers', async () => {
    await expectMatrix([
      ...cells(host('node1'), toContainer('red1'), 'allowed'),
      ...cells(host('node1'), toContainer('blue1'), 'allowed'),
      ...cells(host('node2'), toContainer('red2'), 'allowed'),
    ]);
  });

  test('a node does not reach containers of another node', async () => {
    await expectMatrix([
      ...cells(host('node2'), toContainer('red1'), 'denied', ['TCP']),
      ...cells(host('node2'), toContainer('blue1'), 'denied', ['TCP']),
      ...cells(host('node1'), toContainer('red2'), 'denied', ['TCP']),
    ]);
    // Its own kernel says no where a socket can be told.
    const { prober } = host('node2');
    const { ip } = stage.cast.red1;
    expect(await prober.udpExchange(ip, UDP_PORT)).toMatchObject({ outcome: 'unreachable', error: 'EPERM' });
    expect(await prober.ping(ip)).toMatchObject({ outcome: 'unreachable', error: 'EPERM' });
  });
});

describe('the outside', () => {
  test('is reached by containers, and does not reach them', async () => {
    const { lab, cast } = stage;
    await lab.exposeToOutside(cast.red1);
    await lab.exposeToOutside(cast.blue2);
    const intruder: Source = {
      name: 'outside',
      prober: lab.prober(lab.outside),
      bindAddress: lab.outside.intruderAddress,
    };
    await expectMatrix([
      ...cells(container('red1'), toOutside(), 'allowed'),
      ...cells(container('blue2'), toOutside(), 'allowed'),
      ...cells(intruder, toContainer('red1'), 'denied'),
      ...cells(intruder, toContainer('blue2'), 'denied'),
    ]);
  });

  test('sees the node’s address', async () => {
    const { lab, cast, node1, node2 } = stage;
    const link = new RawLink(lab.outside.netns);
    try {
      for (const [role, node] of [
        ['red1', node1],
        ['blue2', node2],
      ] as const) {
        link.forget();
        const token = newToken();
        const sending = await lab.prober(cast[role]).udpSocket({ address: lab.outside.address, port: UDP_PORT });
        sending.send(Buffer.from(token));
        const seen = await link.capture(({ frame }) => frame.includes(token));
        sending.socket.close();
        expect(seen?.fields.ip?.source).toBe(node.underlay);
      }
    } finally {
      link.close();
    }
  });
});

/** Makes cells come true within the time that a change takes to reach every node. */
async function becomes(what: string, all: () => ReturnType<typeof cells>): Promise<void> {
  await waitFor(async () => (await wrongCells(all())).length === 0, { what });
  await expectMatrix(all());
}

async function patch(path: string, body: object): Promise<void> {
  const answer = await stage.lab.rest('PATCH', path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
}

describe('what a tenant forbids', () => {
  const attached = async (tenant: string, name: string, node: string): Promise<Container> => {
    const made = await stage.lab.attach(node, { tenant, name });
    await answerAs(name, stage.lab.prober(made));
    return made;
  };
  const source = (name: string, made: Container): Source => ({ name, prober: stage.lab.prober(made) });

  test('internet: nothing leaves the cluster, all else stays; it can be allowed and forbidden again', async () => {
    await makeTenant(stage.lab, 'inland', { egress: { internet: false } });
    const [one, two] = [await attached('inland', 'inland1', 'node1'), await attached('inland', 'inland2', 'node2')];
    const friend: Target = { name: 'inland2', address: two.ip, witness: host('gw1').prober };
    const all = (expected: 'allowed' | 'denied') => () => [
      ...cells(source('inland1', one), toOutside(), expected),
      ...cells(source('inland1', one), friend, 'allowed'),
      ...cells(host('gw1'), friend, 'allowed'),
      ...cells(container('red1'), toOutside(), 'allowed'),
    ];
    await becomes('no internet from the start', all('denied'));
    await patch('/v1/tenants/inland', { egress: { internet: true } });
    await becomes('internet', all('allowed'));
    const flow = await stage.lab.prober(one).udpSocket({ address: stage.lab.outside.address, port: UDP_PORT });
    const link = new RawLink(stage.lab.outside.netns);
    try {
      const passes = async () => {
        const token = newToken();
        flow.send(Buffer.from(token));
        await stage.lab.sentinel.pass();
        return link.heard().some(({ frame }) => frame.includes(token));
      };
      await waitFor(passes, { what: 'a flow to the outside' });
      await patch('/v1/tenants/inland', { egress: { internet: false } });
      await waitFor(async () => !(await passes()), { what: 'the established flow ends' });
    } finally {
      flow.socket.close();
      link.close();
    }
    await becomes('no internet again', all('denied'));
  });

  test('gateways: none calls, friends do; it can be allowed and forbidden again', async () => {
    await makeTenant(stage.lab, 'shy', { ingress: { gateways: false } });
    const [one, two] = [await attached('shy', 'shy1', 'node1'), await attached('shy', 'shy2', 'node2')];
    const first: Target = { name: 'shy1', address: one.ip, witness: stage.lab.prober(two) };
    const all = (expected: 'allowed' | 'denied') => () => [
      ...cells(host('gw1'), first, expected),
      ...cells(source('shy2', two), first, 'allowed'),
      ...cells(host('node1'), first, 'allowed'),
      ...cells(host('gw1'), toContainer('red1'), 'allowed'),
    ];
    await becomes('no gateways from the start', all('denied'));
    await patch('/v1/tenants/shy', { ingress: { gateways: true } });
    await becomes('gateways', all('allowed'));
    await patch('/v1/tenants/shy', { ingress: { gateways: false } });
    await becomes('no gateways again', all('denied'));
  });
});

describe('exceptions', () => {
  test('open exactly their address, protocol and port, and close again', async () => {
    const { lab, node1 } = stage;
    const closedPort = UDP_PORT + 1;
    await lab.prober(lab.controllers[0] ?? '').udpListen(closedPort, 'manage1');
    const silent = async () => {
      const results = await Promise.all([
        container('red1').prober.udpExchange(manage, closedPort),
        container('red1').prober.tcpConnect(node1.underlay, UDP_PORT),
      ]);
      expect(results.map(({ outcome }) => outcome)).toEqual(['timeout', 'timeout']);
      expect(await host('node1').prober.udpExchange(manage, closedPort)).toMatchObject({ id: 'manage1' });
    };
    const all = (expected: 'allowed' | 'denied') => () => [
      ...(['red1', 'blue2'] as const).flatMap((role) => cells(container(role), toManage(), expected, ['UDP'])),
      ...cells(container('red1'), toHost('node1'), expected, ['TCP']),
      ...cells(container('red1'), toManage(), 'denied', ['TCP', 'ICMP']),
      ...cells(container('red1'), toHost('node1'), 'denied', ['UDP', 'ICMP']),
      ...cells(container('red1'), toHost('node2'), 'denied'),
      ...cells(container('blue2'), toHost('node2'), 'denied'),
      ...cells(container('red1'), toContainer('blue1'), 'denied'),
    ];
    await becomes('closed', all('denied'));
    const exceptions = [
      { name: 'dns', address: manage, protocol: 'UDP', port: UDP_PORT },
      { name: 'cache', address: node1.underlay, protocol: 'TCP', port: TCP_PORT },
    ];
    await patch('/v1/cluster', { exceptions });
    await becomes('open', all('allowed'));
    await silent();
    expect((await lab.rest<{ exceptions: unknown }>('GET', '/v1/cluster')).body.exceptions).toEqual(exceptions);
    await patch('/v1/cluster', { exceptions: [] });
    await becomes('closed again', all('denied'));
    await silent();
  });
});

describe('unassigned addresses of the pool', () => {
  test('are silent, and nothing leaves by the default route', async () => {
    const { cast, lab } = stage;
    const link = new RawLink(cast.red1.netns);
    try {
      // Of node1's own block: what another node's block holds, that node knows, and so it is sent there.
      const octets = cast.red1.ip.split('.').map(Number);
      const inBlock = (offset: number) =>
        [...octets.slice(0, 3), ((octets[3] ?? 0) & ~(BLOCK_SIZE - 1)) + offset].join('.');
      const used = new Set(Object.values(cast).map(({ ip }) => ip));
      const own = Array.from({ length: 8 }, (_, i) => inBlock(i + 20)).filter((each) => !used.has(each));
      const unknown = [...own, '10.255.255.250', '10.128.0.1', '10.200.0.7'];
      link.forget();
      const attacks = unknown.map((destination) => ({
        name: destination,
        fire: (token: string) =>
          link.send(fromContainer(cast.red1, datagram({ source: cast.red1.ip, destination }, token))),
      }));
      await expectSilence(stage, attacks);
      expect(link.heard().filter(({ direction }) => direction === 'in')).toEqual([]);
      const results = await Promise.all(unknown.map((each) => lab.prober(cast.red1).udpExchange(each, 9)));
      expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['timeout']));
    } finally {
      link.close();
    }
    await expectMatrix(cells(container('red1'), toContainer('red2'), 'allowed'));
  });
});
