/**
 * Attacks from beside and below: a stranger on the underlay, and a node of the cluster that is in the wrong hands. Each packet is shown to
 * arrive once the rule that stops it is taken out.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { overlayMac } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import type { Stranger } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet, ipv6, PROTOCOL, udp, vxlan } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { neighbourTables } from './support/attacker.ts';
import { newToken } from './support/ears.ts';
import { capsule, datagram, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, frozen } from './support/openings.ts';
import { meets, raiseStage, type Stage } from './support/stage.ts';

let stage: Stage;
let stranger: Stranger;
/** the stranger's link, and node2's own underlay link */
let beside: RawLink;
let node2: RawLink;

beforeAll(async () => {
  stage = await raiseStage();
  stranger = await stage.lab.addStranger();
  beside = new RawLink(stranger.netns);
  node2 = new RawLink(stage.node2.netns);
});
afterAll(async () => {
  beside?.close();
  node2?.close();
  await stage?.close();
});

const cut = (chain: string, comment: string, node = 'node1'): Cut => ({ node, chain, comment });
const NOBODY_ELSE = cut('to_pod', 'nobody else');
const legitimate = async () => {
  await Promise.all([
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.gateway, 'red1'),
    meets(stage, stage.cast.blue2, 'blue1'),
  ]);
};

/** A plain packet from the stranger, with its own MAC, to node1. */
const plain = (source: () => string) => (token: string) => {
  const packet = datagram({ source: source(), destination: stage.cast.red1.ip }, token);
  beside.send(onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, packet));
};

describe('plain packets of a stranger to a container', () => {
  // For a call, too, it is the container's address that answers would come from.
  const ANSWERS = cut('from_elsewhere', 'answers of pods never come from elsewhere');
  const CALLS = cut('from_elsewhere', 'calls from elsewhere');
  const POOL = cut('prerouting', 'pods and gateways never come from elsewhere');
  const attack = (name: string, source: () => string, ...cuts: Cut[]): Attack => ({
    name,
    fire: plain(source),
    arrivesAt: 'red1',
    cuts: [...cuts, ANSWERS, CALLS],
  });
  const attacks = [
    attack('posing as a container of the same tenant', () => stage.cast.red2.ip, POOL),
    attack('posing as a gateway', () => stage.system, POOL),
    attack('under its own address', () => stranger.address),
    attack('posing as the outside', () => stage.lab.outside.address),
    attack('posing as a node', () => stage.node2.underlay),
  ];
  for (const each of attacks) test(each.name, () => expectClosed(stage, each, legitimate));

  test('forged answers to a flow between containers', async () => {
    const { red1, red2 } = stage.cast;
    const flow = { bindPort: 4001 };
    expect((await stage.lab.prober(red1).udpExchange(red2.ip, 5353, flow)).id).toBe('red2');
    const answer = (token: string) => {
      const packet = datagram({ source: red2.ip, destination: red1.ip }, token, { sourcePort: 5353, port: 4001 });
      beside.send(onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, packet));
    };
    const attack = { name: 'an answer', fire: answer, arrivesAt: 'red1', cuts: [POOL, ANSWERS] };
    await expectClosed(stage, attack, legitimate);
  });
});

describe('plain packets of a stranger into an overlay', () => {
  for (const name of ['gw1', 'node2'] as const)
    test(`are not forwarded by ${name}`, async () => {
      const host = stage.lab.host(name);
      const fire = (token: string) => {
        const packet = datagram({ source: stranger.address, destination: stage.cast.red1.ip }, token);
        beside.send(onUnderlay({ source: stranger.mac, destination: host.mac }, packet));
      };
      const cuts = ['into an overlay', 'a link we do not know yet'].map((comment) => cut('forward', comment, name));
      await expectClosed(stage, { name, fire, arrivesAt: `from ${name}`, cuts }, legitimate);
    });
});

/** What a VXLAN packet to node1 carries: from whom, to whom, under which VNI; a good one unless told otherwise. */
interface Cargo {
  readonly vni?: () => number;
  readonly source?: () => string;
  readonly destination?: () => string;
}

function cargoTo(cargo: Cargo, outerSource: string, token: string): Buffer {
  const { red, cast, node1 } = stage;
  const { vni = () => red.vni, source = () => cast.red2.ip, destination = () => cast.red1.ip } = cargo;
  const packet = datagram({ source: source(), destination: destination() }, token);
  const destinationMac = overlayMac(parseIp(node1.underlay));
  return capsule({ source: outerSource, destination: node1.underlay }, { vni: vni(), destinationMac, packet });
}

/** From node2 itself, as a node in the wrong hands sends it. */
const fromNode2 = (cargo: Cargo) => (token: string) => {
  const packet = cargoTo(cargo, stage.node2.underlay, token);
  node2.send(onUnderlay({ source: stage.node2.mac, destination: stage.node1.mac }, packet));
};

