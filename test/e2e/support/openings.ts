/**
 * Holes made on purpose: rules of Tenet's are taken out of a node while its agent is frozen, so that a test can see its packet arrive and
 * knows what had stopped it; then the agent goes on and mends its rules itself. Rules are named as the nftables backend names them; what
 * they are on the iptables backend is said here.
 */
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { BACKEND } from './backend.ts';
import { allInside, FILTERS, filtersOf, inside } from './node-state.ts';

/** Rules to take out: all of a chain whose comment is this, but for the hash at its end. */
export interface Cut {
  /** name of a compute or gateway node */
  readonly node: string;
  readonly chain: string;
  readonly comment: string;
}

/** A rule of iptables. */
type Rule = readonly [table: 'raw' | 'mangle', chain: string, comment: string];

const POD_SOURCE: Rule = ['raw', 'TENET-POD-SRC', 'forged, or TTL too small to be forwarded'];
const OVERLAY_SOURCE: Rule = ['raw', 'TENET-OVL-SRC', 'forged'];
const FORGED = 'forged, or not IPv4';
const UNKNOWN = 'a link that is not set up yet';
const PORTLESS = 'a protocol without ports cannot share the node’s address';
const FLOWLESS = 'a packet of no flow would keep the pod’s address';
const UNTRACKED = 'VXLAN is not tracked';
const VXLAN_OF_OTHERS = 'VXLAN in the name of the node';
const OUTSIDER = 'pods and gateways never come from elsewhere';
/** One look at all pairs is two there: what a pod may call in the cluster, and what it may call beyond. */
const BEYOND: readonly Rule[] = [
  'no pod or overlay is beyond the cluster',
  'pods may not call nodes',
  'never beyond the cluster',
  'all else is refused',
].map((comment) => ['mangle', 'TENET-BEYOND', comment]);
const same = (chain: string, comment: string): readonly Rule[] => [['mangle', chain, comment]];

/** What is forwarded is judged once more on its way out. */
const INTO_OVERLAYS = [
  ...same('TENET-FORWARD', 'into an overlay'),
  ...same('TENET-SENT', 'nodes send nothing into overlays but as gateways'),
];
/** No pair at all, and none at this port. */
const UNCALLED = [...same('TENET-TO-POD', 'pair not allowed'), ...same('TENET-CALL-IN', 'not allowed')];

