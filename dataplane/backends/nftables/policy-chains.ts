/**
 * The chains that ask policies: may the pod behind a link, and the end with an address, meet at this port? By the end's identity, then by
 * port, then by address. Each way of asking has chains of its own, since rules cannot be given a link or an address to look at. Pure.
 */
import { type Field, iifname, l4proto, oifname, priority } from '../../codecs/nftables/field.ts';
import { ctState, inSet, maskedTo, match } from '../../codecs/nftables/match.ts';
import {
  drop,
  goto,
  jump,
  logToGroup,
  returnFromChain,
  setMeta,
  setMetaFromMap,
} from '../../codecs/nftables/statement.ts';
import { NET_BITS, PORT_BITS, PORT_SET } from '../../state.ts';
import { REFUSALS } from '../common.ts';
import { type ChainSpec, chain, type Line } from './chain-spec.ts';
import { SETS } from './sets.ts';

const IPPROTO_ICMP = 1;

/** One way of asking policies: who and what of a packet is looked up where, and where it goes on if it may pass. */
export interface Question {
  /** the pod that is asked about is behind it */
  readonly link: Field;
  /** of the other end */
  readonly address: Field;
  readonly direction: 'egress' | 'ingress';
  /** the chain that knows the ports */
  readonly ports: 'call_ports' | 'answer_ports';
  readonly next: string;
}

/** Chains to go to with the other end's identity as the priority: what passes goes on to `next`, all else is refused. */
export function policy(name: string, { link, address, direction, ports, next }: Question): ChainSpec[] {
  // Of a flow that is not allowed any more it is the calls that tell.
  const refuse = ports === 'answer_ports' ? drop : goto(direction === 'egress' ? 'refuse_out' : 'refuse_in');
  const go: Line = ['every port', match(priority, PORT_SET.all), goto(next)];
  const byPort: readonly Line[] = [
    go,
    ['check the port', jump(ports)],
    ['allowed', match(priority, PORT_SET.all), goto(next)],
  ];
  return [
    chain(`${name}_net`, [...byPort, ['port not allowed', refuse]]),
    chain(`${name}_found`, [
      ...byPort,
      ...NET_BITS.map(
        (bits): Line => [
          `by address, ${bits} bits`,
          setMetaFromMap('priority', [link, maskedTo(address, bits)], SETS[`${direction}Net/${bits}`]),
          goto(`${name}_net`),
        ],
      ),
      ['not allowed', refuse],
    ]),
    chain(name, [
      [
        'ports allowed for the pair',
        setMetaFromMap('priority', [priority, link], SETS[direction]),
        goto(`${name}_found`),
      ],
      ['pair not allowed', refuse],
    ]),
  ];
}

/** A chain to jump to with a port set as the priority: all ports, if the packet's is one of its. */
export function ports(name: string, port: Field): ChainSpec {
  const allow = setMeta('priority', PORT_SET.all);
  return chain(name, [
    // Else errors about a flow that was allowed once would pass.
    ['no port at all', match(priority, PORT_SET.none), returnFromChain],
    ['ICMP errors about the flow', match(l4proto, IPPROTO_ICMP), ctState('related'), allow, returnFromChain],
    ...PORT_BITS.map(
      (bits): Line => [
        bits === 16 ? 'one port' : `ports that begin with the same ${bits} bits`,
        inSet([priority, l4proto, maskedTo(port, bits)], SETS[`port/${bits}`]),
        allow,
        returnFromChain,
      ],
    ),
  ]);
}

/** Chains to go to for what is refused to a pod, or by one: each is counted, a few are shown, all are dropped. */
export const REFUSALS_CHAINS: readonly ChainSpec[] = (
  [
    ['refuse_out', iifname, REFUSALS.egress],
    ['refuse_in', oifname, REFUSALS.ingress],
    ['refuse_flow_out', iifname, REFUSALS.egressFlows],
    ['refuse_flow_in', oifname, REFUSALS.ingressFlows],
  ] as const
).map(([name, link, prefix]) =>
  chain(name, [
    ['count, and log a few', inSet([link], SETS.refused), logToGroup(REFUSALS.group, prefix)],
    ['refused', drop],
  ]),
);
