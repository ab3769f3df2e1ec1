/**
 * Tenet beside others on one node: their tables, chains, sets, links, routes, rules and settings stay byte for byte as they were while an
 * agent starts, works and ends; their marks stay on its packets; and stock tools read what is Tenet's.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, type LabHost, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BACKEND } from './support/backend.ts';
import { answerAs } from './support/cells.ts';
import { makeTenant } from './support/cluster.ts';
import { inside } from './support/node-state.ts';
import { UDP_PORT } from './support/stage.ts';

let lab: Lab;
let node1: LabHost;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, gateways: 1 });
  node1 = lab.host('node1');
  await makeTenant(lab, 'red');
  await answerAs('outside', lab.prober(lab.outside));
});
afterAll(() => lab?.close());

async function attach(name: string, node: string): Promise<Container> {
  const container = await lab.attach(node, { tenant: 'red', name });
  await answerAs(name, lab.prober(container));
  return container;
}

async function expectAnswer(from: { readonly netns: string }, address: string, id: string): Promise<void> {
  const look = async () => (await lab.prober(from).udpExchange(address, UDP_PORT)).id === id;
  await waitFor(look, { what: `${id} answers` });
}

/** What others could have on a node: a service proxy's chains and marks, another overlay, its own routes, an operator's firewall. */
const FOREIGN = [
  'nft add table inet others; nft add set inet others known "{ type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }"',
  'nft add chain inet others forward "{ type filter hook forward priority 0; policy accept; }"',
  'nft add rule inet others forward ip saddr @known drop comment \\"theirs\\"',
  'nft add chain inet others early "{ type filter hook prerouting priority -450; }"',
  'nft add rule inet others early ip daddr 192.0.2.9 drop',
  'iptables -t nat -N KUBE-SERVICES; iptables -t nat -A PREROUTING -j KUBE-SERVICES',
  'iptables -t nat -A KUBE-SERVICES -d 192.0.2.10/32 -p tcp --dport 80 -j DNAT --to-destination 192.0.2.20:8080',
  'iptables -A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
  'iptables -t mangle -A PREROUTING -s 192.0.2.7 -j MARK --set-xmark 0x8000/0x8000',
  'ipset create others hash:ip; ipset add others 192.0.2.3',
  'ip link add eth9 type veth peer name eth9-peer; ip link set eth9 up; ip link set eth9-peer up',
  'ip address add 192.0.2.129/25 dev eth9; ip link set eth9 group 7',
  'ip link add vx100 type vxlan id 100 dev eth0 local 192.168.9.11 dstport 8472 nolearning; ip link set vx100 up',
  'bridge fdb add 0a:58:c0:00:02:07 dev vx100 dst 192.168.9.12 self permanent',
  'ip link add br9 type bridge; ip link set br9 up',
  'ip route add 10.250.0.0/16 via 192.0.2.130; ip route add blackhole 10.251.0.0/16 proto static',
  'ip route add 203.0.113.0/24 via 192.0.2.131 table 100; ip rule add from 192.0.2.0/24 table 100 priority 1000',
  'ip neighbour add 192.0.2.130 lladdr 0a:58:c0:00:02:82 dev eth9 nud permanent',
  'ip -6 address add 2001:db8::1/64 dev eth9 nodad; ip -6 route add 2001:db8:1::/48 via 2001:db8::2',
] as const;

/** Everything of a node that is not Tenet's, as stock tools print it; without what counts and ages by itself. */
async function foreignState(): Promise<string> {
  const saved = 'grep -v "^#" | sed "s/\\[[0-9:]*\\]//"';
  // On the iptables backend, chains, jumps and sets of ours stand beside others' in the same tables, which nft lists as well.
  const rulesAndSets = {
    nftables: [
      'for t in $(nft list tables | grep -v "inet tenet" | tr " " :); do nft -a list $(echo $t | tr : " "); done',
      `iptables-save | ${saved}; ip6tables-save | ${saved}`,
      'ipset list -o save',
    ],
    iptables: [
      'for t in $(nft list tables | grep -vE " ip6? " | tr " " :); do nft -a list $(echo $t | tr : " "); done',
      `iptables-save | ${saved} | sed -n "/^-A/{/TENET-/!p}"; ip6tables-save | ${saved} | sed -n "/^-A/{/TENET-/!p}"`,
      'ipset list -o save | sed "/^[a-z]* tenet-/d"',
    ],
  };
  const commands = [
    ...rulesAndSets[BACKEND],
    'ip -d -o link show | grep -vE "^[0-9]+: tn[pt]"',
    'ip -o address show | grep -vE "^[0-9]+: tn[pt]"',
    'ip -d route show table all | grep -vE "proto 126|dev tn[pt]"; ip -6 -d route show table all | grep -vE "dev tn[pt]"',
    'ip rule; ip -6 rule',
    'ip neighbour show nud permanent | grep -vE "dev tn[pt]|proto 126"; bridge fdb show | grep -vE "dev tn[pt]"',
    'sysctl -a 2>/dev/null | grep -E "^net\\.(ipv4|ipv6|core|bridge)" | grep -vE "\\.tn[pt]|ipv4\\.conf\\.eth0\\.forwarding"',
  ];
  const shown = await Promise.all(commands.map((command) => inside(node1, `${command}; true`)));
  return shown.join('\n----\n').replaceAll(/counter packets \d+ bytes \d+|gc_timer +[\d.]+/g, '');
}

