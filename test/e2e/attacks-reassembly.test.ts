/**
 * A node has one memory for datagrams of which not all fragments have come. A container, or all of its tenant, that begins datagrams and
 * never ends them leaves room for what others send.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { BpfProgram } from '../../dataplane/fragments/extended-bpf.ts';
import { FRAGMENT_PROGRAM, overlayLinkName } from '../../dataplane/ownership.ts';
import { attachAtIngress, loadClassifier } from '../../dataplane/system/bpf.ts';
import { linkIndex } from '../../dataplane/system/libc.ts';
import { withNetns } from '../../dataplane/system/netns.ts';
import type { Container } from '../lab/container.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { netnsPath } from '../lab/probe/netns-path.ts';
import { type Ipv4Fields, ipv4, PROTOCOL, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { setUpAttacker } from './support/attacker.ts';
import { newToken } from './support/ears.ts';
import { fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { hostLink, type Role, UDP_PORT } from './support/stage.ts';

const attacker = setUpAttacker();

/** More containers of the attacker's tenant, on its node. */
let crowd: readonly Container[];
beforeAll(async () => {
  const { lab } = attacker.stage;
  crowd = await Promise.all(Array.from({ length: 4 }, () => lab.attach('node1', { tenant: 'red' })));
});
afterAll(async () => {
  for (const container of crowd) await attacker.stage.lab.detach(container);
});

/** What the kernel keeps by its own settings, and more than that in fragments of this size. */
const MEMORY = 4 * 2 ** 20;
const FULL = 2_500;
const SIZE = 1_392;
/** Datagrams of so many bytes, as DNS or a log sends them. */
const HONEST = 8_000;

type Sender = Pick<Container, 'ip' | 'mac' | 'netns'>;
/** One attempt to have the kernel keep something for good. */
type Attempt = (id: number) => readonly (Partial<Ipv4Fields> & { readonly size?: number })[];

let ids = 0;

/** A container that sends whatever it likes until the test ends. */
function hostile({ ip, mac, netns }: Sender) {
  const link = new RawLink(netns);
  onTestFinished(() => link.close());
  const send = (attempt: Attempt) => {
    for (const { size = SIZE, ...fields } of attempt(++ids % 65_536)) {
      const packet = { source: ip, destination: attacker.stage.cast.red2.ip, protocol: PROTOCOL.udp, ...fields };
      link.send(fromContainer({ mac }, ipv4(packet, Buffer.alloc(size, 0x2d))));
    }
  };
  return {
    /** All at once. */
    fill: (attempt: Attempt, count = FULL) => {
      for (let sent = 0; sent < count; sent++) send(attempt);
    },
    /** Some 80 KB a second, while `body` runs. */
    keepOn: async <T>(attempt: Attempt, body: () => Promise<T>): Promise<T> => {
      let left = FULL;
      const timer = setInterval(() => {
        if (left-- > 0) send(attempt);
      }, 15);
      try {
        return await body();
      } finally {
        clearInterval(timer);
      }
    },
  };
}

/** Fragments of a datagram as a container's kernel sends them. */
function fragments(from: Sender, to: Role, token: string): Buffer[] {
  const between = { source: from.ip, destination: attacker.stage.cast[to].ip };
  const body = udp(
    { ...between, sourcePort: 4242, destinationPort: UDP_PORT },
    Buffer.from(token.padStart(HONEST, '.')),
  );
  const id = ++ids % 65_536;
  return Array.from({ length: Math.ceil(body.length / SIZE) }, (_, index) => {
    const fields = { ...between, protocol: PROTOCOL.udp, id, fragmentOffset: index * SIZE };
    const bytes = body.subarray(index * SIZE, (index + 1) * SIZE);
    return fromContainer(from, ipv4({ ...fields, moreFragments: (index + 1) * SIZE < body.length }, bytes));
  });
}

/** Ten datagrams in fragments, by their tokens. */
function sendTen(from: Role, to: Role): readonly string[] {
  const sender = attacker.stage.cast[from];
  const link = new RawLink(sender.netns);
  try {
    return Array.from({ length: 10 }, () => {
      const token = newToken();
      for (const each of fragments(sender, to, token)) link.send(each);
      return token;
    });
  } finally {
    link.close();
  }
}

/** To the other node, and from there, where datagrams leave in fragments once more. */
async function expectTen(): Promise<void> {
  for (const [from, to] of [
    ['blue1', 'blue2'],
    ['blue2', 'blue1'],
  ] as const)
    for (const token of sendTen(from, to)) await attacker.stage.ears.arrives(token, to);
}

