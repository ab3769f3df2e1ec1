/**
 * Moments between two states: a container that is not attached yet, an address that changes hands, a link that no rule knows. None of them
 * is a hole, and each test shows what it would let through if it were.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import { HOST_END_MAC, POD_GROUP } from '../../dataplane/ownership.ts';
import { type Container, cniAdd, newContainerId } from '../lab/container.ts';
import { ip, run } from '../lab/fabric.ts';
import { addNetns } from '../lab/named-netns.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ETHERTYPE, ethernet } from '../lab/probe/packet.ts';
import { type Captured, RawLink } from '../lab/probe/raw.ts';
import { expectSilence } from './support/attack.ts';
import { answerAs } from './support/cells.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, without } from './support/openings.ts';
import { meets, raiseStage, type Stage, UDP_PORT } from './support/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await raiseStage();
  await answerAs('outside', stage.lab.prober(stage.lab.outside));
});
afterAll(() => stage?.close());

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });

describe('an address that changes hands', () => {
  const BIND_PORT = 40_001;
  const PEER_PORT = 40_002;

  /** A container of red's on node1, with this address if one is given. */
  const attach = (ip?: string): Promise<Container> =>
    stage.lab.attach('node1', { tenant: 'red', ...(ip === undefined ? {} : { ip }) });

  /** Flows of a container: one to the outside, one that the gateway began, and the flow as the outside knows it. */
  async function openFlows(of: Container): Promise<{ mapped: number }> {
    const { lab, gateway } = stage;
    const outside = new RawLink(lab.outside.netns);
    try {
      const options = { bindPort: BIND_PORT };
      expect(await lab.prober(of).udpExchange(lab.outside.address, UDP_PORT, options)).toMatchObject({ id: 'outside' });
      const listener = await lab.prober(of).udpListen(PEER_PORT, 'old');
      expect(await lab.prober(gateway).udpExchange(of.ip, PEER_PORT)).toMatchObject({ id: 'old' });
      listener.close();
      const seen = outside.heard().find(({ fields }) => fields.ports?.destination === UDP_PORT);
      return { mapped: seen?.fields.ports?.source ?? 0 };
    } finally {
      outside.close();
    }
  }

  /** What the old owner's server sends on, to the port that the node had given it. */
  function lateAnswer(mapped: number) {
    const { lab, node1 } = stage;
    const link = new RawLink(lab.outside.netns);
    return {
      fire: (token: string) => {
        const between = { source: lab.outside.address, destination: node1.underlay };
        const packet = datagram(between, token, { sourcePort: UDP_PORT, port: mapped });
        link.send(ethernet({ source: outsideMacs.own, destination: outsideMacs.router, type: ETHERTYPE.ipv4 }, packet));
      },
      close: () => link.close(),
    };
  }

  let outsideMacs: { own: string; router: string };
  beforeAll(async () => {
    const mac = async (netns: string, link: string) => {
      const shown = await run(['ip', '-j', '-n', netns, 'link', 'show', 'dev', link]);
      return (JSON.parse(shown) as { address: string }[])[0]?.address ?? '';
    };
    const { lab } = stage;
    outsideMacs = { own: await mac(lab.outside.netns, 'eth0'), router: await mac(lab.fabricNetns, 'to-outside') };
  });

  const flowsOf = (ip: string) =>
    inside(stage.node1, `conntrack -L -s ${ip} 2>/dev/null; conntrack -L -d ${ip} 2>/dev/null; true`);

  test('receives nothing of the old owner’s flows', async () => {
    const old = await attach();
    const { mapped } = await openFlows(old);
    expect(await flowsOf(old.ip)).toContain(`src=${old.ip}`);
    const late = lateAnswer(mapped);
    const ear = new RawLink(old.netns);
    const token = newToken();
    late.fire(token);
    await ear.capture(({ frame }) => frame.includes(token));
    ear.close();
    await stage.lab.detach(old);
    const next = await attach(old.ip);
    expect(next.ip).toBe(old.ip);
    expect(await flowsOf(old.ip)).toBe('');
    const newEar = new RawLink(next.netns);
    const isIn = (what: string) => (captured: Captured) => captured.direction === 'in' && captured.frame.includes(what);
    try {
      const second = newToken();
      late.fire(second);
      await stage.lab.sentinel.pass();
      expect(newEar.heard().filter(isIn(second))).toEqual([]);
      // The same packet, were the flow still known: then it would arrive.
      const { node1, lab } = stage;
      await inside(
        node1,
        `conntrack -D -p udp -s ${lab.outside.address} --sport ${UDP_PORT} >/dev/null 2>&1 || true; ` +
          `conntrack -I -p udp -s ${old.ip} -d ${lab.outside.address} --sport ${BIND_PORT} --dport ${UDP_PORT} ` +
          `-t 60 --src-nat ${node1.underlay}:${mapped} -u SEEN_REPLY,ASSURED`,
      );
      const third = newToken();
      late.fire(third);
      await newEar.capture(isIn(third));
      await openFlows(next);
    } finally {
      newEar.close();
      late.close();
      await stage.lab.detach(next);
    }
  });
});

