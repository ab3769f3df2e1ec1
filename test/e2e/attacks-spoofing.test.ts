/**
 * What a container says about who it is: addresses, MACs and ARP that are not its own. No pod or node hears it, and no
 * neighbour table changes.
 */
import { describe, expect, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet } from '../lab/probe/packet.ts';
import { expectClosed, expectSilence } from './support/attack.ts';
import { neighbourTables, setUpAttacker } from './support/attacker.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { admission, type Cut, frozen, openLink } from './support/openings.ts';
import { hostLink } from './support/stage.ts';

const attacker = setUpAttacker();

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });
const GUARD = cut('pod_source', 'forged, or not IPv4');

describe('a source that is not its own', () => {
  test('reaches nothing, whosever it is', async () => {
    const { cast, system, node1, node2, lab, gateway } = attacker.stage;
    const sources = [
      ...[cast.red1b.ip, cast.red2.ip, cast.blue1.ip, cast.blue2.ip, system],
      ...[
        node1.underlay,
        node2.underlay,
        gateway.underlay,
        lab.outside.address,
        lab.topology.manage[0]?.underlay ?? '',
      ],
      ...['169.254.1.1', '169.254.169.254', '127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '10.255.255.250'],
    ];
    const destinations = [cast.red1b.ip, cast.red2.ip, cast.blue1.ip, cast.blue2.ip, system, node1.underlay];
    const shots = sources.flatMap((source) =>
      [...destinations, lab.outside.address, '169.254.1.1']
        .filter((destination) => destination !== source)
        .map((destination) =>
          attacker.packetShot(`${source} to ${destination}`, (token) => datagram({ source, destination }, token)),
        ),
    );
    await attacker.expectNowhere(shots);
  });

  for (const [name, source] of [
    ['a container of its own tenant on its node', () => attacker.stage.cast.red1b.ip],
    ['a container of its own tenant elsewhere', () => attacker.stage.cast.red2.ip],
    ['a gateway', () => attacker.stage.system],
  ] as const)
    test(`passes as ${name} once the guard is gone`, async () => {
      const fire = attacker.packetShot(name, (token) =>
        datagram({ source: source(), destination: attacker.stage.cast.red1b.ip }, token),
      );
      await expectClosed(attacker.stage, { ...fire, arrivesAt: 'red1b', cuts: [GUARD] }, attacker.legitimate);
    });

  test('passes as another tenant’s once the guard is gone', async () => {
    const { blue1, blue2 } = attacker.stage.cast;
    const fire = attacker.packetShot('blue2', (token) => datagram({ source: blue2.ip, destination: blue1.ip }, token));
    const cuts = [GUARD, cut('call_out', 'pair not allowed')];
    await expectClosed(attacker.stage, { ...fire, arrivesAt: 'blue1', cuts }, attacker.legitimate);
  });
});

describe('a MAC that is not its own', () => {
  const MAC = '02:66:00:00:00:01';

  test('reaches nothing', async () => {
    const { red1, red1b, red2, blue1 } = attacker.stage.cast;
    const macs = [
      MAC,
      red1b.mac,
      blue1.mac,
      HOST_END_MAC,
      '00:00:00:00:00:00',
      macOfAddress(parseIp(attacker.stage.node2.underlay)),
    ];
    const shots = macs.flatMap((mac) =>
      [red1b.ip, red2.ip].map((destination) =>
        attacker.shot(`${mac} to ${destination}`, (token) =>
          fromContainer({ mac }, datagram({ source: red1.ip, destination }, token)),
        ),
      ),
    );
    await attacker.expectNowhere(shots);
  });

  test('is all that stops it: known to the guard, it passes', async () => {
    const { red1, red2 } = attacker.stage.cast;
    const { fire } = attacker.shot('MAC', (token) =>
      fromContainer({ mac: MAC }, datagram({ source: red1.ip, destination: red2.ip }, token)),
    );
    const { admit, undo } = admission('pod', { address: red1.ip, mac: MAC, link: hostLink(red1) });
    await expectSilence(attacker.stage, [{ name: 'MAC', fire }]);
    await frozen(attacker.stage.lab, ['node1'], async () => {
      await inside(attacker.stage.node1, admit);
      const token = newToken();
      fire(token);
      await attacker.stage.ears.arrives(token, 'red2');
      await inside(attacker.stage.node1, undo);
    });
    await expectSilence(attacker.stage, [{ name: 'MAC', fire }]);
  });
});

describe('ARP', () => {
  const lies = () => {
    const { red1, red1b, red2, blue1 } = attacker.stage.cast;
    const victims = [
      red1b.ip,
      red2.ip,
      blue1.ip,
      '169.254.1.1',
      attacker.stage.system,
      attacker.stage.node1.underlay,
      attacker.stage.node2.underlay,
    ];
    const frame = (destination: string, operation: 'request' | 'reply', senderIp: string, targetIp: string) =>
      ethernet(
        { source: red1.mac, destination, type: ETHERTYPE.arp },
        Buffer.concat([arp({ operation, senderMac: red1.mac, senderIp, targetIp }), Buffer.alloc(18)]),
      );
    return victims.flatMap((victim) => [
      frame(BROADCAST, 'request', victim, victim),
      frame(BROADCAST, 'reply', victim, victim),
      frame(HOST_END_MAC, 'reply', victim, '169.254.1.1'),
      frame(HOST_END_MAC, 'request', victim, '169.254.1.1'),
      frame(BROADCAST, 'request', red1.ip, victim),
    ]);
  };
  const answered = () =>
    attacker.link.heard().some(({ direction, fields }) => direction === 'in' && fields.arp !== undefined);

  test('is neither answered nor believed', async () => {
    attacker.link.forget();
    for (const frame of lies()) attacker.link.send(frame);
    await expectSilence(attacker.stage, []);
    expect(answered()).toBe(false);
  });

  test('would be, on a link that takes part in it', async () => {
    const link = hostLink(attacker.stage.cast.red1);
    const before = await neighbourTables(attacker.stage);
    await frozen(attacker.stage.lab, ['node1'], async () => {
      const was = await inside(attacker.stage.node1, `cat /proc/sys/net/ipv4/conf/${link}/arp_ignore`);
      await inside(
        attacker.stage.node1,
        `${openLink(link)}; ip link set ${link} arp on; echo 0 > /proc/sys/net/ipv4/conf/${link}/arp_ignore`,
      );
      attacker.link.forget();
      for (const frame of lies()) attacker.link.send(frame);
      await waitFor(answered, { what: 'an answer' });
      await waitFor(async () => (await neighbourTables(attacker.stage)) !== before, {
        what: 'a table that was written to',
      });
      await inside(attacker.stage.node1, `echo ${was.trim()} > /proc/sys/net/ipv4/conf/${link}/arp_ignore`);
      await inside(
        attacker.stage.node1,
        `ip neigh flush dev ${link} nud stale nud reachable; ip link set ${link} arp off`,
      );
    });
    await waitFor(async () => (await neighbourTables(attacker.stage)) === before, {
      what: 'the tables are as they were',
    });
  });
});