const ATTEMPTS: Readonly<Record<string, Attempt>> = {
  'first fragments alone': (id) => [{ id, moreFragments: true }],
  'last fragments alone': (id) => [{ id, fragmentOffset: SIZE }],
  'fragments without either end': (id) => [{ id, fragmentOffset: SIZE, moreFragments: true }],
  'first fragments to many destinations': (id) => [
    { id: 7, moreFragments: true, destination: `10.128.${id >> 8}.${id & 255}` },
  ],
  'first fragments to the node': (id) => [{ id, moreFragments: true, destination: attacker.stage.node1.underlay }],
  'first fragments of every protocol': (id) => [{ id: id >> 8, protocol: id & 255, moreFragments: true }],
  'datagrams that lack one unit': (id) => [
    { id, moreFragments: true },
    { id, fragmentOffset: SIZE + 8 },
  ],
  'datagrams that end in another’s name': (id) => [
    { id, moreFragments: true },
    { id, fragmentOffset: SIZE, source: attacker.stage.cast.blue1.ip },
  ],
};

/** Datagrams of this size, of which all but the last fragment get to the other node. */
const LARGE = 40_000;
const endless: Attempt = (id) =>
  Array.from({ length: Math.ceil(LARGE / SIZE) }, (_, index) => {
    const left = LARGE - index * SIZE;
    const destination = attacker.stage.cast.red1.ip;
    return { id, destination, fragmentOffset: index * SIZE, moreFragments: left > SIZE, size: Math.min(left, SIZE) };
  });

/** Has red2 send many to node1, while the way there loses their ends, as one does that has more to carry than it can. */
async function loseOnTheWay(): Promise<void> {
  const { node2, cast, lab } = attacker.stage;
  const chain = 'chain inet lossy out { type filter hook output priority 0; }';
  const ends = 'udp dport 4789 ip length < 1400 drop';
  await inside(node2, `nft 'add table inet lossy; add ${chain}; add rule inet lossy out ${ends}'`);
  try {
    const red2 = hostile(cast.red2);
    for (let sent = 0; sent < 200; sent += 10) {
      red2.fill(endless, 10);
      await lab.sentinel.pass();
    }
  } finally {
    await inside(node2, 'nft delete table inet lossy');
  }
}

/** Bytes that node1 holds of datagrams that are not complete. */
async function held(): Promise<number> {
  const [, memory] = /FRAG: .* memory (\d+)/.exec(await inside(attacker.stage.node1, 'cat /proc/net/sockstat')) ?? [];
  return Number(memory);
}

// First of all: it is about what red may hold on node1, which the others use up.
test('datagrams of other tenants arrive though another node’s are lost in part on the way between nodes', async () => {
  await expectTen();
  await loseOnTheWay();
  expect(await held()).toBeGreaterThan(LARGE * 5);
  expect(await held()).toBeLessThan(MEMORY * (3 / 8));
  await expectTen();
});

describe('datagrams of other tenants arrive before, during and after', () => {
  test.each(Object.entries(ATTEMPTS))('%s', async (_, attempt) => {
    const red1 = hostile(attacker.stage.cast.red1);
    await expectTen();
    red1.fill(attempt);
    await red1.keepOn(attempt, expectTen);
    await expectTen();
  });

  test('first fragments of many containers of one tenant', async () => {
    const { cast } = attacker.stage;
    await expectTen();
    const begun: Attempt = (id) => [{ id, moreFragments: true }];
    for (const each of [cast.red1, cast.red1b, ...crowd]) hostile(each).fill(begun);
    await hostile(cast.red1).keepOn(begun, expectTen);
    await expectTen();
  });

  test('which are counted among the attacker’s refused packets', async () => {
    const { lab } = attacker.stage;
    const refused = async () => {
      const { body } = await lab.rest<string>('GET', '/metrics');
      const line = /^tenet_tenant_packets_total\{(?=.*tenant="red")(?=.*verdict="denied").*\} (\d+)/gm;
      return [...body.matchAll(line)].reduce((sum, [, packets]) => sum + Number(packets), 0);
    };
    await waitFor(async () => (await refused()) > FULL, { what: 'metrics count refused fragments' });
  });
});

test.each([
  ['the pod’s link', () => hostLink(attacker.stage.cast.red1)],
  ['the overlay link', () => overlayLinkName(attacker.stage.red.vni)],
] as const)('without the program at %s they do not', async (where, link) => {
  const { node1, cast, ears, lab } = attacker.stage;
  await lab.killAgent('node1', 'SIGSTOP');
  onTestFinished(() => lab.killAgent('node1', 'SIGCONT'));
  withNetns(netnsPath(node1.netns), () => {
    const open = loadClassifier(new BpfProgram().compute(0, '=', -1).exit().assemble(), FRAGMENT_PROGRAM);
    attachAtIngress(linkIndex(link()) ?? 0, open, FRAGMENT_PROGRAM);
    open.close();
  });
  await waitFor(async () => (await held()) < MEMORY / 2, {
    what: 'node1 gives up what others began',
    timeoutMs: 90_000,
  });
  if (where === 'the overlay link') await loseOnTheWay();
  else hostile(cast.red1).fill((id) => [{ id, moreFragments: true }]);
  expect(await held()).toBeGreaterThan(MEMORY * 0.9);
  const sent = sendTen('blue1', 'blue2').map((token) => ({ what: 'a datagram in fragments', token }));
  await ears.stayDeaf(sent);
  expect(sent).toHaveLength(10);
});