const ON_IPTABLES: Readonly<Record<string, readonly Rule[]>> = {
  [`pod_source ${FORGED}`]: [POD_SOURCE],
  [`overlay_source ${FORGED}`]: [OVERLAY_SOURCE],
  'begin limit flows of the pod': same('TENET-FLOWS', 'limit flows of the pod'),
  'begin_beyond limit flows of the pod': same('TENET-FLOWS', 'limit flows of the pod'),
  'begin limit flows of the tenant': same('TENET-FLOWS', 'limit flows of the block'),
  'begin_beyond limit flows of the tenant': same('TENET-FLOWS', 'limit flows of the block'),
  'begin_here limit flows to the tenant': same('TENET-FLOWS-HERE', 'limit flows to the block'),
  'begin ration new flows of the tenant': same('TENET-FLOWS', 'ration new flows of the block'),
  'begin_beyond ration new flows of the tenant': same('TENET-FLOWS', 'ration new flows of the block'),
  'begin_beyond limit ports to one destination': same('TENET-FLOWS-BEYOND', 'limit ports to one destination'),
  // Who an answer or an error is from is part of the guard.
  'from_pod_reply an answer for an address of another pod': [POD_SOURCE],
  'from_pod ICMP errors about a flow of another pod': [POD_SOURCE],
  'answer_out pair not allowed': [
    ...same('TENET-POD-REPLY', 'pair not allowed'),
    ...same('TENET-ANSWER-OUT', 'not allowed'),
  ],
  'answer_in pair not allowed': [
    ...same('TENET-REPLY-TO-POD', 'pair not allowed'),
    ...same('TENET-ANSWER-IN', 'not allowed'),
  ],
  'call_out pair not allowed': BEYOND,
  'beyond never beyond the cluster': same('TENET-BEYOND', 'never beyond the cluster'),
  'call_in pair not allowed': UNCALLED,
  'from_overlay an overlay delivers to pods alone': same('TENET-FROM-OVL', 'an overlay delivers to pods alone'),
  'from_elsewhere answers of pods never come from elsewhere': same(
    'TENET-ELSEWHERE',
    'answers of pods never come from elsewhere',
  ),
  'from_elsewhere calls from elsewhere': same('TENET-ELSEWHERE', 'calls from elsewhere'),
  'from_elsewhere calls are no answers': same('TENET-ELSEWHERE', 'calls are no answers'),
  'from_elsewhere not to a port reserved for pods': same('TENET-ELSEWHERE', 'not to a port reserved for pods'),
  [`from_elsewhere ${PORTLESS}`]: same(
    'TENET-ELSEWHERE',
    'a protocol without ports cannot share the address of the node',
  ),
  [`beyond ${PORTLESS}`]: same('TENET-BEYOND', 'a protocol without ports cannot share the address of the node'),
  [`beyond ${FLOWLESS}`]: same('TENET-BEYOND', 'a packet of no flow would keep the address of the pod'),
  [`beyond ${VXLAN_OF_OTHERS}`]: same('TENET-BEYOND', VXLAN_OF_OTHERS),
  [`prerouting ${UNTRACKED}`]: [['raw', 'TENET-RAW', UNTRACKED]],
  [`output ${UNTRACKED}`]: [['raw', 'TENET-RAW-OUT', UNTRACKED]],
  'forward VXLAN in the name of another node': same('TENET-FORWARD', 'VXLAN in the name of another node'),
  'input_vxlan VXLAN comes by the underlay link': same('TENET-IN-VXLAN', 'VXLAN comes by the underlay link'),
  [`forward ${VXLAN_OF_OTHERS}`]: same('TENET-FORWARD', VXLAN_OF_OTHERS),
  'input_vxlan VXLAN comes to the address that nodes know': same(
    'TENET-IN-VXLAN',
    'VXLAN comes to the address that nodes know',
  ),
  [`prerouting ${OUTSIDER}`]: [['raw', 'TENET-RAW', OUTSIDER]],
  // A link is known by its members alone.
  [`prerouting ${UNKNOWN}`]: [POD_SOURCE, OVERLAY_SOURCE, ...BEYOND, ...UNCALLED],
  [`forward ${UNKNOWN}`]: [
    ...same('TENET-ELSEWHERE', 'answers of pods never come from elsewhere'),
    ...same('TENET-ELSEWHERE', 'not to a port reserved for pods'),
    ...same('TENET-ELSEWHERE', 'calls from elsewhere'),
    ...INTO_OVERLAYS,
  ],
  'forward into an overlay': INTO_OVERLAYS,
  'input_pod the node is closed': [...same('TENET-IN-POD', 'the node is closed'), POD_SOURCE],
  'vxlan_inside not an address of the node that sends it': [
    ...same('TENET-VXLAN-INSIDE', 'not an address of the node that sends it'),
    ['raw', 'TENET-OVL-SRC', 'gateways send from their own nodes alone'],
  ],
  ...Object.fromEntries(
    ['ICMP errors about VXLAN of this node', 'too large for a router, where none is between'].map((comment) => [
      `input_error ${comment}`,
      same('TENET-IN-ERROR', comment),
    ]),
  ),
  'input_vxlan VXLAN comes from nodes alone': same('TENET-IN-VXLAN', 'VXLAN comes from nodes alone'),
};

