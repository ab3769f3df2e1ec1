/**
 * Others who write rules on a node: what they accept ahead of Tenet's opens no way from one tenant to another, nor to the node, whether an
 * agent lives to see it or not; and on the iptables backend neither does the loss of all rules: links let in only what a rule has admitted.
 */
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, type LabHost, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BACKEND } from './support/backend.ts';
import { makeTenant, untilReached } from './support/cluster.ts';
import { allowed, Flood, type FloodFlow, forbidden } from './support/flood.ts';
import { inside } from './support/node-state.ts';
import { frozen, openLink } from './support/openings.ts';
import { hostLink } from './support/stage.ts';

const UDP = 7001;
const NODE_PORT = 30_080;

let lab: Lab;
let node: LabHost;
/** two of red and one of blue on node1, and one of each on node2 */
let red: readonly [Container, Container, Container];
let blue: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  node = lab.host('node1');
  await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  const attach = (on: string, tenant: string) => lab.attach(on, { tenant });
  red = [await attach('node1', 'red'), await attach('node1', 'red'), await attach('node2', 'red')];
  blue = [await attach('node1', 'blue'), await attach('node2', 'blue')];
  await untilReached(lab, [
    [red[0], red[1]],
    [red[2], red[0]],
    [blue[1], blue[0]],
  ]);
});
afterAll(() => lab?.close());
afterEach(() => inside(node, CLEAN));

/** Takes away all that is not Tenet's. */
const CLEAN = `
  for table in filter nat mangle; do
    iptables-save -t $table | grep -v TENET- | sed -n "s/^-A/-D/p" | while read -r rule; do eval iptables -w -t $table $rule; done
    iptables-save -t $table | sed -n "s/^:\\([^ ]*\\) - .*/\\1/p" | grep -v TENET- |
      while read -r chain; do iptables -w -t $table -X $chain; done
  done`;

const underlay = () => ({ netns: node.netns, ip: node.underlay });
const TENANTS = (): FloodFlow[] => [
  forbidden('another tenant', blue[0], red[0], UDP),
  forbidden('another tenant, back', red[0], blue[0], NODE_PORT),
  forbidden('another tenant, across', blue[1], red[0], UDP),
  { ...forbidden('another tenant, by a port of the node', red[1], blue[0], NODE_PORT), address: node.underlay },
];
const TO_NODE = (): FloodFlow[] => [forbidden('the node', red[0], underlay(), UDP)];
const FRIENDS = (): FloodFlow[] => [
  allowed('udp', 'friends', red[1], red[0], UDP),
  allowed('udp', 'friends, across', red[2], red[0], UDP),
  allowed('udp', 'friends of the other tenant', blue[1], blue[0], NODE_PORT),
  allowed('udp', 'the node to its container', node, red[0], UDP),
  allowed('udp', 'another node', lab.host('node2'), underlay(), UDP),
];

async function startFlood(flows: readonly FloodFlow[]): Promise<Flood> {
  const flood = await Flood.start(flows);
  onTestFinished(() => flood.close());
  return flood;
}

/** Resolves once so many more messages of every flow have been sent. */
async function sends(flood: Flood, messages: number): Promise<void> {
  const before = await flood.counts();
  const look = async () =>
    (await flood.counts()).every(({ sent }, index) => sent >= (before[index]?.sent ?? 0) + messages);
  await waitFor(look, { what: `${messages} more messages are sent on each flow`, timeoutMs: 20_000 });
}

const delivered = async (flood: Flood) =>
  Object.fromEntries((await flood.counts()).map(({ name, delivered: count }) => [name, count]));

/** As kube-proxy does it for a service of blue's. */
const SERVICE = () =>
  `iptables -w -t nat -N KUBE-SERVICES
   iptables -w -t nat -I PREROUTING -j KUBE-SERVICES
   iptables -w -t nat -A KUBE-SERVICES -d ${node.underlay} -p udp --dport ${NODE_PORT} -j DNAT --to-destination ${blue[0].ip}
   iptables -w -N KUBE-FORWARD
   iptables -w -I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
   iptables -w -A KUBE-FORWARD -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT`;

/** What others put ahead of all rules in table filter. */
const AHEAD: Readonly<Record<string, () => string>> = {
  'everything is accepted': () => 'for chain in INPUT FORWARD OUTPUT; do iptables -w -I $chain -j ACCEPT; done',
  'a chained firewall plugin’s first ADD': () =>
    `iptables -w -N CNI-FORWARD; iptables -w -N CNI-ADMIN
     iptables -w -I FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
     iptables -w -A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
     ${[...red, ...blue]
       .map(
         ({ ip }) =>
           `iptables -w -A CNI-FORWARD -d ${ip} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
            iptables -w -A CNI-FORWARD -s ${ip} -j ACCEPT`,
       )
       .join('\n')}`,
  'a service proxy that starts after the agent': SERVICE,
};

describe('others’ rules ahead of Tenet’s in table filter', () => {
  test.each(Object.keys(AHEAD))('open nothing while no agent looks, and cut nothing: %s', async (what) => {
    const flood = await startFlood([...TENANTS(), ...TO_NODE(), ...FRIENDS()]);
    await frozen(lab, ['node1'], async () => {
      await inside(node, AHEAD[what]?.() ?? 'false');
      await sends(flood, 200);
      await flood.passes(50);
    });
    await flood.passes(50);
    await flood.stopUnharmed();
  });
});

/** What takes Tenet's rules away, or goes past them. */
const PAST: Readonly<Record<string, string>> = {
  'accepted ahead of them where they decide':
    'for chain in FORWARD POSTROUTING; do iptables -w -t mangle -I $chain -j ACCEPT; done; iptables -w -t raw -I PREROUTING -j ACCEPT',
  'every table emptied': 'for table in raw mangle nat filter; do iptables -w -t $table -F; done',
  'a whole foreign rule set restored': `for table in raw mangle nat filter; do
      echo "*$table"; [ $table = filter ] && echo "-A FORWARD -j ACCEPT"; echo COMMIT; done | iptables-restore -w`,
  'the rule set flushed by nft': 'nft flush ruleset',
};

describe.runIf(BACKEND === 'iptables')('Tenet’s rules', () => {
  test.each(Object.keys(PAST))('gone past: no container gets what none has admitted: %s', async (what) => {
    const flood = await startFlood([...TENANTS(), ...FRIENDS()]);
    const names = TENANTS().map(({ name }) => name);
    const arrived = async () => {
      const counts = await delivered(flood);
      return names.map((name) => counts[name] ?? 0);
    };
    await frozen(lab, ['node1'], async () => {
      await inside(node, PAST[what] ?? 'false');
      await sends(flood, 200);
      expect(await arrived()).toEqual(names.map(() => 0));
      // What stands in the way is the links alone.
      await inside(node, [red[0], red[1], blue[0]].map((each) => openLink(hostLink(each))).join('\n'));
      await waitFor(async () => (await arrived())[0] !== 0, { what: 'another tenant’s message' });
    });
    // Last of all the agent puts these back.
    for (const each of [red[0], red[1], blue[0]])
      await waitFor(async () => (await inside(node, `tc filter show dev ${hostLink(each)} egress`)).includes('bpf'), {
        what: `the agent guards ${each.ip}`,
      });
    await flood.passes(50);
    const before = await arrived();
    await sends(flood, 200);
    expect(await arrived()).toEqual(before);
  });
});
