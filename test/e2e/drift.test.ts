/**
 * Another program changes what is Tenet's in a node's kernel, while the agent runs or while it is dead: it is put right, at once or at the
 * next start, and what others made stays as they made it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, type LabHost, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { agentCommand } from '../lab/services.ts';
import { BACKEND } from './support/backend.ts';
import { makeTenant } from './support/cluster.ts';
import { inside, tenetState } from './support/node-state.ts';

/** What damages may name. */
interface Names {
  /** overlay and pod link of red on node1 */
  readonly overlay: string;
  readonly pod: string;
  readonly podIp: string;
  /** block of red on node2, which node1 has a route to */
  readonly remoteBlock: string;
  readonly remoteNode: string;
  readonly remoteMac: string;
  readonly redVni: number;
  readonly bluePod: string;
}

let lab: Lab;
let node: LabHost;
let containers: readonly [near: Container, far: Container, other: Container];
let names: Names;
let intact: readonly string[];
let others: string;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  node = lab.host('node1');
  const { vni } = await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  const near = await lab.attach('node1', { tenant: 'red' });
  const far = await lab.attach('node2', { tenant: 'red' });
  const other = await lab.attach('node1', { tenant: 'blue' });
  containers = [near, far, other];
  await untilReached();
  await inside(node, OTHERS);
  const overlay = `tnt${vni}`;
  const ofOverlay = (command: string) => inside(node, command).then((text) => text.trim().split(/\s+/));
  const [remoteBlock = ''] = await ofOverlay(`ip route show dev ${overlay}`);
  const [remoteMac = ''] = await ofOverlay(`bridge fdb show dev ${overlay}`);
  const link = (container: Container) => container.result.interfaces[0]?.name ?? '';
  names = {
    ...{ overlay, remoteBlock, remoteMac, redVni: vni },
    ...{ pod: link(near), podIp: near.ip, bluePod: link(other), remoteNode: lab.host('node2').underlay },
  };
  intact = await tenetState(node);
  others = await othersState();
});
afterAll(() => lab?.close());

async function untilReached(): Promise<void> {
  const [near, far] = containers;
  const listener = await lab.prober(far).tcpListen(80, 'far');
  await waitFor(async () => (await lab.prober(near).tcpConnect(far.ip, 80)).id === 'far', { what: 'near reaches far' });
  listener.close();
}

/** Other people's things, some of which look much like ours. */
const OTHERS = `
  nft add table inet tenet2
  nft add chain inet tenet2 forward '{ type filter hook forward priority -350; }'
  nft add rule inet tenet2 forward meta mark 0x4000 counter accept
  nft add table ip nat2
  nft add chain ip nat2 postrouting '{ type nat hook postrouting priority 100; }'
  nft add rule ip nat2 postrouting ip saddr 172.20.0.0/16 masquerade
  ip link add tntfoo type veth peer name tnp12345
  ip link set tntfoo addrgenmode none
  ip link set tntfoo up
  ip link set tnp12345 addrgenmode none
  ip link set tnp12345 up
  ip address add 172.20.0.1/16 dev tntfoo
  ip route add 172.21.0.0/16 via 172.20.0.2 proto static
  ip route add blackhole 172.22.0.0/16 proto 99
  ip route add 10.128.0.0/9 via 172.20.0.2 metric 7 table 77
  ip rule add from 172.20.0.0/16 lookup 77
  ip neighbour add 172.20.0.2 lladdr 02:00:00:00:00:02 dev tntfoo nud permanent`;

function othersState(): Promise<string> {
  return inside(
    node,
    `nft -a list table inet tenet2; nft -a list table ip nat2; ip -d link show tntfoo; ip -d link show tnp12345
     ip address show tntfoo; ip route show proto static; ip route show proto 99; ip route show table 77; ip rule show
     ip neighbour show dev tntfoo`,
  );
}

type Damages = Readonly<Record<string, (names: Names) => string>>;

