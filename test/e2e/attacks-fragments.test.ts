/**
 * Packets in pieces: too small, overlapping, alone, and pieces of different senders that pass for one packet. Pieces get no further than
 * whole packets do.
 */
import { describe, test } from 'vitest';
import { ipv4, PROTOCOL, tcp, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { expectClosed } from './support/attack.ts';
import { type Shot, setUpAttacker } from './support/attacker.ts';
import { newToken } from './support/ears.ts';
import { fromContainer } from './support/forge.ts';
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

  test('under another’s name do not mix with that one’s own', async () => {
    const { red1b, red1, blue1 } = attacker.stage.cast;
    // blue1 forges the first piece, ports and all; the container it poses as sends the rest of a packet of its attacker.link.
    const liar = new RawLink(blue1.netns);
    try {
      const between = { source: red1.ip, destination: red1b.ip };
      const fire = (token: string) => {
        const body = whole(between, token);
        const rest = Buffer.alloc(body.length - 32, 0x2d);
        const [first, last] = pieces(between, PROTOCOL.udp, [
          [0, body.subarray(0, 32)],
          [32, rest],
        ]);
        liar.send(fromContainer(red1, first ?? body));
        attacker.link.send(fromContainer(red1, last ?? body));
      };
      // Each piece is judged by itself, before any are put together.
      const guard = { node: 'node1', chain: 'pod_source', comment: 'forged, or not IPv4' };
      const attack = { name: 'a first piece by another container', fire, arrivesAt: 'red1b', cuts: [guard] };
      await expectClosed(attacker.stage, attack, attacker.legitimate);
    } finally {
      liar.close();
    }
  });
});
