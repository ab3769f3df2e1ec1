/**
 * ICMP errors and answers that a container forges about flows that are not its own: another tenant's, a gateway's, its node's. Connection
 * tracking takes them for part of the flow; who sends them has to be asked. True errors arrive all the while.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ip, run } from '../lab/fabric.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ICMP } from '../lab/probe/packet.ts';
import type { Prober } from '../lab/probe/prober.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { countFromPods, newToken } from './support/ears.ts';
import { datagram, ERRORS, type ErrorName, errorAbout, fromContainer, type Quoted } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, without } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { hostLink, meets, type Stage, UDP_PORT } from './support/stage.ts';

let stage: Stage;
/** the liars: blue's containers on the first and the second node */
let blue1: RawLink;
let blue2: RawLink;

beforeAll(async () => {
  stage = await borrowStage();
  blue1 = new RawLink(stage.cast.blue1.netns);
  blue2 = new RawLink(stage.cast.blue2.netns);
});
afterAll(async () => {
  blue1?.close();
  blue2?.close();
  await stage?.close();
});

const cut = (chain: string, comment: string, node = 'node1'): Cut => ({ node, chain, comment });
/** An answer has to come from the end that was called, to one that may call it; each end checks that. */
const ANSWERS = (node?: string) => [
  cut('from_pod_reply', 'an answer for an address of another pod', node),
  cut('answer_out', 'pair not allowed', node),
];
const TO_CALLER = cut('answer_in', 'pair not allowed');
const NOT_ALLOWED = cut('call_out', 'pair not allowed');
const ERRORS_OF_OTHERS = cut('from_pod', 'ICMP errors about a flow of another pod');
const names = Object.keys(ERRORS) as ErrorName[];

let lastPort = 20_000;

/** A UDP flow that connection tracking knows, as an error would quote it. */
async function openFlow(from: Prober, source: string, destination: string, port = UDP_PORT): Promise<Quoted> {
  const sourcePort = ++lastPort;
  const result = await from.udpExchange(destination, port, { bindPort: sourcePort });
  expect(result.outcome).toBe('answered');
  return { source, destination, protocol: 'udp', sourcePort, destinationPort: port };
}

const backwards = ({ protocol, ...flow }: Quoted): Quoted => ({
  protocol,
  source: flow.destination,
  destination: flow.source,
  sourcePort: flow.destinationPort,
  destinationPort: flow.sourcePort,
});

const legitimate = async () => {
  const { cast, gateway, node1 } = stage;
  await Promise.all([
    meets(stage, cast.red1, 'red1b'),
    meets(stage, cast.red1, 'red2'),
    meets(stage, cast.blue1, 'blue2'),
    meets(stage, gateway, 'red1'),
    meets(stage, node1, 'red1'),
  ]);
};

describe('errors of another tenant about a flow on one node', () => {
  for (const name of names) {
    test(`${name}, to the caller`, async () => {
      const { red1, red1b } = stage.cast;
      const flow = await openFlow(stage.lab.prober(red1), red1.ip, red1b.ip);
      await expectClosed(stage, byBlue1(name, red1.ip, flow, 'red1', [...ANSWERS(), TO_CALLER]), legitimate);
    });
  }

  test('to the one who is called', async () => {
    const { red1, red1b } = stage.cast;
    const flow = await openFlow(stage.lab.prober(red1), red1.ip, red1b.ip);
    const attack = byBlue1('port unreachable', red1b.ip, backwards(flow), 'red1b', [ERRORS_OF_OTHERS, NOT_ALLOWED]);
    await expectClosed(stage, attack, legitimate);
  });

  test('about its own flow, to another pod', async () => {
    const { blue1: liar, blue2: friend, red1 } = stage.cast;
    const mine = await openFlow(stage.lab.prober(liar), liar.ip, friend.ip);
    const called = await openFlow(stage.lab.prober(friend), friend.ip, liar.ip);
    await expectSilence(
      stage,
      [red1.ip, stage.system, stage.node1.underlay, stage.lab.outside.address].flatMap((victim) =>
        [mine, backwards(mine), called, backwards(called)].map((flow) => ({
          name: `${flow.source} > ${flow.destination} to ${victim}`,
          fire: byBlue1('port unreachable', victim, flow, '', []).fire,
        })),
      ),
    );
    await legitimate();
  });
});

test('errors about a flow that policies allowed once, from a pod that they allow nothing any more', async () => {
  const { red1, red1b } = stage.cast;
  const flow = await openFlow(stage.lab.prober(red1), red1.ip, red1b.ip);
  const liar = new RawLink(red1.netns);
  const ends = { source: red1.ip, destination: red1b.ip };
  const fire = (token: string) =>
    liar.send(fromContainer(red1, errorAbout('port unreachable', ends, backwards(flow), token)));
  // A network that is allowed makes everybody's address a question.
  const spec = { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '192.0.2.0/24' } }] }] };
  const path = '/v1/tenants/red/namespaces/red/policies/one-network?wait=enforced&timeout=60s';
  try {
    const allowed = newToken();
    fire(allowed);
    await stage.ears.arrives(allowed, 'red1b');
    expect((await stage.lab.rest('PUT', path, spec)).status).toBe(201);
    await expectSilence(stage, [{ name: 'the same error', fire }]);
  } finally {
    await stage.lab.rest('DELETE', path);
    liar.close();
  }
  await legitimate();
});