/** To isolation, each by what it does to node1. */
const OF_NFTABLES: Damages = {
  'a rule added': () => 'nft insert rule inet tenet forward accept',
  'the table put to sleep': () => "nft add table inet tenet '{ flags dormant; }'",
  'a rule deleted': () =>
    'nft delete rule inet tenet from_pod handle $(nft -a list chain inet tenet from_pod | sed -n "s/.*goto.*# handle //p" | head -1)',
  'a chain added': () => 'nft add chain inet tenet alien "{ type filter hook forward priority -400; policy accept; }"',
  'a chain flushed': () => 'nft flush chain inet tenet input_pod',
  'an element deleted': ({ remoteBlock }) =>
    `nft delete element inet tenet block4 "{ ${remoteBlock.replace(/\/.*/, '')} }"`,
  'an element added': ({ redVni, bluePod }) =>
    `nft add element inet tenet ingress "{ ${(redVni >> 16).toString(16)}:${(redVni & 0xffff).toString(16)} . ${bluePod} : 0:1 }"`,
  'a set flushed': () => 'nft flush set inet tenet guard4',
  'the table deleted': () => 'nft delete table inet tenet',
};

const OF_IPTABLES: Damages = {
  'a rule added': () => 'iptables -w -t mangle -I TENET-FORWARD -j ACCEPT',
  'a rule deleted': () => 'iptables -w -t mangle -D TENET-FROM-POD 1',
  'a rule of IPv6 deleted': () => 'ip6tables -w -t raw -D TENET-RAW 1',
  'a jump deleted': () => 'iptables -w -t raw -D PREROUTING 1',
  'a chain added': () => 'iptables -w -t mangle -N TENET-ALIEN',
  'a chain flushed': () => 'iptables -w -t mangle -F TENET-IN-POD',
  'an element deleted': ({ remoteBlock, overlay }) => `ipset del tenet-overlay-0 ${remoteBlock},${overlay}`,
  'an element added': ({ bluePod }) => `ipset add tenet-ingress-0 10.200.0.0/16,${bluePod}`,
  'a set flushed': () => 'ipset flush tenet-pod',
  'the table deleted': () => 'for t in mangle raw nat; do iptables -w -t $t -F; iptables -w -t $t -X; done',
  'what a link asks for': ({ pod }) => `tc filter del dev ${pod} egress`,
  'a link’s guards': ({ pod }) => `tc qdisc del dev ${pod} clsact`,
};

/** Of the rest, which is the same on every backend. */
const OF_LINKS: Damages = {
  'a route deleted': ({ remoteBlock }) => `ip route del ${remoteBlock}`,
  'a route replaced': ({ remoteBlock }) => `ip route replace ${remoteBlock} via 192.168.9.254 proto 126`,
  'a route replaced by another protocol’s': ({ remoteBlock }) => `ip route replace ${remoteBlock} via 192.168.9.254`,
  'a container’s route deleted': ({ podIp }) => `ip route del ${podIp}`,
  'a neighbour deleted': ({ overlay, remoteNode }) => `ip neighbour del ${remoteNode} dev ${overlay}`,
  'a neighbour changed': ({ overlay, remoteNode }) =>
    `ip neighbour replace ${remoteNode} lladdr 02:00:00:00:00:01 dev ${overlay} nud permanent`,
  'a container’s neighbour deleted': ({ pod, podIp }) => `ip neighbour del ${podIp} dev ${pod}`,
  'an FDB entry deleted': ({ overlay, remoteMac }) => `bridge fdb del ${remoteMac} dev ${overlay}`,
  'an address removed': () => 'ip address del 169.254.1.1/32 dev tnt1',
  'an overlay’s group changed': ({ overlay }) => `ip link set ${overlay} group 0`,
  'a container’s group changed': ({ pod }) => `ip link set ${pod} group 0`,
  'an overlay’s MTU changed': ({ overlay }) => `ip link set ${overlay} mtu 1280`,
  'a container’s MTU changed': ({ pod }) => `ip link set ${pod} mtu 1280`,
  'ARP switched on': ({ overlay }) => `ip link set ${overlay} arp on`,
  'an overlay down': ({ overlay }) => `ip link set ${overlay} down`,
  'a container’s link down': ({ pod }) => `ip link set ${pod} down`,
  'forwarding switched off': () => 'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.ip_forward=0',
  'a reverse path filter': ({ pod }) => `sysctl -qw net.ipv4.conf.${pod}.rp_filter=1`,
  'ARP answered for others': ({ overlay }) => `sysctl -qw net.ipv4.conf.${overlay}.proxy_arp=1`,
  'an overlay deleted': ({ overlay }) => `ip link del ${overlay}`,
};

