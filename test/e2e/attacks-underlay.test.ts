/**
 * Attacks from beside: a stranger on the underlay sends plain packets and VXLAN, under any address. Each packet is shown to arrive once the
 * rule that stops it is taken out.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import type { Stranger } from '../lab/lab.ts';
import { BROADCAST, ETHERTYPE, ethernet, ipv6, PROTOCOL, udp, vxlan } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { cargoTo, expectArrival } from './support/cargo.ts';
import { capsule, datagram, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { admission, type Cut, frozen } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

let stage: Stage;
let stranger: Stranger;
/** the stranger's link, and node2's own underlay link */
let beside: RawLink;
let node2: RawLink;

beforeAll(async () => {
  stage = await borrowStage();
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
  const PORTS = cut('from_elsewhere', 'not to a port reserved for pods');
  const CALLS = cut('from_elsewhere', 'calls from elsewhere');
  const POOL = cut('prerouting', 'pods and gateways never come from elsewhere');
  const attack = (name: string, source: () => string, ...cuts: Cut[]): Attack => ({
    name,
    fire: plain(source),
    arrivesAt: 'red1',
    cuts: [...cuts, ANSWERS, PORTS, CALLS],
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
    const attack = { name: 'an answer', fire: answer, arrivesAt: 'red1', cuts: [POOL, ANSWERS, PORTS] };
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
      const cuts = ['into an overlay', 'a link that is not set up yet'].map((comment) => cut('forward', comment, name));
      await expectClosed(stage, { name, fire, arrivesAt: `from ${name}`, cuts }, legitimate);
    });
});

/** As the true node sends it. */
const fromNode2 = (token: string) => {
  const packet = cargoTo(stage, {}, stage.node2.underlay, token);
  node2.send(onUnderlay({ source: stage.node2.mac, destination: stage.node1.mac }, packet));
};

/** From the stranger, under an underlay address and a MAC. */
const fromStranger = (address: () => string) => (token: string) => {
  const packet = cargoTo(stage, {}, address(), token);
  beside.send(onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, packet));
};

describe('VXLAN of a stranger', () => {
  const VXLAN = cut('input_vxlan', 'VXLAN comes from nodes alone');

  const attacks = [
    { name: 'under its own address', fire: fromStranger(() => stranger.address), arrivesAt: 'red1', cuts: [VXLAN] },
    { name: 'posing as a node', fire: fromStranger(() => stage.node2.underlay), arrivesAt: 'red1', cuts: [VXLAN] },
    { name: 'posing as a gateway', fire: fromStranger(() => stage.gateway.underlay), arrivesAt: 'red1', cuts: [VXLAN] },
  ];
  for (const attack of attacks)
    test(attack.name, async () => {
      await expectArrival(stage, fromNode2, 'red1');
      await expectClosed(stage, attack, legitimate);
      await expectArrival(stage, fromNode2, 'red1');
    });

  test('over IPv6, to many, or by another port', async () => {
    const { node1, cast, red } = stage;
    const shown = await inside(node1, 'ip -6 -o address show dev eth0 scope link');
    const linkLocal = /inet6 ([0-9a-f:]+)/.exec(shown)?.[1] ?? '';
    const packet = (token: string) => datagram({ source: cast.red2.ip, destination: cast.red1.ip }, token);
    const destinationMac = macOfAddress(parseIp(node1.underlay));
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
    const { admit, undo } = admission('node', { address: stage.node2.underlay, mac: stranger.mac });
    const attack = { name: 'VXLAN', fire: fromStranger(() => stage.node2.underlay) };
    await expectSilence(stage, [attack]);
    await frozen(stage.lab, ['node1'], async () => {
      await inside(stage.node1, admit);
      await expectArrival(stage, attack.fire, 'red1');
      await inside(stage.node1, undo);
    });
    await expectSilence(stage, [attack]);
  });
});