/** An error that blue's container on node1 sends. */
function byBlue1(name: ErrorName, victim: string, flow: Quoted, arrivesAt: string, cuts: readonly Cut[]): Attack {
  return { name, arrivesAt, cuts, fire: (token) => blue1.send(lie(name, victim, flow, token)) };
}

function lie(name: ErrorName, victim: string, flow: Quoted, token: string, liar: 'blue1' | 'blue2' = 'blue1'): Buffer {
  const sender = stage.cast[liar];
  return fromContainer(sender, errorAbout(name, { source: sender.ip, destination: victim }, flow, token));
}

describe('errors of another tenant about a flow across nodes', () => {
  test('sent beside the caller', async () => {
    const { red1, red2 } = stage.cast;
    const flow = await openFlow(stage.lab.prober(red1), red1.ip, red2.ip);
    await expectClosed(
      stage,
      byBlue1('fragmentation needed', red1.ip, flow, 'red1', [...ANSWERS(), TO_CALLER]),
      legitimate,
    );
  });

  test('sent beside the one who is called, which is stopped at either node', async () => {
    const { red1, red2 } = stage.cast;
    const flow = await openFlow(stage.lab.prober(red1), red1.ip, red2.ip);
    const fire = (token: string) => blue2.send(lie('fragmentation needed', red1.ip, flow, token, 'blue2'));
    const sending = ANSWERS('node2');
    const receiving = [cut('overlay_source', 'forged, or not IPv4'), TO_CALLER];
    const attack: Attack = { name: 'across', fire, arrivesAt: 'red1', cuts: [...sending, ...receiving] };
    await expectClosed(stage, attack, legitimate);
    await without(stage.lab, sending, async () => {
      const token = newToken();
      fire(token);
      await stage.ears.arrives(token, 'from node2');
      expect(stage.ears.heardAt(token)).toEqual(['from node2']);
    });
  });
});

describe('errors about a gateway’s flow', () => {
  for (const name of names) {
    test(name, async () => {
      const { red1 } = stage.cast;
      const flow = await openFlow(stage.lab.prober(stage.gateway), stage.system, red1.ip);
      const attack = byBlue1(name, stage.system, flow, 'from node1', ANSWERS());
      await expectClosed(stage, attack, legitimate);
    });
  }

  test('sent from another node', async () => {
    const flow = await openFlow(stage.lab.prober(stage.gateway), stage.system, stage.cast.red1.ip);
    const fire = (token: string) => blue2.send(lie('port unreachable', stage.system, flow, token, 'blue2'));
    await expectSilence(stage, [{ name: 'from another node', fire }]);
    await legitimate();
  });
});