describe('a container that is being attached', () => {
  /** An address of the block that node1 has of red's, and the MAC that goes with it: both known before ADD is called. */
  function guess(round: number): { ip: string; mac: string } {
    const octets = stage.cast.red1.ip.split('.').map(Number);
    const own = [...octets.slice(0, 3), ((octets[3] ?? 0) & ~31) + 20 + (round % 10)];
    const ip = parseIp(own.join('.'));
    return { ip, mac: macOfAddress(ip) };
  }

  /** Sends all it can as often as it can, from before its link exists until stopped. */
  function flood(netns: string, packets: readonly Buffer[], mac: string) {
    let link: RawLink | undefined;
    let rounds = 0;
    const timer = setInterval(() => {
      try {
        link ??= new RawLink(netns);
        for (const packet of packets) link.send(fromContainer({ mac }, packet));
        rounds++;
      } catch {
        // The link is not there yet, or not up.
      }
    }, 0);
    const stop = () => {
      clearInterval(timer);
      link?.close();
    };
    return { rounds: () => rounds, stop };
  }

  test('gets not one forbidden packet out, from its first instant on', async () => {
    const { lab, cast, node1, node2, system } = stage;
    const others = [cast.red1.ip, cast.blue1.ip, system];
    const closed = [cast.blue1.ip, cast.blue2.ip, node1.underlay, node2.underlay, system, '10.255.255.250'];
    let early = 0;
    // On a busy machine a flood may get no turn before ADD has answered.
    for (let round = 0; round < 5 || (early === 0 && round < 50); round++) {
      const netns = `tl${lab.id}-flood-${round}`;
      addNetns(netns);
      const { ip, mac } = guess(round);
      const [bad, good] = [newToken(), newToken()];
      const packets = [
        ...closed.map((destination) => datagram({ source: ip, destination }, bad)),
        ...others.map((source) => datagram({ source, destination: cast.red1b.ip }, bad)),
        datagram({ source: cast.blue2.ip, destination: cast.blue1.ip }, bad),
        datagram({ source: ip, destination: cast.red1b.ip }, good),
      ];
      stage.ears.forget();
      const flooding = flood(netns, packets, mac);
      const options = { tenant: 'red', ip };
      const attached = await cniAdd({ host: node1, id: newContainerId(), netns, ifname: 'eth0', options });
      try {
        expect(attached).toMatchObject({ ip, mac });
        early += flooding.rounds();
        // What is allowed passes, so the flood is right in all but what it lies about.
        await stage.ears.arrives(good, 'red1b');
        await stage.ears.stayDeaf([{ what: `round ${round}`, token: bad }]);
      } finally {
        flooding.stop();
        await lab.detach(attached);
      }
    }
    expect(early, 'floods before ADD answered').toBeGreaterThan(0);
  });
});

