/**
 * How many connections a pod, and all pods of a block, may have at a time, and how many of a block's may go to one destination beyond the
 * cluster. As isolation/flow-bounds.ts, but for two things: iptables knows addresses and no tenants, so a tenant has a bound for each of
 * its blocks; and it can tell neither connections nor destinations apart but by a rule for each share of them. Pure.
 */

import type { RuleSetItem } from '../../state.ts';
import { portsToOneDestination, rationOf } from '../common.ts';
import { shareOfDestinations, shareOfFlows } from './bytecode.ts';
import { type ChainRules, chain } from './chain-rules.ts';
import { goto, inSet, type Line, program } from './line.ts';
import { refusal } from './policy-rules.ts';
import { IPSETS } from './sets.ts';

/** For each share a rule that every first packet is held against. */
const SHARES = 16;

/** A line's match for the first packet of a connection: NEW are all until an answer comes, and one-way flows for good. */
export const FIRST_PACKET = '-m conntrack --ctstate NEW ! --ctstatus CONFIRMED';

/**
 * Chains to call with the first packet of what a pod calls: within the cluster or on the node, and beyond; and of what comes to pods from
 * other nodes. They return, or refuse.
 */
export function flowBounds(item: RuleSetItem): ChainRules[] {
  const { ofPod, ofTenant } = item.flows;
  const ofBlock = item.blockPrefixLength.v4;
  const over = (bound: number, bits: number, end: 'saddr' | 'daddr') =>
    `-m connlimit --connlimit-above ${bound} --connlimit-mask ${bits} --connlimit-${end}`;
  const perShare = (bound: number) => Math.ceil(bound / SHARES);
  const overRation = (end: 'src' | 'dst') =>
    [
      inSet(IPSETS.crowded, end),
      `-m hashlimit --hashlimit-above ${rationOf(item)}/sec --hashlimit-burst ${rationOf(item)}`,
      `--hashlimit-mode ${end}ip --hashlimit-${end}mask ${ofBlock} --hashlimit-name tenet-ration-${end}`,
    ] as const;
  const forEachShare = (lines: (share: number) => readonly Line[]) =>
    Array.from({ length: SHARES }, (_, share) => lines(share)).flat();
  return [
    chain('REFUSE-FLOW-OUT', refusal('egressFlows', 'src')),
    chain('REFUSE-FLOW-IN', refusal('ingressFlows', 'dst')),
    chain('FLOWS', [
      ...forEachShare((share) => {
        const ofShare = program(shareOfFlows(share, SHARES));
        return [
          ['limit flows of the pod', ofShare, over(perShare(ofPod), 32, 'saddr'), goto('REFUSE-FLOW-OUT')],
          ['limit flows of the block', ofShare, over(perShare(ofTenant), ofBlock, 'saddr'), goto('REFUSE-FLOW-OUT')],
        ];
      }),
      ['ration new flows of the block', ...overRation('src'), goto('REFUSE-FLOW-OUT')],
    ]),
    chain(
      'FLOWS-BEYOND',
      forEachShare((share) => [
        [
          'limit ports to one destination',
          program(shareOfDestinations(share, SHARES)),
          over(portsToOneDestination(item), ofBlock, 'saddr'),
          goto('REFUSE-FLOW-OUT'),
        ],
      ]),
    ),
    chain('FLOWS-HERE', [
      ...forEachShare((share) => [
        [
          'limit flows to the block',
          program(shareOfFlows(share, SHARES)),
          over(perShare(ofTenant), ofBlock, 'daddr'),
          goto('REFUSE-FLOW-IN'),
        ],
      ]),
      ['ration new flows to the block', ...overRation('dst'), goto('REFUSE-FLOW-IN')],
    ]),
  ];
}