describe('errors and answers about the node’s own flows', () => {
  const CLOSED = cut('input_pod', 'the node is closed');
  const FORGED = cut('pod_source', 'forged, or not IPv4');

  /** Expects that nothing from blue's container gets past Tenet's rules to its node, and that it does once they are cut. */
  async function expectNodeClosed(cuts: readonly Cut[], fire: (token: string) => void): Promise<void> {
    const { lab, node1, cast } = stage;
    await legitimate();
    await expectSilence(stage, [{ name: 'to the node', fire }]);
    const delivered = await countFromPods(node1, hostLink(cast.blue1));
    await expectSilence(stage, [{ name: 'to the node', fire }]);
    expect(await delivered.read()).toBe(0);
    await without(lab, cuts, async () => {
      fire(newToken());
      await waitFor(async () => (await delivered.read()) > 0, { what: 'the packet reaches the node' });
    });
    await delivered.close();
    await legitimate();
  }

  const errorTo = (destination: string, quoted: Quoted, name: ErrorName) => (token: string) =>
    blue1.send(lie(name, destination, quoted, token));

  for (const name of names) {
    test(`${name}, about a probe of another container`, async () => {
      const { lab, node1, cast } = stage;
      const flow = await openFlow(lab.prober(node1), '169.254.1.1', cast.red1.ip);
      await expectNodeClosed([CLOSED], errorTo('169.254.1.1', flow, name));
    });
  }

  test('about the node’s connection to etcd', async () => {
    const { lab, node1 } = stage;
    const [manage] = lab.topology.manage;
    const etcd = { address: manage?.underlay ?? '', port: 2379 };
    const sourcePort = ++lastPort;
    const socket = lab.prober(node1).tcpSocket(etcd, { bindPort: sourcePort });
    try {
      await waitFor(() => socket.remoteAddress !== undefined, { what: 'a connection to etcd' });
      const ends = { source: node1.underlay, destination: etcd.address };
      const quoted: Quoted = { ...ends, protocol: 'tcp', sourcePort, destinationPort: etcd.port };
      await expectNodeClosed([CLOSED], errorTo(node1.underlay, quoted, 'fragmentation needed'));
      const route = await inside(node1, `ip route get ${etcd.address}`);
      expect(route).not.toContain('mtu 600');
    } finally {
      socket.destroy();
    }
  });

  test('about the node’s own VXLAN', async () => {
    const { node1, node2 } = stage;
    const ends = { source: node1.underlay, destination: node2.underlay };
    const vxlan = { ...ends, protocol: 'udp', sourcePort: 50_000, destinationPort: 4789 } as const;
    await expectNodeClosed([CLOSED], errorTo(node1.underlay, vxlan, 'fragmentation needed'));
    expect(await inside(node1, `ip route get ${node2.underlay}`)).not.toContain('mtu 600');
  });

  test('an answer to a probe, in the other container’s name', async () => {
    const { lab, node1, cast } = stage;
    const bindPort = ++lastPort;
    const { socket, send } = await lab.prober(node1).udpSocket({ address: cast.red1.ip, port: UDP_PORT }, { bindPort });
    const heard: string[] = [];
    socket.on('message', (message) => heard.push(message.toString('latin1')));
    try {
      send(Buffer.from('probe'));
      await waitFor(() => heard.includes('red1\nprobe'), { what: 'the true answer' });
      const between = { source: cast.red1.ip, destination: '169.254.1.1' };
      const fire = (mac: string) => (token: string) =>
        blue1.send(fromContainer({ mac }, datagram(between, token, { sourcePort: UDP_PORT, port: bindPort })));
      for (const mac of [cast.blue1.mac, cast.red1.mac]) await expectNodeClosed([FORGED, CLOSED], fire(mac));
      expect(heard.filter((each) => each.startsWith('tk'))).toHaveLength(2);
    } finally {
      socket.close();
    }
  });

  test('an answer to the node’s question to the outside', async () => {
    const { lab, node1 } = stage;
    const listener = await lab.prober(lab.outside).udpListen(UDP_PORT, 'outside');
    try {
      await openFlow(lab.prober(node1), node1.underlay, lab.outside.address);
      const between = { source: lab.outside.address, destination: node1.underlay };
      const fire = (token: string) =>
        blue1.send(fromContainer(stage.cast.blue1, datagram(between, token, { sourcePort: UDP_PORT, port: lastPort })));
      await expectNodeClosed([FORGED, CLOSED], fire);
    } finally {
      listener.close();
    }
  });
});

describe('true errors arrive', () => {
  test('a closed port says so, on one node, across nodes, to a gateway and to the node', async () => {
    const { lab, cast, gateway, node1 } = stage;
    const closed = 9;
    const results = await Promise.all([
      lab.prober(cast.red1).udpExchange(cast.red1b.ip, closed),
      lab.prober(cast.red1).udpExchange(cast.red2.ip, closed),
      lab.prober(cast.red2).udpExchange(cast.red1.ip, closed),
      lab.prober(gateway).udpExchange(cast.red1.ip, closed),
      lab.prober(node1).udpExchange(cast.red1.ip, closed),
      lab.prober(cast.red1).udpExchange(lab.outside.address, closed),
      lab.prober(cast.red1).tcpConnect(cast.red2.ip, closed),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(Array(7).fill('refused'));
  });

  test('a router beyond the cluster tells of its smaller MTU, and a stream gets through', async () => {
    const { lab, cast } = stage;
    await ip(lab.fabricNetns, ['link set to-outside mtu 1280']);
    try {
      const from = lab.prober(cast.red1);
      const tooBig = await from.ping(lab.outside.address, { packetSize: 1400, dontFragment: true });
      expect(tooBig).toMatchObject({ outcome: 'unreachable', from: '192.168.9.254', type: ICMP.unreachable, code: 4 });
      const listener = await lab.prober(lab.outside).tcpListen(8000, 'outside');
      const socket = from.tcpSocket({ address: lab.outside.address, port: 8000 });
      try {
        socket.on('error', () => undefined);
        socket.write(Buffer.alloc(100_000, 0x61));
        await waitFor(() => listener.bytes === 100_000, { what: 'a stream through the narrow link' });
      } finally {
        socket.destroy();
        listener.close();
      }
      const route = await run(['ip', '-n', cast.red1.netns, 'route', 'get', lab.outside.address]);
      expect(route).toContain('mtu 1280');
    } finally {
      await ip(lab.fabricNetns, ['link set to-outside mtu 1500']);
    }
  });

  test('a packet that has come too far is reported by routers beyond; nodes are silent, whatever it was for', async () => {
    const { lab, cast } = stage;
    const from = lab.prober(cast.red1);
    expect(await from.ping(lab.outside.address, { ttl: 2 })).toMatchObject({ from: '192.168.9.254', type: 11 });
    const answers = [cast.red1b.ip, cast.red2.ip, cast.blue1.ip, stage.system, '10.255.255.250', lab.outside.address];
    const results = await Promise.all(answers.map((each) => from.ping(each, { ttl: 1 })));
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['timeout']));
  });
});