const DAMAGES: Damages = { ...(BACKEND === 'nftables' ? OF_NFTABLES : OF_IPTABLES), ...OF_LINKS };

async function untilIntact(): Promise<void> {
  const look = async () => {
    const state = await tenetState(node);
    const missing = intact.filter((line) => !state.includes(line));
    const alien = state.filter((line) => !intact.includes(line));
    if (missing.length + alien.length === 0) return true;
    throw new Error(`missing: ${missing.slice(0, 3).join('; ')}, alien: ${alien.slice(0, 3).join('; ')}`);
  };
  await waitFor(look, { what: 'node1 is as it should be', everyMs: 250 });
}

describe('while the agent runs', () => {
  afterEach(async () => {
    expect(await othersState()).toBe(others);
  });

  test.each(Object.keys(DAMAGES))('%s', async (what) => {
    await inside(node, DAMAGES[what]?.(names) ?? 'false');
    await untilIntact();
    await untilReached();
  });

  test('nft flush ruleset, which takes others’ rules along', async () => {
    const theirs = await inside(node, 'nft list table inet tenet2; nft list table ip nat2');
    await inside(node, 'nft flush ruleset');
    await untilIntact();
    if (BACKEND === 'nftables') expect(await inside(node, 'nft list tables')).toBe('table inet tenet\n');
    await inside(node, `nft -f - <<'END'\n${theirs}\nEND`);
    others = await othersState();
  });
});

test('a second agent is refused, whatever its name and directory, and changes nothing', async () => {
  const state = mkdtempSync(join(tmpdir(), 'tenet-second-'));
  onTestFinished(() => rmSync(state, { recursive: true }));
  const [program, main = ''] = agentCommand(lab.topology, { ...node, role: 'compute' });
  const flags = `--node other --etcd ${lab.topology.etcdUrl} --state-dir ${state} --socket ${state}/agent.sock --underlay-interface eth0`;
  const second = inside(node, `${program} ${main} ${flags}`);
  await expect(second).rejects.toThrow(
    `another tenet-agent manages this machine already (process ${lab.pid('node1')})`,
  );
  expect(await tenetState(node)).toEqual(intact);
});

describe('while the agent is dead', () => {
  /** Of these each alone; and a restarted agent cannot know that another's route stands in the place of one of its own. */
  const alone = ['an overlay deleted', 'the table deleted', 'a route replaced', 'a set flushed'];
  const together = Object.keys(DAMAGES).filter((what) => !alone.includes(what) && !what.includes('another protocol'));

  afterEach(async () => {
    if (lab.pid('node1') === undefined) await lab.startAgent('node1');
  });

  test('all of it at once is put right at the next start', async () => {
    await lab.killAgent('node1');
    for (const what of together) {
      const before = await tenetState(node);
      // A link that is down has taken its routes and neighbours along.
      await inside(node, DAMAGES[what]?.(names) ?? 'false').catch((error: Error) => {
        throw new Error(`${what}: ${error.message}`);
      });
      expect(await tenetState(node), what).not.toEqual(before);
    }
    await lab.startAgent('node1');
    await untilIntact();
    await untilReached();
    expect(await othersState()).toBe(others);
  });

  test.each(alone)('%s', async (what) => {
    await lab.killAgent('node1');
    await inside(node, DAMAGES[what]?.(names) ?? 'false');
    expect(await tenetState(node)).not.toEqual(intact);
    await lab.startAgent('node1');
    await untilIntact();
    await untilReached();
    expect(await othersState()).toBe(others);
  });
});
