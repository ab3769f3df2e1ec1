/**
 * What leaves a node in its name, without being the node's: packets of its pods, and of containers of others that other programs
 * masquerade. Nodes believe each other's VXLAN by the sender's address. And what cannot take the node's name leaves with a pod's own.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { ip, removeNamespaces } from '../lab/fabric.ts';
import { addNetns } from '../lab/named-netns.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ETHERTYPE, ethernet, ipv4, PROTOCOL, tcp, udp, vxlan } from '../lab/probe/packet.ts';
import type { Listener } from '../lab/probe/prober.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { netnsName } from '../lab/topology.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { cargoTo } from './support/cargo.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, frozen, without } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

const PORT = 7790;
const VXLAN_PORT = 4789;
const OUTSIDE_PORT = 8000;
/** An address of node2 that no record has: of a bridge there, a service, a second card. */
const SECOND = '203.0.113.7';

let stage: Stage;
/** red1's own end */
let pod: RawLink;
/** of node2 itself */
let listener: Listener;

beforeAll(async () => {
  stage = await borrowStage();
  pod = new RawLink(stage.cast.red1.netns);
  const { lab, node2 } = stage;
  listener = await lab.prober(node2).udpListen(PORT, 'node2');
  await Promise.all([
    lab.prober(lab.outside).udpListen(OUTSIDE_PORT, 'outside'),
    lab.prober(lab.outside).tcpListen(OUTSIDE_PORT, 'outside'),
  ]);
});
afterAll(async () => {
  pod?.close();
  await stage?.close();
});

const OF_OTHERS = 'VXLAN in the name of the node';
const SENT: Cut = { node: 'node1', chain: 'beyond', comment: OF_OTHERS };
const RECEIVED: Cut = { node: 'node2', chain: 'input_vxlan', comment: 'VXLAN comes to the address that nodes know' };

const BY_UNDERLAY: Cut = { node: 'node1', chain: 'forward', comment: 'VXLAN in the name of another node' };

/** What a node sends by VXLAN: a packet of its pod blue1 to blue2, of the other node. */
function cargo(token: string): Buffer {
  const { cast, node1, node2, blue } = stage;
  const [source, destination] = [node1, node2].map((node) => macOfAddress(parseIp(node.underlay)));
  const packet = datagram({ source: cast.blue1.ip, destination: cast.blue2.ip }, token);
  return vxlan(
    blue.vni,
    ethernet({ source: source ?? '', destination: destination ?? '', type: ETHERTYPE.ipv4 }, packet),
  );
}

const heardByNode2 = (token: string) =>
  waitFor(() => listener.payloads.some((payload) => payload.includes(token)), { what: 'a datagram to node2' });

const podsMeet = () =>
  Promise.all([
    meets(stage, stage.cast.blue1, 'blue2'),
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.gateway, 'blue2'),
  ]);

test('VXLAN of a pod, to a node by an address that is not known to be one', async () => {
  const { cast, lab, node1, node2 } = stage;
  await inside(node2, `ip address add ${SECOND}/32 dev lo`);
  await inside(node1, `ip route add ${SECOND}/32 via ${node2.underlay}`);
  onTestFinished(async () => {
    await inside(node2, `ip address del ${SECOND}/32 dev lo`);
    await inside(node1, `ip route del ${SECOND}/32 via ${node2.underlay}`);
  });
  const send = (destinationPort: number, payload: Buffer) => {
    const ends = { source: cast.red1.ip, destination: SECOND };
    const body = udp({ ...ends, sourcePort: 5000, destinationPort }, payload);
    pod.send(fromContainer(cast.red1, ipv4({ ...ends, protocol: PROTOCOL.udp }, body)));
  };
  const attack: Attack = {
    name: 'a packet of another tenant’s pod',
    fire: (token) => send(VXLAN_PORT, cargo(token)),
    arrivesAt: 'blue2',
    cuts: [SENT, RECEIVED],
  };
  const legitimate = async () => {
    await podsMeet();
    // To the same address by another port: for all that is known it is the internet.
    const token = newToken();
    send(PORT, Buffer.from(token));
    await heardByNode2(token);
  };
  await expectClosed(stage, attack, legitimate);
  // Either node stops it by itself: the other one may be of an older version.
  await without(lab, [RECEIVED], () => expectSilence(stage, [attack]));
  await without(lab, [SENT], () => expectSilence(stage, [{ ...attack, origin: 'from node1' }]));
});