/** From the stranger, under an underlay address and a MAC. */
const fromStranger = (address: () => string) => (token: string) => {
  const packet = cargoTo({}, address(), token);
  beside.send(onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, packet));
};

/** Expects that a packet arrives: the tests' packets are right in all but what they lie about. */
async function expectArrival(fire: (token: string) => void, place: string): Promise<void> {
  const token = newToken();
  fire(token);
  await stage.ears.arrives(token, place);
}

describe('VXLAN of a stranger', () => {
  const VXLAN = cut('input_vxlan', 'VXLAN comes from nodes alone');

  const attacks = [
    { name: 'under its own address', fire: fromStranger(() => stranger.address), arrivesAt: 'red1', cuts: [VXLAN] },
    { name: 'posing as a node', fire: fromStranger(() => stage.node2.underlay), arrivesAt: 'red1', cuts: [VXLAN] },
    { name: 'posing as a gateway', fire: fromStranger(() => stage.gateway.underlay), arrivesAt: 'red1', cuts: [VXLAN] },
  ];
  for (const attack of attacks)
    test(attack.name, async () => {
      await expectArrival(fromNode2({}), 'red1');
      await expectClosed(stage, attack, legitimate);
      await expectArrival(fromNode2({}), 'red1');
    });

  test('over IPv6, to many, or by another port', async () => {
    const { node1, cast, red } = stage;
    const shown = await inside(node1, 'ip -6 -o address show dev eth0 scope link');
    const linkLocal = /inet6 ([0-9a-f:]+)/.exec(shown)?.[1] ?? '';
    const packet = (token: string) => datagram({ source: cast.red2.ip, destination: cast.red1.ip }, token);
    const destinationMac = overlayMac(parseIp(node1.underlay));
    const four = (source: string, destination: string, mac: string, port?: number) => (token: string) => {
      const wrapped = capsule({ source, destination }, { vni: red.vni, destinationMac, packet: packet(token) });
      if (port !== undefined) wrapped.writeUInt16BE(port, 22);
      beside.send(onUnderlay({ source: stranger.mac, destination: mac }, wrapped));
    };
    const six = (token: string) => {
      const between = { source: 'fe80::66', destination: linkLocal };
      const inner = ethernet(
        { source: stranger.mac, destination: destinationMac, type: ETHERTYPE.ipv4 },
        packet(token),
      );
      const body = udp({ ...between, sourcePort: 50_000, destinationPort: 4789 }, vxlan(red.vni, inner));
      const outer = ipv6({ ...between, nextHeader: PROTOCOL.udp }, body);
      beside.send(ethernet({ source: stranger.mac, destination: node1.mac, type: ETHERTYPE.ipv6 }, outer));
    };
    await expectSilence(stage, [
      { name: 'IPv6', fire: six },
      { name: 'broadcast', fire: four(stranger.address, '255.255.255.255', BROADCAST) },
      { name: 'broadcast, as a node', fire: four(stage.node2.underlay, '192.168.9.255', BROADCAST) },
      { name: 'Linux’s old port', fire: four(stage.node2.underlay, node1.underlay, node1.mac, 8472) },
    ]);
  });

  test('is stopped by its MAC alone when it poses as a node', async () => {
    const element = `vxlan_peer4 { ${stage.node2.underlay} . ${stranger.mac} }`;
    const attack = { name: 'VXLAN', fire: fromStranger(() => stage.node2.underlay) };
    await expectSilence(stage, [attack]);
    await inside(stage.node1, `nft 'add element inet tenet ${element}'`);
    await expectArrival(attack.fire, 'red1');
    await inside(stage.node1, `nft 'delete element inet tenet ${element}' || true`);
    await expectSilence(stage, [attack]);
  });
});