describe('a link that no rule knows', () => {
  const ADDRESS = '10.128.200.200';
  const MAC = '02:66:00:00:00:07';
  const UNKNOWN = 'a link that is not set up yet';
  const FROM_ELSEWHERE = [
    'answers of pods never come from elsewhere',
    'not to a port reserved for pods',
    'calls from elsewhere',
  ].map((comment) => cut('from_elsewhere', comment));
  const POOL = cut('prerouting', 'pods and gateways never come from elsewhere');

  /** A veth on node1 with a namespace at its other end, wired as a container is, but not by Tenet. */
  async function strangeLink(name: string, group: number) {
    const { lab, node1, node2 } = stage;
    const netns = `tl${lab.id}-strange`;
    addNetns(netns);
    await ip(node1.netns, [`link add ${name} address ${HOST_END_MAC} type veth peer name eth0 netns ${netns}`]);
    await ip(netns, [`link set eth0 address ${MAC} up`, `address add ${ADDRESS}/32 dev eth0`]);
    await ip(node1.netns, [`link set ${name} group ${group} up`, `route replace ${ADDRESS}/32 dev ${name}`]);
    await inside(node1, `echo 1 > /proc/sys/net/ipv4/conf/${name}/forwarding`);
    const link = new RawLink(netns);
    const underlay = new RawLink(node2.netns);
    return {
      out: (source: string, destination: string) => (token: string) =>
        link.send(fromContainer({ mac: MAC }, datagram({ source, destination }, token))),
      /** from beyond the cluster, by way of node2 */
      into: (token: string) => {
        const packet = datagram({ source: '203.0.113.77', destination: ADDRESS }, token);
        underlay.send(onUnderlay({ source: node2.mac, destination: node1.mac }, packet));
      },
      hears: (token: string) =>
        link.heard().some(({ direction, frame }) => direction === 'in' && frame.includes(token)),
      remove: async () => {
        link.close();
        underlay.close();
        await ip(node1.netns, [`link delete ${name}`]);
        await ip(undefined, [`netns delete ${netns}`]);
      },
    };
  }

  for (const [name, group, outward, inward] of [
    ['tnpffffffffffff', 0, [cut('prerouting', UNKNOWN), ...FROM_ELSEWHERE], [cut('forward', UNKNOWN)]],
    [
      'tnpffffffffffff',
      POD_GROUP,
      [cut('pod_source', 'forged, or not IPv4'), cut('call_out', 'pair not allowed')],
      FROM_ELSEWHERE,
    ],
    ['tnt4242', 0, [cut('prerouting', UNKNOWN), ...FROM_ELSEWHERE], [cut('forward', UNKNOWN)]],
  ] as const)
    test(`${name} in group ${group} passes nothing, in or out`, async () => {
      const { lab, cast, node1, system } = stage;
      const strange = await strangeLink(name, group);
      try {
        const shots = [lab.outside.address, cast.red1.ip, cast.blue1.ip, node1.underlay, system].flatMap((to) =>
          [ADDRESS, cast.red1b.ip, '203.0.113.77'].map((from) => ({
            name: `${from} to ${to}`,
            fire: strange.out(from, to),
          })),
        );
        const unheard = newToken();
        strange.into(unheard);
        await expectSilence(stage, shots);
        expect(strange.hears(unheard)).toBe(false);
        await without(lab, [...outward, POOL], async () => {
          const token = newToken();
          strange.out('203.0.113.77', cast.red1.ip)(token);
          await stage.ears.arrives(token, 'red1');
        });
        await without(lab, inward, async () => {
          const token = newToken();
          strange.into(token);
          await waitFor(() => strange.hears(token), { what: `a packet goes out by ${name}` });
        });
      } finally {
        await strange.remove();
      }
      await meets(stage, cast.red1, 'red2');
    });
});
