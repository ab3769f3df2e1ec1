/**
 * Attacks on what carries the overlays, from a stranger on the underlay: errors that make the way between two nodes narrow, and pieces that
 * are to be put together with a node's own. Each is shown to do harm once the rule that stops it is taken out.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Stranger } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ICMP, icmp, ipv4, PROTOCOL, udp, vxlan } from '../lab/probe/packet.ts';
import type { Listener } from '../lab/probe/prober.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { expectClosed } from './support/attack.ts';
import { BACKEND } from './support/backend.ts';
import { cargoTo } from './support/cargo.ts';
import { newToken } from './support/ears.ts';
import { datagram, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, without } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

const PORT = 7780;
const FRAGMENTATION_NEEDED = 4;
const NEXT_HOP_MTU = 600;
const NO_OPERATION = Buffer.alloc(4, 1);

let stage: Stage;
let stranger: Stranger;
/** the stranger's link, and node2's own underlay link */
let beside: RawLink;
let node2: RawLink;
/** of node1 itself */
let listener: Listener;

beforeAll(async () => {
  stage = await borrowStage();
  stranger = await stage.lab.addStranger();
  beside = new RawLink(stranger.netns);
  node2 = new RawLink(stage.node2.netns);
  listener = await stage.lab.prober(stage.node1).udpListen(PORT, 'node1');
});
afterAll(async () => {
  beside?.close();
  node2?.close();
  await stage?.close();
});

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });
const fromStranger = (packet: Buffer) =>
  beside.send(onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, packet));
const fromNode2 = (packet: Buffer) =>
  node2.send(onUnderlay({ source: stage.node2.mac, destination: stage.node1.mac }, packet));
const heardByNode1 = (token: string) =>
  waitFor(() => listener.payloads.some((payload) => payload.includes(token)), { what: 'a datagram to node1' });

const friendsMeet = async () => {
  await Promise.all([
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.cast.red1, 'red2'),
    meets(stage, stage.gateway, 'red1'),
  ]);
};

describe('errors of a stranger about packets between nodes', () => {
  const VXLAN = cut('input_error', 'ICMP errors about VXLAN of this node');
  const BESIDE = cut('input_error', 'too large for a router, where none is between');

  /** "Too large for what is next", of a packet that node1 is said to have sent. */
  const error = (quoted: Buffer, options = Buffer.alloc(0)) => {
    const between = { source: stranger.address, destination: stage.node1.underlay };
    const body = icmp(ICMP.unreachable, FRAGMENTATION_NEEDED, NEXT_HOP_MTU, quoted);
    return ipv4({ ...between, protocol: PROTOCOL.icmp, options }, body);
  };
  const toNode2 = () => ({ source: stage.node1.underlay, destination: stage.node2.underlay });
  const quotedVxlan = (options = Buffer.alloc(0)) => {
    const body = udp({ ...toNode2(), sourcePort: 50_000, destinationPort: 4789 }, vxlan(1, Buffer.alloc(64)));
    return ipv4({ ...toNode2(), protocol: PROTOCOL.udp, options }, body);
  };
  /** An answer to a ping, which the kernel keeps nothing of that it could hold an error against. */
  const quotedEcho = (destination: string) =>
    ipv4(
      { source: stage.node1.underlay, destination, protocol: PROTOCOL.icmp },
      icmp(ICMP.echoReply, 0, 0x10001, Buffer.alloc(8)),
    );

  /** As node1 believes it to be; undefined while the link's own counts. */
  const pathMtu = async (address: string) => {
    const [, mtu] = / mtu (\d+)/.exec(await inside(stage.node1, `ip route get ${address}`)) ?? [];
    return mtu === undefined ? undefined : Number(mtu);
  };
  const forget = () => inside(stage.node1, 'ip route flush cache');

  /** Resolves once node1 has seen a packet that was sent by the same way after all others. */
  const afterThem = async () => {
    const token = newToken();
    fromStranger(datagram({ source: stranger.address, destination: stage.node1.underlay }, token, { port: PORT }));
    await heardByNode1(token);
  };
  const legitimate = async () => {
    await friendsMeet();
    // An error about the way to a machine beyond is what routers are for.
    const { address } = stage.lab.outside;
    fromStranger(error(quotedEcho(address)));
    await waitFor(async () => (await pathMtu(address)) === NEXT_HOP_MTU, { what: 'a true error is believed' });
    await forget();
  };

  const attacks = [
    { name: 'about VXLAN', fire: () => fromStranger(error(quotedVxlan())), cuts: [VXLAN, BESIDE] },
    {
      name: 'about VXLAN, with options in both headers',
      fire: () => fromStranger(error(quotedVxlan(NO_OPERATION), NO_OPERATION)),
      cuts: [VXLAN, BESIDE],
    },
    {
      name: 'about any other packet to a node',
      fire: () => fromStranger(error(quotedEcho(stage.node2.underlay))),
      cuts: [BESIDE],
    },
  ];
  for (const { name, fire, cuts } of attacks)
    test(name, async () => {
      const changesNothing = async () => {
        fire();
        await afterThem();
        expect(await pathMtu(stage.node2.underlay)).toBeUndefined();
      };
      await legitimate();
      await changesNothing();
      await without(stage.lab, cuts, async () => {
        fire();
        await waitFor(async () => (await pathMtu(stage.node2.underlay)) === NEXT_HOP_MTU, { what: 'a narrow way' });
        await forget();
      });
      await legitimate();
      await changesNothing();
    });

  test('about VXLAN are not believed of nodes behind routers either', async () => {
    await without(stage.lab, [BESIDE], async () => {
      fromStranger(error(quotedVxlan()));
      await afterThem();
      expect(await pathMtu(stage.node2.underlay)).toBeUndefined();
    });
  });
});

// iptables sees packets once they are whole, but no node sends pieces that others could join: see docs/internals/iptables.md, "VXLAN".
describe.skipIf(BACKEND === 'iptables')('pieces of a stranger', () => {
  let lastId = 0x7000;
  /** A packet in two, behind its first bytes. */
  const inTwo = (packet: Buffer, at: number) => {
    const [source, destination] = [packet.subarray(12, 16).join('.'), packet.subarray(16, 20).join('.')];
    const head = { source, destination, protocol: packet.readUInt8(9), id: ++lastId };
    const body = packet.subarray(20);
    return [
      ipv4({ ...head, moreFragments: true }, body.subarray(0, at)),
      ipv4({ ...head, fragmentOffset: at }, body.subarray(at)),
    ] as const;
  };

  const legitimate = async () => {
    await friendsMeet();
    const token = newToken();
    const ends = { source: stage.node2.underlay, destination: stage.node1.underlay };
    for (const piece of inTwo(datagram(ends, `${'.'.repeat(64)}${token}`, { port: PORT }), 32)) fromNode2(piece);
    await heardByNode1(token);
  };

  test('are not put together with what a node sends by VXLAN', async () => {
    const fire = (token: string) => {
      // Headers of a packet that is right in all, and a text of which the last part is the stranger's.
      const packet = cargoTo(stage, {}, stage.node2.underlay, `${'.'.repeat(32)}${token}`);
      const [first, last] = inTwo(packet, 64);
      fromNode2(first);
      fromStranger(last);
    };
    const cuts = [cut('prerouting', 'VXLAN in fragments, which no node on our segment sends')];
    await expectClosed(stage, { name: 'pieces', fire, arrivesAt: 'red1', cuts }, legitimate);
  });
});