/** Runs `body` without the rules, then waits until the agents have put them back. @throws Error if there is no such rule */
export async function without<T>(lab: Lab, cuts: readonly Cut[], body: () => Promise<T>): Promise<T> {
  const nodes = [...new Set(cuts.map(({ node }) => node))];
  const before = await find(lab, cuts);
  try {
    return await frozen(lab, nodes, async () => {
      for (const node of nodes) {
        const deletions = new Set(cuts.flatMap((cut, index) => (cut.node === node ? (before[index] ?? []) : [])));
        await inside(lab.host(node), [...deletions].sort(byNumberDownwards).join('\n'));
      }
      return await body();
    });
  } finally {
    const look = async () => {
      const now = await find(lab, cuts);
      const missing = cuts.filter((_, index) => now[index]?.length !== before[index]?.length);
      if (missing.length === 0) return true;
      throw new Error(missing.map(({ node, chain, comment }) => `${node} ${chain}: ${comment}`).join('; '));
    };
    await waitFor(look, { what: 'agents put back their rules', everyMs: 50 });
  }
}

/** Runs `body` while agents are stopped and mend nothing. */
export async function frozen<T>(lab: Lab, nodes: readonly string[], body: () => Promise<T>): Promise<T> {
  for (const node of nodes) await lab.killAgent(node, 'SIGSTOP');
  try {
    return await body();
  } finally {
    for (const node of nodes) await lab.killAgent(node, 'SIGCONT');
  }
}

/** Runs `body` without the rules while what leaves the cluster keeps its ports, as masquerading does unless told otherwise. */
export async function portsKept<T>(lab: Lab, node: string, cuts: readonly Cut[], body: () => Promise<T>): Promise<T> {
  const [list, keep] = PORTS_OF_PODS[BACKEND];
  const before = await inside(lab.host(node), list);
  try {
    return await without(lab, cuts, async () => {
      await inside(lab.host(node), keep);
      return await body();
    });
  } finally {
    await waitFor(async () => (await inside(lab.host(node), list)) === before, {
      what: `${node}'s agent gives pods ports of their own again`,
    });
  }
}

/** Commands that list the rules by which pods get ports of their own, and that put one before them, or in their place, that does not. */
const PORTS_OF_PODS = {
  nftables: [
    'nft list chain inet tenet share_address',
    'nft flush chain inet tenet share_address; nft add rule inet tenet share_address masquerade',
  ],
  iptables: ['iptables -w -t nat -S TENET-SHARE-ADDR', 'iptables -w -t nat -I TENET-SHARE-ADDR 1 -j MASQUERADE'],
} as const;

/** A command that takes the guards at a pod's link away, where the backend has some; agents that go on put them back. */
export function openLink(link: string): string {
  return BACKEND === 'iptables' ? `tc filter del dev ${link} ingress; tc filter del dev ${link} egress` : 'true';
}

/** Commands that let (address, MAC) through, as a pod's or as a node's, and that undo it. To be used while agents are frozen. */
export function admission(
  whose: 'pod' | 'node',
  { address, mac, link = '' }: { readonly address: string; readonly mac: string; readonly link?: string },
): { readonly admit: string; readonly undo: string } {
  if (BACKEND === 'nftables') {
    const element =
      whose === 'pod' ? `guard4 { "${link}" . ${mac} . ${address} }` : `vxlan_peer4 { ${address} . ${mac} }`;
    return {
      admit: `nft 'add element inet tenet ${element}'`,
      undo: `nft 'delete element inet tenet ${element}' || true`,
    };
  }
  const list = whose === 'pod' ? 'tenet-macs' : 'tenet-vxlan-peers';
  const pair = whose === 'pod' ? `tenet-own-mac ${address},${link}` : undefined;
  const range = address.replace(/\.\d+\.\d+$/, '.0.0/16');
  return {
    admit: `${pair === undefined ? '' : openLink(link)}
      ipset create opening bitmap:ip,mac range ${range}; ipset add opening ${address},${mac}; ipset add ${list} opening
      ${pair === undefined ? '' : `ipset add ${pair}`}`,
    undo: `ipset del ${list} opening 2>/dev/null || true; ipset destroy opening
      ${pair === undefined ? '' : `ipset del ${pair} 2>/dev/null || true`}`,
  };
}