describe('a node in the wrong hands', () => {
  const RELAY = [cut('from_overlay', 'an overlay delivers to pods alone'), NOBODY_ELSE];
  const FORGED = cut('overlay_source', 'forged, or not IPv4');
  const ORIGIN = 'from node2';
  const relay = (name: string, destination: () => string): Attack => ({
    name,
    fire: fromNode2({ destination }),
    arrivesAt: 'from node1',
    cuts: RELAY,
  });

  const attacks: readonly Omit<Attack, 'origin'>[] = [
    relay('relays through an overlay to etcd', () => stage.lab.topology.manage[0]?.underlay ?? ''),
    relay('relays through an overlay to the outside', () => stage.lab.outside.address),
    relay('relays through an overlay to the gateway', () => stage.system),
    relay('relays through an overlay to another node', () => stage.gateway.underlay),
    relay('bounces off an overlay to a container elsewhere', () => stage.cast.red2.ip),
    {
      name: 'reaches another tenant’s container by the wrong VNI',
      fire: fromNode2({ destination: () => stage.cast.blue1.ip }),
      arrivesAt: 'blue1',
      cuts: [NOBODY_ELSE],
    },
    {
      name: 'forges a source that is not of the VNI',
      fire: fromNode2({ source: () => stage.cast.blue2.ip, destination: () => stage.cast.blue1.ip }),
      arrivesAt: 'blue1',
      cuts: [FORGED],
    },
    {
      name: 'poses as a gateway by a tenant’s VNI of another tenant',
      fire: fromNode2({ source: () => stage.cast.blue2.ip }),
      arrivesAt: 'red1',
      cuts: [FORGED, NOBODY_ELSE],
    },
    {
      name: 'poses as a container by the system overlay',
      fire: fromNode2({ vni: () => 1 }),
      arrivesAt: 'red1',
      cuts: [FORGED],
    },
    {
      name: 'poses as the outside',
      fire: fromNode2({ source: () => stage.lab.outside.address }),
      arrivesAt: 'red1',
      cuts: [FORGED, NOBODY_ELSE],
    },
    {
      name: 'poses as nobody: an address of the pool that no node has',
      fire: fromNode2({ source: () => '10.255.255.250' }),
      arrivesAt: 'red1',
      cuts: [FORGED, NOBODY_ELSE],
    },
  ];
  for (const attack of attacks)
    test(attack.name, async () => {
      await expectArrival(fromNode2({}), 'red1');
      await expectClosed(stage, { ...attack, origin: ORIGIN }, legitimate);
      await expectArrival(fromNode2({}), 'red1');
    });

  test('reaches no node itself through an overlay', async () => {
    const port = 7777;
    const listener = await stage.lab.prober(stage.node1).udpListen(port, 'node1');
    const attack = (destination: () => string) => (token: string) => {
      const packet = datagram({ source: stage.cast.red2.ip, destination: destination() }, token, { port });
      const destinationMac = overlayMac(parseIp(stage.node1.underlay));
      const ends = { source: stage.node2.underlay, destination: stage.node1.underlay };
      const wrapped = capsule(ends, { vni: stage.red.vni, destinationMac, packet });
      node2.send(onUnderlay({ source: stage.node2.mac, destination: stage.node1.mac }, wrapped));
    };
    const attacks = [stage.node1.underlay, '169.254.1.1', '127.0.0.1', '255.255.255.255', '224.0.0.1'].map((each) => ({
      name: each,
      fire: attack(() => each),
      origin: ORIGIN,
    }));
    await expectSilence(stage, attacks);
    expect(listener.payloads).toEqual([]);
    expect((await stage.lab.prober(stage.node2).udpExchange(stage.node1.underlay, port)).id).toBe('node1');
  });

  test('writes no neighbour table by what it sends through an overlay', async () => {
    const { cast, red, node1 } = stage;
    const link = `tnt${red.vni}`;
    const destinationMac = overlayMac(parseIp(node1.underlay));
    const ends = { source: stage.node2.underlay, destination: node1.underlay };
    const send = (operation: 'request' | 'reply', senderIp: string, targetIp: string, mac: string) => {
      const lie = arp({ operation, senderMac: '02:66:00:00:00:09', senderIp, targetIp });
      const wrapped = capsule(ends, { vni: red.vni, destinationMac: mac, packet: lie, type: ETHERTYPE.arp });
      node2.send(onUnderlay({ source: stage.node2.mac, destination: node1.mac }, wrapped));
    };
    const lies = () => {
      for (const victim of [cast.red1.ip, cast.red2.ip, stage.node2.underlay, stage.gateway.underlay])
        for (const target of [node1.underlay, '169.254.1.1', cast.red1.ip])
          for (const mac of [destinationMac, BROADCAST]) {
            send('request', victim, target, mac);
            send('reply', victim, target, mac);
          }
    };
    const before = await neighbourTables(stage);
    lies();
    await expectSilence(stage, []);
    expect(await neighbourTables(stage)).toBe(before);
    // The same, on a link that takes part in ARP.
    await frozen(stage.lab, ['node1'], async () => {
      await inside(node1, `ip link set ${link} arp on; echo 0 > /proc/sys/net/ipv4/conf/${link}/arp_ignore`);
      lies();
      await waitFor(async () => (await neighbourTables(stage)) !== before, { what: 'a table that was written to' });
      await inside(node1, `echo 8 > /proc/sys/net/ipv4/conf/${link}/arp_ignore; ip neigh flush dev ${link}`);
      await inside(node1, `ip link set ${link} arp off`);
    });
    await waitFor(async () => (await neighbourTables(stage)) === before, { what: 'the tables are as they were' });
    await legitimate();
  });

  test('invents no VNI and no link', async () => {
    await expectSilence(stage, [
      { name: 'a VNI nobody has', fire: fromNode2({ vni: () => 16_000_000 }), origin: ORIGIN },
      { name: 'VNI 0', fire: fromNode2({ vni: () => 0 }), origin: ORIGIN },
      { name: 'blue’s VNI', fire: fromNode2({ vni: () => stage.blue.vni }), origin: ORIGIN },
    ]);
  });
});