describe('what is not Tenet’s', () => {
  test('stays byte for byte as it was while an agent starts, works and ends', async () => {
    await lab.killAgent('node1', 'SIGTERM');
    for (const command of FOREIGN) await inside(node1, command);
    // The kernel's own part of it, duplicate address detection, takes a second or two.
    const settled = async () => !(await foreignState()).includes('tentative');
    await waitFor(settled, { what: 'IPv6 addresses settle', everyMs: 100 });
    const before = await foreignState();
    for (const known of ['KUBE-SERVICES', 'theirs', 'vx100', 'blackhole 10.251.0.0/16', '203.0.113.0/24', 'eth9'])
      expect(before).toContain(known);
    await lab.startAgent('node1');
    expect(await foreignState()).toBe(before);
    const [here, there] = [await attach('here', 'node1'), await attach('there', 'node2')];
    const gone = await attach('gone', 'node1');
    await Promise.all([
      expectAnswer(here, there.ip, 'there'),
      expectAnswer(there, gone.ip, 'gone'),
      expectAnswer(here, lab.outside.address, 'outside'),
    ]);
    expect(await foreignState()).toBe(before);
    await lab.detach(gone);
    await lab.detach(there);
    await lab.killAgent('node1', 'SIGKILL');
    await lab.startAgent('node1');
    await lab.detach(here);
    expect(await foreignState()).toBe(before);
    await lab.killAgent('node1', 'SIGTERM');
    expect(await foreignState()).toBe(before);
    await lab.startAgent('node1');
  });
});

describe('marks', () => {
  /** Sets a mark before Tenet's rules or after them, and counts after all of them who still has it and who has not. */
  const marking = (priority: number) => [
    'nft add table inet marks',
    `nft add chain inet marks early "{ type filter hook prerouting priority ${priority}; }"`,
    'nft add chain inet marks late "{ type filter hook postrouting priority 200; }"',
    `nft "add rule inet marks early udp dport ${UDP_PORT} meta mark set meta mark | 0x4000c0de"`,
    `nft "add rule inet marks early udp sport ${UDP_PORT} meta mark set meta mark | 0x4000c0de"`,
    `nft "add rule inet marks late oifname != lo udp dport ${UDP_PORT} meta mark 0x4000c0de counter name kept"`,
    `nft "add rule inet marks late oifname != lo udp sport ${UDP_PORT} meta mark 0x4000c0de counter name kept"`,
    `nft "add rule inet marks late oifname != lo udp dport ${UDP_PORT} meta mark != 0x4000c0de counter name lost"`,
    `nft "add rule inet marks late oifname != lo udp sport ${UDP_PORT} meta mark != 0x4000c0de counter name lost"`,
  ];
  const counter = async (name: string) => {
    const shown = await inside(node1, `nft list counter inet marks ${name}`);
    return Number(/packets (\d+)/.exec(shown)?.[1]);
  };

  for (const priority of [-500, -150])
    test(`that others set at ${priority} are still there when a container’s packet leaves`, async () => {
      const [one, two, three] = [
        await attach('one', 'node1'),
        await attach('two', 'node1'),
        await attach('three', 'node2'),
      ];
      try {
        await inside(
          node1,
          'nft add table inet marks; nft add counter inet marks kept; nft add counter inet marks lost',
        );
        for (const command of marking(priority)) await inside(node1, command);
        await expectAnswer(one, two.ip, 'two');
        const home = await counter('kept');
        expect(home).toBeGreaterThanOrEqual(2);
        await expectAnswer(one, three.ip, 'three');
        await expectAnswer(three, one.ip, 'one');
        const across = await counter('kept');
        expect(across).toBeGreaterThanOrEqual(home + 4);
        await expectAnswer(one, lab.outside.address, 'outside');
        expect(await counter('kept')).toBeGreaterThanOrEqual(across + 2);
        await expectAnswer(lab.host('gw1'), one.ip, 'one');
        expect(await counter('lost')).toBe(0);
      } finally {
        await inside(node1, 'nft delete table inet marks');
        for (const container of [one, two, three]) await lab.detach(container);
      }
    });
});

