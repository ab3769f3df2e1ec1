/**
 * Frames of a container that are not IPv4, or not plainly so: IPv6 in any form, VLANs, everything else. None arrives anywhere, and no
 * host answers.
 */
import { describe, expect, test } from 'vitest';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import { BROADCAST, ETHERTYPE, ethernet, icmpv6, ipv6, PROTOCOL, udp } from '../lab/probe/packet.ts';
import { setUpAttacker } from './support/attacker.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { UDP_PORT } from './support/stage.ts';

const attacker = setUpAttacker();

describe('what is not IPv4', () => {
  test('IPv6 in any form', async () => {
    const { red1 } = attacker.stage.cast;
    const source = 'fe80::858:aff:fe80:2';
    const sixes = ['fe80::1', 'fe80::858:a9ff:fefe:101', 'ff02::1', 'ff02::2', '::1', 'fd00::1', '2002:c0a8:90b::1'];
    const body = (token: string) => Buffer.concat([Buffer.alloc(4), Buffer.from(token)]);
    const types = { 'echo request': 128, 'router solicitation': 133, 'router advertisement': 134, redirect: 137 };
    const neighbour = { 'neighbour solicitation': 135, 'neighbour advertisement': 136 };
    const frame = (destination: string, nextHeader: number, payload: Buffer, mac: string = HOST_END_MAC) =>
      ethernet(
        { source: red1.mac, destination: mac, type: ETHERTYPE.ipv6 },
        ipv6({ source, destination, nextHeader, hopLimit: 255 }, payload),
      );
    const shots = sixes.flatMap((destination) => {
      const between = { source, destination };
      const target = Buffer.from('fe80000000000000085800a9fffe0101', 'hex');
      return [
        ...Object.entries(types).map(([name, type]) =>
          attacker.shot(`${name} to ${destination}`, (token) =>
            frame(destination, PROTOCOL.icmpv6, icmpv6(between, type, 0, body(token))),
          ),
        ),
        ...Object.entries(neighbour).map(([name, type]) =>
          attacker.shot(`${name} to ${destination}`, (token) => {
            const linkAddress = Buffer.from([type === 135 ? 1 : 2, 1, 2, 0x66, 0, 0, 0, 1]);
            const told = Buffer.concat([Buffer.alloc(4), target, linkAddress, Buffer.from(token)]);
            return frame(destination, PROTOCOL.icmpv6, icmpv6(between, type, 0, told), '33:33:00:00:00:01');
          }),
        ),
        attacker.shot(`UDP to ${destination}`, (token) =>
          frame(
            destination,
            PROTOCOL.udp,
            udp({ ...between, sourcePort: 4242, destinationPort: UDP_PORT }, Buffer.from(token)),
          ),
        ),
      ];
    });
    attacker.link.forget();
    await attacker.expectNowhere(shots);
    expect(
      attacker.link.heard().filter(({ direction, fields }) => direction === 'in' && fields.type === ETHERTYPE.ipv6),
    ).toEqual([]);
  });

  test('IPv6 that looks like IPv4 to a reader that does not check', async () => {
    const { red1, red1b, blue1 } = attacker.stage.cast;
    /** Where an IPv4 header has its length, source and destination, this one has the container's own and another's. */
    const dressed = (to: string, destination: string, token: string) => {
      const hex = (address: string) => Buffer.from(address.split('.').map(Number)).toString('hex');
      const own = hex(red1.ip);
      const source = `fd00:0:${own.slice(0, 4)}:${own.slice(4)}:${hex(to).slice(0, 4)}:${hex(to).slice(4)}:0:1`;
      const between = { source, destination };
      const body = udp({ ...between, sourcePort: 4242, destinationPort: UDP_PORT }, Buffer.from(token));
      const packet = ipv6({ ...between, nextHeader: PROTOCOL.udp }, body);
      packet.writeUInt8(0x65, 0);
      return packet;
    };
    const shots = [red1b.ip, blue1.ip].flatMap((to) =>
      ['ff02::1', 'fe80::1', 'fd00::2'].flatMap((destination) => [
        attacker.shot(`${to}, ${destination}`, (token) =>
          fromContainer(red1, dressed(to, destination, token), ETHERTYPE.ipv6),
        ),
        attacker.shot(`${to}, ${destination}, called IPv4`, (token) =>
          fromContainer(red1, dressed(to, destination, token)),
        ),
        attacker.shot(`${to}, ${destination}, in VLAN 0`, (token) => {
          const tag = Buffer.from([0, 0, 0x86, 0xdd]);
          return fromContainer(red1, Buffer.concat([tag, dressed(to, destination, token)]), 0x8100);
        }),
      ]),
    );
    await attacker.expectNowhere(shots);
  });

  test('other kinds of frames, and IPv4 in a VLAN', async () => {
    const { red1, red1b, blue1, blue2 } = attacker.stage.cast;
    const kinds = {
      experimental: 0x88b5,
      LLDP: 0x88cc,
      EAPOL: 0x888e,
      PPPoE: 0x8864,
      MPLS: 0x8847,
      RARP: 0x8035,
      WoL: 0x0842,
    };
    const vlan = (type: number, id: number, packet: Buffer) => (mac: string) =>
      ethernet({ source: mac, destination: HOST_END_MAC, type }, Buffer.concat([Buffer.from([0, id, 8, 0]), packet]));
    const spoofed = (token: string) => datagram({ source: blue2.ip, destination: blue1.ip }, token);
    const crossing = (token: string) => datagram({ source: red1.ip, destination: blue1.ip }, token);
    const shots = [
      ...Object.entries(kinds).flatMap(([name, type]) =>
        [HOST_END_MAC, BROADCAST, '01:80:c2:00:00:00'].map((destination) =>
          attacker.shot(`${name} to ${destination}`, (token) =>
            ethernet({ source: red1.mac, destination, type }, Buffer.from(token.padEnd(46, '.'))),
          ),
        ),
      ),
      ...[0, 1, 7].flatMap((id) =>
        [0x8100, 0x88a8].flatMap((type) => [
          attacker.shot(`VLAN ${id}, forged`, (token) => vlan(type, id, spoofed(token))(red1.mac)),
          attacker.shot(`VLAN ${id}, to another tenant`, (token) => vlan(type, id, crossing(token))(red1.mac)),
        ]),
      ),
      attacker.shot('a frame for another container’s MAC', (token) =>
        ethernet({ source: red1.mac, destination: red1b.mac, type: ETHERTYPE.ipv4 }, crossing(token)),
      ),
    ];
    await attacker.expectNowhere(shots);
  });
});
