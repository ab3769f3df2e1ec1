/**
 * Packets in pieces: too small, overlapping, alone, and pieces of different senders that pass for one packet. Pieces get no further than
 * whole packets do.
 */
import { describe, onTestFinished, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { ipv4, PROTOCOL, tcp, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { expectClosed } from './support/attack.ts';
import { type Shot, setUpAttacker } from './support/attacker.ts';
import { BACKEND } from './support/backend.ts';
import { newToken } from './support/ears.ts';
import { capsule, fromContainer, onUnderlay } from './support/forge.ts';
import type { Cut } from './support/openings.ts';
import { TCP_PORT, UDP_PORT } from './support/stage.ts';

const attacker = setUpAttacker();

describe('fragments', () => {
  const whole = (between: { source: string; destination: string }, token: string) =>
    udp({ ...between, sourcePort: 4242, destinationPort: UDP_PORT }, Buffer.from(token.padEnd(64, '.')));
  let lastId = 0;

  /** Pieces of an IP payload, each `[offset, bytes]`, as packets. */
  function pieces(
    between: { source: string; destination: string },
    protocol: number,
    parts: readonly (readonly [number, Buffer])[],
    id = ++lastId,
  ): Buffer[] {
    return parts.map(([fragmentOffset, bytes], index) =>
      ipv4({ ...between, protocol, id, fragmentOffset, moreFragments: index < parts.length - 1 }, bytes),
    );
  }

  const several = (
    name: string,
    packets: (token: string) => readonly Buffer[],
    mac = () => attacker.stage.cast.red1.mac,
  ): Shot => ({
    name,
    fire: (token) => {
      for (const packet of packets(token)) attacker.link.send(fromContainer({ mac: mac() }, packet));
    },
  });

  test('of an honest packet arrive', async () => {
    const between = { source: attacker.stage.cast.red1.ip, destination: attacker.stage.cast.red2.ip };
    const token = newToken();
    const body = whole(between, token);
    several('honest', () =>
      pieces(between, PROTOCOL.udp, [
        [0, body.subarray(0, 32)],
        [32, body.subarray(32)],
      ]),
    ).fire(token);
    await attacker.stage.ears.arrives(token, 'red2');
  });

  test('tiny, overlapping, out of order or alone get no further than whole ones', async () => {
    const { cast, node1 } = attacker.stage;
    const shots = [cast.blue1.ip, cast.blue2.ip, node1.underlay, attacker.stage.system].flatMap((destination) => {
      const between = { source: cast.red1.ip, destination };
      const syn = (token: string) =>
        tcp(
          { ...between, sourcePort: 4243, destinationPort: TCP_PORT, flags: ['syn'] },
          Buffer.from(token.padEnd(28, '.')),
        );
      return [
        several(`tiny UDP to ${destination}`, (token) => {
          const body = whole(between, token);
          return pieces(between, PROTOCOL.udp, [
            [0, body.subarray(0, 8)],
            [8, body.subarray(8)],
          ]);
        }),
        several(`tiny TCP to ${destination}`, (token) => {
          const body = syn(token);
          return pieces(between, PROTOCOL.tcp, [
            [0, body.subarray(0, 8)],
            [8, body.subarray(8)],
          ]);
        }),
        several(`overlapping to ${destination}`, (token) => {
          const body = whole(between, token);
          return pieces(between, PROTOCOL.udp, [
            [0, body.subarray(0, 40)],
            [8, body.subarray(8, 40)],
            [24, body.subarray(24)],
          ]);
        }),
        several(`backwards to ${destination}`, (token) => {
          const body = whole(between, token);
          return pieces(between, PROTOCOL.udp, [
            [0, body.subarray(0, 32)],
            [32, body.subarray(32)],
          ]).reverse();
        }),
        several(`the rest alone to ${destination}`, (token) =>
          pieces(between, PROTOCOL.udp, [
            [0, Buffer.alloc(0)],
            [32, whole(between, token)],
          ]).slice(1),
        ),
        several(`the first alone to ${destination}`, (token) =>
          pieces(between, PROTOCOL.udp, [
            [0, whole(between, token)],
            [72, Buffer.alloc(8)],
          ]).slice(0, 1),
        ),
      ];
    });
    await attacker.expectNowhere(shots);
  });

  describe('under another’s name do not mix with that one’s own', () => {
    // Ports, and half of what the receiver would read, are the liar's; the container it poses as sends the rest of a packet of its own.
    const mixed =
      (to: () => string, lie: (first: Buffer) => void, tell = byItself) =>
      (token: string) => {
        const between = { source: attacker.stage.cast.red1.ip, destination: to() };
        const body = whole(between, token);
        const parts = [[0, body.subarray(0, 32)] as const, [32, Buffer.alloc(body.length - 32, 0x2d)] as const];
        const [first = body, last = body] = pieces(between, PROTOCOL.udp, parts);
        lie(first);
        tell(last);
      };
    const byItself = (last: Buffer) => attacker.link.send(fromContainer(attacker.stage.cast.red1, last));
    // Each piece is judged by itself, before any are put together: without that judgement they would be.
    const cut = (node: string, chain: string, comment: string): Cut => ({ node, chain, comment });

    test('from another tenant’s container', async () => {
      const { cast } = attacker.stage;
      const liar = new RawLink(cast.blue1.netns);
      onTestFinished(() => liar.close());
      const fire = mixed(
        () => cast.red1b.ip,
        (first) => liar.send(fromContainer(cast.red1, first)),
      );
      const cuts = [cut('node1', 'pod_source', 'forged, or not IPv4')];
      await expectClosed(attacker.stage, { name: 'mixed', fire, arrivesAt: 'red1b', cuts }, attacker.legitimate);
    });

    // iptables has no table before defragmentation, and only pods' links have a guard before that: see docs/internals/iptables.md.
    test.skipIf(BACKEND === 'iptables')('from a stranger on the underlay', async () => {
      const { lab, cast, node1 } = attacker.stage;
      const liar = new RawLink((await lab.addStranger()).netns);
      onTestFinished(() => liar.close());
      const ends = { source: cast.red1.mac, destination: node1.mac };
      const fire = mixed(
        () => cast.red1b.ip,
        (first) => liar.send(onUnderlay(ends, first)),
      );
      const cuts = [cut('node1', 'prerouting', 'pods and gateways never come from elsewhere')];
      await expectClosed(attacker.stage, { name: 'mixed', fire, arrivesAt: 'red1b', cuts }, attacker.legitimate);
    });

    test.skipIf(BACKEND === 'iptables')('from a node, under another tenant’s VNI', async () => {
      const { cast, node1, node2, blue, red } = attacker.stage;
      const liar = new RawLink(node1.netns);
      onTestFinished(() => liar.close());
      const ends = { source: node1.underlay, destination: node2.underlay };
      const destinationMac = macOfAddress(parseIp(node2.underlay));
      const sendBy = (vni: number) => (packet: Buffer) => {
        const wrapped = capsule(ends, { vni, destinationMac, packet });
        liar.send(onUnderlay({ source: node1.mac, destination: node2.mac }, wrapped));
      };
      const fire = mixed(() => cast.red2.ip, sendBy(blue.vni), sendBy(red.vni));
      const cuts = [cut('node2', 'overlay_source', 'forged, or not IPv4')];
      const attack = { name: 'mixed', fire, origin: 'from node1', arrivesAt: 'red2', cuts };
      await expectClosed(attacker.stage, attack, attacker.legitimate);
    });
  });
});