describe('another program’s service addresses', () => {
  test('lead to the own tenant, and are no way around', async () => {
    await makeTenant(lab, 'blue');
    const [caller, friend] = [await attach('caller', 'node1'), await attach('friend', 'node2')];
    const stranger = await lab.attach('node1', { tenant: 'blue', name: 'stranger' });
    const [manage] = lab.topology.manage;
    const neighbour = lab.host('node2');
    try {
      await answerAs('stranger', lab.prober(stranger));
      await answerAs('node2', lab.prober(neighbour));
      await answerAs('manage1', lab.prober(lab.controllers[0] ?? ''));
      const targets = [friend.ip, stranger.ip, neighbour.underlay, manage?.underlay ?? ''];
      // As kube-proxy does it, for a service's own address and for a port of the node.
      for (const [index, target] of targets.entries())
        for (const match of [`-d 192.0.2.200 -p udp --dport ${3000 + index}`, `-p udp --dport ${30_000 + index}`])
          await inside(node1, `iptables -t nat -A PREROUTING ${match} -j DNAT --to-destination ${target}:${UDP_PORT}`);
      const call = (address: string, port: number) => lab.prober(caller).udpExchange(address, port);
      for (const [address, base] of [
        ['192.0.2.200', 3000],
        [node1.underlay, 30_000],
      ] as const) {
        expect(await call(address, base)).toMatchObject({ outcome: 'answered', id: 'friend' });
        const others = await Promise.all([1, 2, 3].map((index) => call(address, base + index)));
        expect(others.map(({ outcome }) => outcome)).toEqual(['timeout', 'timeout', 'timeout']);
      }
      // Those who were not reached do answer the node's others.
      await expectAnswer(node1, stranger.ip, 'stranger');
      await expectAnswer(node1, neighbour.underlay, 'node2');
      await expectAnswer(node1, manage?.underlay ?? '', 'manage1');
    } finally {
      await inside(node1, 'iptables -t nat -F PREROUTING');
      for (const container of [caller, friend, stranger]) await lab.detach(container);
    }
  });
});

describe('stock tools', () => {
  test('read every node’s rules, links and sets, comments included', async () => {
    const containers = [await attach('four', 'node1'), await attach('five', 'node2')];
    try {
      await expectAnswer(containers[0] ?? node1, containers[1]?.ip ?? '', 'five');
      for (const host of lab.hosts) {
        const [rules, json] = await Promise.all([
          inside(host, BACKEND === 'nftables' ? 'nft list table inet tenet' : 'iptables-save'),
          inside(host, 'nft -j list ruleset'),
          inside(host, 'nft list ruleset'),
          inside(host, 'nft -a -n list ruleset'),
          inside(host, 'iptables-save; ip6tables-save; ipset list'),
          inside(host, 'ip -d link show; ip -d -6 route show table all; ip -d route show table all'),
        ]);
        expect(() => JSON.parse(json)).not.toThrow();
        const known = {
          nftables: ['forged, or not IPv4', 'ports allowed for the pair', 'count, and log a few'],
          iptables: ['a sender of this overlay', 'pair allowed at every port', 'count'],
        }[BACKEND];
        for (const comment of [...known, 'VXLAN comes from nodes alone'])
          expect(rules, host.name).toContain(`comment "${comment} #`);
        if (BACKEND === 'iptables') continue;
        const statements = rules
          .split('\n')
          .filter((line) => / (accept|drop|goto \S+|return|masquerade)( |$)/.test(line));
        expect(statements.length).toBeGreaterThan(40);
        expect(statements.filter((line) => !line.includes('comment "') && !line.includes('policy accept'))).toEqual([]);
      }
    } finally {
      for (const container of containers) await lab.detach(container);
    }
  });
});
