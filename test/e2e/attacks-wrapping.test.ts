/**
 * IPv4 packets of a container that are more than a packet to one receiver: tunnels, IP options, packets for many. None arrives anywhere,
 * and no host answers.
 */
import { describe, expect, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import { BROADCAST, ETHERTYPE, ethernet, icmp, icmpEcho, ipv4, PROTOCOL, sourceRoute } from '../lab/probe/packet.ts';
import { expectClosed } from './support/attack.ts';
import { setUpAttacker } from './support/attacker.ts';
import { capsule, datagram } from './support/forge.ts';
import type { Cut } from './support/openings.ts';

const attacker = setUpAttacker();

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });

describe('tunnels', () => {
  const inner = (token: string) =>
    datagram({ source: attacker.stage.cast.blue2.ip, destination: attacker.stage.cast.blue1.ip }, token);
  const hosts = () => [
    attacker.stage.node1.underlay,
    attacker.stage.node2.underlay,
    attacker.stage.gateway.underlay,
    '169.254.1.1',
  ];

  test('VXLAN to its own node, another and the gateway carries nothing', async () => {
    const { cast, blue, red, node1, node2 } = attacker.stage;
    const targets = [...hosts(), cast.red1b.ip, cast.blue1.ip].flatMap((target) =>
      [blue.vni, red.vni, 1].map((vni) => ({ target, vni })),
    );
    const shots = targets.flatMap(({ target, vni }) => {
      const destinationMac = macOfAddress(parseIp(target === node2.underlay ? node2.underlay : node1.underlay));
      const from = (name: string, source: string) =>
        attacker.packetShot(`${target}, VNI ${vni}, as ${name}`, (token) =>
          capsule({ source, destination: target }, { vni, destinationMac, packet: inner(token) }),
        );
      // What it sends to its friend is between the two of them.
      return [from('a node', node2.underlay), ...(target === cast.red1b.ip ? [] : [from('itself', cast.red1.ip)])];
    });
    await attacker.expectNowhere(shots);
  });

  test('VXLAN to its own node arrives once every rule in its way is gone', async () => {
    const { cast, node1, blue } = attacker.stage;
    const destinationMac = macOfAddress(parseIp(node1.underlay));
    const { fire } = attacker.packetShot('VXLAN', (token) =>
      capsule(
        { source: cast.red1.ip, destination: node1.underlay },
        { vni: blue.vni, destinationMac, packet: inner(token) },
      ),
    );
    const attack = { name: 'VXLAN', fire, arrivesAt: 'blue1', cuts: [cut('input_pod', 'the node is closed')] };
    await expectClosed(attacker.stage, attack, attacker.legitimate);
  });

  test('other protocols that wrap or stand alone reach no host', async () => {
    const numbers = {
      IPIP: 4,
      IGMP: 2,
      IPv6: 41,
      GRE: 47,
      ESP: 50,
      AH: 51,
      OSPF: 89,
      VRRP: 112,
      L2TP: 115,
      SCTP: 132,
      raw: 255,
    };
    const gre = Buffer.from([0, 0, 8, 0]);
    const shots = Object.entries(numbers).flatMap(([name, protocol]) =>
      [...hosts(), attacker.stage.cast.blue1.ip, attacker.stage.lab.topology.manage[0]?.underlay ?? ''].map(
        (destination) =>
          attacker.packetShot(`${name} to ${destination}`, (token) =>
            ipv4(
              { source: attacker.stage.cast.red1.ip, destination, protocol },
              Buffer.concat([...(name === 'GRE' ? [gre] : []), inner(token)]),
            ),
          ),
      ),
    );
    await attacker.expectNowhere(shots);
  });
});

describe('IP options', () => {
  const OPTIONS = {
    'loose source route': (way: string) => sourceRoute(131, [way]),
    'strict source route': (way: string) => sourceRoute(137, [way]),
    'record route': () => Buffer.from([7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    timestamp: () => Buffer.from([68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    'router alert': () => Buffer.from([148, 4, 0, 0]),
    'no operation': () => Buffer.from([1, 1, 1, 1]),
  };

  test('take no packet anywhere, not even to a friend', async () => {
    const { cast, node1, node2, lab, system } = attacker.stage;
    const ends = [
      cast.red1b.ip,
      cast.red2.ip,
      cast.blue1.ip,
      node1.underlay,
      node2.underlay,
      lab.outside.address,
      system,
    ];
    const shots = Object.entries(OPTIONS).flatMap(([name, options]) =>
      ends.map((destination) =>
        attacker.packetShot(`${name} to ${destination}`, (token) =>
          datagram({ source: cast.red1.ip, destination }, token, { options: options(cast.blue1.ip) }),
        ),
      ),
    );
    await attacker.expectNowhere(shots);
  });

  test('would take one to a friend without the guard', async () => {
    const { fire } = attacker.packetShot('record route', (token) =>
      datagram({ source: attacker.stage.cast.red1.ip, destination: attacker.stage.cast.red2.ip }, token, {
        options: OPTIONS['record route'](),
      }),
    );
    const guards = ['node1', 'node2'].flatMap((node) => [
      { node, chain: 'pod_source', comment: 'forged, or not IPv4' },
      { node, chain: 'overlay_source', comment: 'forged, or not IPv4' },
    ]);
    await expectClosed(
      attacker.stage,
      { name: 'record route', fire, arrivesAt: 'red2', cuts: guards },
      attacker.legitimate,
    );
  });
});

describe('IPv4 for many', () => {
  test('multicast and broadcast leave the container and go no further', async () => {
    const { red1 } = attacker.stage.cast;
    const many = [...['224.0.0.1', '224.0.0.251', '239.1.1.1', '255.255.255.255', '192.168.9.255']];
    const shots = many.flatMap((destination) =>
      [HOST_END_MAC, BROADCAST, '01:00:5e:00:00:01'].map((mac) =>
        attacker.shot(`${destination} by ${mac}`, (token) =>
          ethernet(
            { source: red1.mac, destination: mac, type: ETHERTYPE.ipv4 },
            datagram({ source: red1.ip, destination }, token),
          ),
        ),
      ),
    );
    await attacker.expectNowhere(shots);
  });

  test('ICMP that asks a host about itself is not answered', async () => {
    const { cast, node1 } = attacker.stage;
    attacker.link.forget();
    const asks = [
      (token: string) => icmpEcho(8, 7, 7, Buffer.from(token)),
      (token: string) => icmp(13, 0, 7, Buffer.from(token)),
      (token: string) => icmp(17, 0, 7, Buffer.from(token)),
      (token: string) => icmp(9, 0, 7, Buffer.from(token)),
    ];
    const shots = asks.flatMap((ask, index) =>
      [node1.underlay, '169.254.1.1', attacker.stage.node2.underlay, cast.blue1.ip].map((destination) =>
        attacker.packetShot(`ICMP ${index} to ${destination}`, (token) =>
          ipv4({ source: cast.red1.ip, destination, protocol: PROTOCOL.icmp }, ask(token)),
        ),
      ),
    );
    await attacker.expectNowhere(shots);
    expect(attacker.link.heard().filter(({ direction }) => direction === 'in')).toEqual([]);
  });
});
