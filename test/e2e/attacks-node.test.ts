/**
 * Attacks from below: a node of the cluster that is in the wrong hands, and sends what it likes by VXLAN, under its own address. Each
 * packet is shown to arrive once the rule that stops it is taken out.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { arp, BROADCAST, ETHERTYPE } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { neighbourTables } from './support/attacker.ts';
import { type Cargo, cargoTo, expectArrival } from './support/cargo.ts';
import { capsule, datagram, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, frozen } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

let stage: Stage;
/** node2's own underlay link */
let node2: RawLink;

beforeAll(async () => {
  stage = await borrowStage();
  node2 = new RawLink(stage.node2.netns);
});
afterAll(async () => {
  node2?.close();
  await stage?.close();
});

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });
const NOT_ALLOWED = cut('call_in', 'pair not allowed');
const legitimate = async () => {
  await Promise.all([
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.gateway, 'red1'),
    meets(stage, stage.cast.blue2, 'blue1'),
  ]);
};

/** From node2 itself, as a node in the wrong hands sends it. */
const fromNode2 = (cargo: Cargo) => (token: string) => {
  const packet = cargoTo(stage, cargo, stage.node2.underlay, token);
  node2.send(onUnderlay({ source: stage.node2.mac, destination: stage.node1.mac }, packet));
};

describe('a node in the wrong hands', () => {
  const RELAY = [cut('from_overlay', 'an overlay delivers to pods alone'), NOT_ALLOWED];
  const FORGED = cut('overlay_source', 'forged, or not IPv4');
  const NOT_ITS_OWN = cut('vxlan_inside', 'not an address of the node that sends it');
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
      cuts: [NOT_ALLOWED],
    },
    {
      name: 'forges a source that is not of the VNI',
      fire: fromNode2({ source: () => stage.cast.blue2.ip, destination: () => stage.cast.blue1.ip }),
      arrivesAt: 'blue1',
      cuts: [FORGED],
    },
    {
      name: 'poses as another tenant’s container',
      fire: fromNode2({ source: () => stage.cast.blue2.ip }),
      arrivesAt: 'red1',
      cuts: [FORGED, NOT_ALLOWED],
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
      cuts: [NOT_ITS_OWN, FORGED, NOT_ALLOWED],
    },
    {
      name: 'poses as no node: an address of the pool that no node has',
      fire: fromNode2({ source: () => '10.255.255.250' }),
      arrivesAt: 'red1',
      cuts: [NOT_ITS_OWN, FORGED, NOT_ALLOWED],
    },
  ];
  for (const attack of attacks)
    test(attack.name, async () => {
      await expectArrival(stage, fromNode2({}), 'red1');
      await expectClosed(stage, { ...attack, origin: ORIGIN }, legitimate);
      await expectArrival(stage, fromNode2({}), 'red1');
    });

  test('reaches no node itself through an overlay', async () => {
    const port = 7777;
    const listener = await stage.lab.prober(stage.node1).udpListen(port, 'node1');
    const attack = (destination: () => string) => (token: string) => {
      const packet = datagram({ source: stage.cast.red2.ip, destination: destination() }, token, { port });
      const destinationMac = macOfAddress(parseIp(stage.node1.underlay));
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
    const destinationMac = macOfAddress(parseIp(node1.underlay));
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
      { name: 'a VNI no tenant has', fire: fromNode2({ vni: () => 16_000_000 }), origin: ORIGIN },
      { name: 'VNI 0', fire: fromNode2({ vni: () => 0 }), origin: ORIGIN },
      { name: 'blue’s VNI', fire: fromNode2({ vni: ({ blue }) => blue.vni }), origin: ORIGIN },
    ]);
  });
});