describe('VXLAN of another runtime’s container', () => {
  const BRIDGE = { address: '172.17.0.1', container: '172.17.0.2', network: '172.17.0.0/16' };
  const MASQUERADE = `POSTROUTING -s ${BRIDGE.network} ! -o other0 -j MASQUERADE`;
  let netns: string;
  let neighbour: RawLink;
  /** MACs of the container, and of its node's end */
  let macs: { readonly source: string; readonly destination: string };

  beforeAll(async () => {
    const { lab, node1 } = stage;
    netns = netnsName(lab.id, 'neighbour');
    addNetns(netns);
    await ip(node1.netns, [
      `link add other0 type veth peer name eth0 netns ${netns}`,
      `address add ${BRIDGE.address}/16 dev other0`,
      'link set other0 up',
    ]);
    await ip(netns, [
      `address add ${BRIDGE.container}/16 dev eth0`,
      'link set eth0 up',
      `route add default via ${BRIDGE.address}`,
    ]);
    await inside(node1, `iptables -w -t nat -A ${MASQUERADE}; echo 1 > /proc/sys/net/ipv4/conf/other0/forwarding`);
    neighbour = new RawLink(netns);
    const mac = async (of: string, link: string) =>
      /ether ([0-9a-f:]+)/.exec(await ip(of, [`link show dev ${link}`]))?.[1] ?? '';
    macs = { source: await mac(netns, 'eth0'), destination: await mac(node1.netns, 'other0') };
  });
  afterAll(async () => {
    neighbour?.close();
    await inside(stage.node1, `iptables -w -t nat -D ${MASQUERADE}; ip link del other0`);
    await removeNamespaces([netns]);
  });

  const send = (packet: Buffer, sourceMac = macs.source) =>
    neighbour.send(ethernet({ ...macs, source: sourceMac, type: ETHERTYPE.ipv4 }, packet));
  const sendToNode2 = (destinationPort: number, payload: Buffer, source = BRIDGE.container) => {
    const ends = { source, destination: stage.node2.underlay };
    const body = udp({ ...ends, sourcePort: 5000, destinationPort }, payload);
    send(ipv4({ ...ends, protocol: PROTOCOL.udp }, body));
  };
  const legitimate = async () => {
    await podsMeet();
    expect((await stage.lab.prober(netns).udpExchange(stage.node2.underlay, PORT)).id).toBe('node2');
    const token = newToken();
    sendToNode2(PORT, Buffer.from(token));
    await heardByNode2(token);
  };

  const attacks: Attack[] = [
    {
      name: 'masqueraded by its program',
      fire: (token) => sendToNode2(VXLAN_PORT, cargo(token)),
      arrivesAt: 'blue2',
      // What is not tracked is not translated either; pieces are tracked.
      cuts: [
        { node: 'node1', chain: 'forward', comment: OF_OTHERS },
        { node: 'node1', chain: 'prerouting', comment: 'VXLAN is not tracked' },
        BY_UNDERLAY,
      ],
    },
    {
      name: 'in the name of another node, to a third one',
      fire: (token) => sendToNode2(VXLAN_PORT, cargo(token), stage.gateway.underlay),
      arrivesAt: 'from node1',
      cuts: [BY_UNDERLAY],
    },
    {
      name: 'in the name of another node, to its own',
      fire: (token) => send(cargoTo(stage, {}, stage.node2.underlay, token), stage.node2.mac),
      arrivesAt: 'red1',
      cuts: [{ node: 'node1', chain: 'input_vxlan', comment: 'VXLAN comes by the underlay link' }],
    },
  ];
  test.each(attacks)('$name', (attack) => expectClosed(stage, attack, legitimate));
});

describe('what is of no flow cannot take the node’s name, and does not leave with a pod’s', () => {
  const cuts: Cut[] = [{ node: 'node1', chain: 'beyond', comment: 'a packet of no flow would keep the pod’s address' }];
  const ends = () => ({ source: stage.cast.red1.ip, destination: stage.lab.outside.address });
  const toOutside = (protocol: number, body: Buffer) =>
    pod.send(fromContainer(stage.cast.red1, ipv4({ ...ends(), protocol }, body)));
  const flagged = (flags: Parameters<typeof tcp>[0]['flags']) => (token: string) =>
    toOutside(
      PROTOCOL.tcp,
      tcp({ ...ends(), sourcePort: 4000, destinationPort: OUTSIDE_PORT, flags }, Buffer.from(token)),
    );
  const miscounted = (token: string) => {
    const body = udp({ ...ends(), sourcePort: 4001, destinationPort: OUTSIDE_PORT }, Buffer.from(token));
    body.writeUInt16BE(body.readUInt16BE(6) ^ 0x5555, 6);
    toOutside(PROTOCOL.udp, body);
  };
  const legitimate = async () => {
    const { cast, lab } = stage;
    await podsMeet();
    const [byTcp, byUdp] = await Promise.all([
      lab.prober(cast.red1).tcpConnect(lab.outside.address, OUTSIDE_PORT),
      lab.prober(cast.red1).udpExchange(lab.outside.address, OUTSIDE_PORT),
    ]);
    expect([byTcp.id, byUdp.id]).toEqual(['outside', 'outside']);
  };

  test.each<[string, (token: string) => void]>([
    ['flags that nothing sends', flagged(['syn', 'fin'])],
    ['the end of a connection that never was', flagged(['fin'])],
    ['no flags at all', flagged([])],
    ['a wrong checksum', miscounted],
  ])('%s', async (name, fire) => {
    await expectClosed(stage, { name, fire, arrivesAt: 'from node1', cuts }, legitimate);
  });

  test('others that keep a pod’s packets from being tracked', async () => {
    const { cast, lab, node1 } = stage;
    const rule = `PREROUTING -i tnp+ -j CT --notrack`;
    const fire = (token: string) =>
      toOutside(PROTOCOL.udp, udp({ ...ends(), sourcePort: 4002, destinationPort: OUTSIDE_PORT }, Buffer.from(token)));
    await legitimate();
    await frozen(lab, ['node1'], async () => {
      await inside(node1, `iptables -w -t raw -A ${rule}`);
      try {
        await meets(stage, cast.red1, 'red1b');
        await meets(stage, cast.red1, 'red2');
        await expectSilence(stage, [{ name: 'untracked', fire }]);
      } finally {
        await inside(node1, `iptables -w -t raw -D ${rule}`);
      }
    });
    await legitimate();
    const token = newToken();
    fire(token);
    await stage.ears.arrives(token, 'from node1');
  });
});