/** For each cut the commands that delete its rules, as many as there are. */
async function find(lab: Lab, cuts: readonly Cut[]): Promise<readonly (readonly string[])[]> {
  const nodes = [...new Set(cuts.map(({ node }) => node))];
  const printed = new Map<string, Printed>();
  const look = async (node: string): Promise<void> => {
    const commands = [...new Set(cuts.filter((cut) => cut.node === node).flatMap(lists))];
    const answers = await allInside(lab.host(node), commands);
    printed.set(node, new Map(commands.map((command, index) => [command, answers[index] ?? ''])));
  };
  await Promise.all(nodes.map(look));
  return cuts.map((cut) => (BACKEND === 'nftables' ? inTable : inChains)(cut, printed.get(cut.node) ?? new Map()));
}

/** What commands have printed in a node, by the command. */
type Printed = ReadonlyMap<string, string>;

const listTable = ({ chain }: Cut): string => `nft -a list chain inet tenet ${chain}`;
const listChain = ([table, name]: Rule): string => `iptables -w -t ${table} -S ${name}`;

/** The commands that show the rules. */
function lists(cut: Cut): readonly string[] {
  return BACKEND === 'nftables' ? [listTable(cut)] : [FILTERS, ...rulesOf(cut).map(listChain)];
}

function inTable(cut: Cut, printed: Printed): readonly string[] {
  const { node, chain, comment } = cut;
  const listed = printed.get(listTable(cut)) ?? '';
  const lines = listed.split('\n').filter((line) => line.includes(`comment "${comment} #`));
  if (lines.length === 0) throw new Error(`${node} has no rule "${comment}" in ${chain}:\n${listed}`);
  return lines.map((line) => `nft delete rule inet tenet ${chain} handle ${/ # handle (\d+)$/.exec(line)?.[1]}`);
}

function rulesOf({ chain, comment }: Cut): readonly Rule[] {
  const rules = ON_IPTABLES[`${chain} ${comment}`];
  if (rules === undefined) throw new Error(`no rule of iptables is known for "${comment}" in ${chain}`);
  return rules;
}

/** Guards of pod links at one place: at the egress none lets in what no rule has admitted, whichever rule is cut. */
function linkGuards(printed: Printed, place: 'ingress' | 'egress'): readonly string[] {
  const filters = filtersOf(printed.get(FILTERS) ?? '').filter((each) => each.place === place);
  return [...new Set(filters.map(({ link }) => `tc filter del dev ${link} ${place}`))];
}

function inChains(cut: Cut, printed: Printed): readonly string[] {
  const rules = rulesOf(cut);
  const found = [...linkGuards(printed, 'egress')];
  if (rules.includes(POD_SOURCE)) found.push(...linkGuards(printed, 'ingress'));
  for (const rule of rules) {
    const [table, name, text] = rule;
    const listed = printed.get(listChain(rule)) ?? '';
    const lines = listed.split('\n').filter((line) => line.startsWith('-A'));
    const numbers = lines.flatMap((line, index) => (line.includes(`"${text} #`) ? [index + 1] : []));
    if (numbers.length === 0) throw new Error(`${cut.node} has no rule "${text}" in ${name}:\n${listed}`);
    found.push(...numbers.map((number) => `iptables -w -t ${table} -D ${name} ${number}`));
  }
  return found;
}

/** Rules are known by their numbers, which those above leave as they are. */
function byNumberDownwards(a: string, b: string): number {
  const number = (command: string) => Number(/ (\d+)$/.exec(command)?.[1] ?? 0);
  return number(b) - number(a);
}
