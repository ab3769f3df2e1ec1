/**
 * How what leaves the cluster shares the node's address, and what of the answers to that address is a pod's: what comes to ports that are
 * pods' alone, and nothing that a program of the node is called for. Pure.
 */
import {
  ctProtoDst,
  ipSaddr,
  l4proto,
  oifgroup,
  oifname,
  TCP_CALL,
  tcpCallFlags,
} from '../../codecs/nftables/field.ts';
import { ctState, match, matchNot, matchNotRange, matchPrefix } from '../../codecs/nftables/match.ts';
import { drop, goto, masquerade, masqueradeToPorts, returnFromChain } from '../../codecs/nftables/statement.ts';
import { OVERLAY_GROUP, POD_GROUP } from '../../ownership.ts';
import type { RuleSetItem } from '../../state.ts';
import { HAS_PORTS, poolsOf, SHARES_ADDRESS } from '../common.ts';
import { base, type ChainSpec, chain, type Line } from './chain-spec.ts';

/** One before where others translate addresses: who does so first decides. */
const SOURCE_NAT = 99;

export const PORTLESS = 'a protocol without ports cannot share the node’s address';
/** Matches it. */
export const portless = Object.values(SHARES_ADDRESS).map((protocol) => matchNot(l4proto, protocol));

/** Translation is of flows: what is of none (a wrong checksum, flags that nothing sends, others' NOTRACK) would leave as it is. */
export const FLOWLESS = 'a packet of no flow would keep the pod’s address';
/** Matches it. */
export const flowless = [ctState('invalid', 'untracked')];

/**
 * Drops what comes from elsewhere to a pod and can be no answer to it, whatever translated the pod's address, and whatever a program of the
 * node listens on.
 */
export function notOfPods({ masqueradePorts: { from, to } }: RuleSetItem): Line[] {
  return [
    ['calls are no answers', match(tcpCallFlags, TCP_CALL), drop],
    ...Object.values(HAS_PORTS).map(
      (protocol): Line => [
        'not to a port reserved for pods',
        match(l4proto, protocol),
        matchNotRange(ctProtoDst('reply'), from, to),
        drop,
      ],
    ),
    [PORTLESS, ...portless, drop],
  ];
}

export function shareAddress(item: RuleSetItem): ChainSpec[] {
  const { from, to } = item.masqueradePorts;
  return [
    chain('share_address', [
      ...Object.values(SHARES_ADDRESS).map(
        (protocol): Line => ['with a port reserved for pods', match(l4proto, protocol), masqueradeToPorts(from, to)],
      ),
      ['of the node itself, from its address in the system overlay', masquerade],
    ]),
    chain(
      'postrouting',
      [
        ['the node talks to itself', match(oifname, 'lo'), returnFromChain],
        ['addresses inside the cluster stay', match(oifgroup, POD_GROUP), returnFromChain],
        ['addresses inside the cluster stay', match(oifgroup, OVERLAY_GROUP), returnFromChain],
        ...poolsOf(item).map(
          (pool): Line => ['beyond the cluster: the node’s address', matchPrefix(ipSaddr, pool), goto('share_address')],
        ),
      ],
      base('nat', 'postrouting', SOURCE_NAT),
    ),
  ];
}
