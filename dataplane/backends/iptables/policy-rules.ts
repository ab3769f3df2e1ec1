/**
 * The rules that ask policies for one port: what is allowed because of who it is, where, and at which port returns, all else is refused.
 * There are a few for each port set in use: iptables has no look-up of ranges of ports. Pure.
 */
import { REFUSALS } from '../common.ts';
import { DROP, goto, inSet, type Line } from './line.ts';
import type { PortRange, PortSetRanges } from './port-table.ts';
import { IPSETS, listOf } from './sets.ts';

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
]);
/** Ports that one rule can name; a range is two. @see include/uapi/linux/netfilter/xt_multiport.h, XT_MULTI_PORTS */
const PORTS_PER_RULE = 15;

/**
 * Finds what is allowed at its port, and drops all else.
 * @param ends of the packet, address and link, in the lists @param port which of the packet's is the port that was called
 * @param allow what becomes of a packet that is allowed
 */
export function byPort(
  direction: 'egress' | 'ingress',
  ends: 'src,dst' | 'dst,src',
  port: 'src' | 'dst',
  portSets: PortSetRanges,
  allow: string,
): Line[] {
  const everyPort =
    direction === 'egress'
      ? [IPSETS.egressAny, IPSETS.egressHosts, IPSETS.egressNets]
      : [IPSETS.ingressAny, IPSETS.ingressHosts, IPSETS.ingressNets];
  const ofPortSet = ([portSet, protocols]: [number, ReadonlyMap<number, readonly PortRange[]>]): Line[] => {
    const lists = (['p', 'n', 'a'] as const).map((kind) => listOf(`${direction}-${kind}${portSet}`));
    const matches = [...protocols].flatMap(([protocol, ranges]) => portMatches(protocol, ranges, port));
    return lists.flatMap((list): Line[] => [
      ...matches.map((match): Line => ['by port', match, inSet(list, ends), allow]),
      ['ICMP errors about the flow', '-p icmp -m conntrack --ctstate RELATED', inSet(list, ends), allow],
    ]);
  };
  return [
    ...everyPort.map((list): Line => ['address allowed at every port', inSet(list, ends), allow]),
    ...[...portSets].flatMap(ofPortSet),
    // Of a flow that is not allowed any more it is the calls that tell.
    ['not allowed', port === 'src' ? DROP : goto(direction === 'egress' ? 'REFUSE-OUT' : 'REFUSE-IN')],
  ];
}

function portMatches(protocol: number, ranges: readonly PortRange[], port: 'src' | 'dst'): string[] {
  const name = PROTOCOLS.get(protocol);
  if (name === undefined) return [];
  const rules: string[] = [];
  let named: string[] = [];
  let room = PORTS_PER_RULE;
  const close = () => {
    if (named.length > 0) rules.push(`-p ${name} -m multiport --${port === 'src' ? 's' : 'd'}ports ${named.join(',')}`);
    [named, room] = [[], PORTS_PER_RULE];
  };
  for (const { from, to } of ranges) {
    if (from === 0 && to === 65_535) return [`-p ${name}`];
    const size = from === to ? 1 : 2;
    if (size > room) close();
    named.push(from === to ? String(from) : `${from}:${to}`);
    room -= size;
  }
  close();
  return rules;
}

/** Counts what is refused, shows a few to listeners, and drops all. @param end of the packet that is the pod's */
export function refusal(why: 'egress' | 'ingress' | 'egressFlows' | 'ingressFlows', end: 'src' | 'dst'): Line[] {
  const { group, perSecond, burst } = REFUSALS;
  const limit = [
    `-m hashlimit --hashlimit-upto ${perSecond}/sec --hashlimit-burst ${burst}`,
    `--hashlimit-mode ${end}ip --hashlimit-name tenet-${why.toLowerCase()}`,
  ];
  return [
    ['count', inSet(IPSETS.refused, `${end},${end}`)],
    ['log a few', ...limit, `-j NFLOG --nflog-group ${group} --nflog-prefix "${REFUSALS[why]}"`],
    ['refused', DROP],
  ];
}
