/**
 * What comes by the underlay and carries overlays, or speaks of what does: who may send VXLAN and what may be inside, and which ICMP errors
 * are believed. The same as isolation/underlay-chains.ts, as far as iptables can. Pure.
 */

import type { RuleSetItem } from '../../state.ts';
import { segmentsOf } from '../common.ts';
import { errorAboutPort, tooLargeFor, VXLAN_FROM_ITS_NODE } from './bytecode.ts';
import { type ChainRules, chain } from './chain-rules.ts';
import { DROP, goto, inSet, type Line, notInSet, program, RETURN } from './line.ts';
import { IPSETS } from './sets.ts';

/** A line's match for what would be VXLAN to a node. */
export const toVxlan = ({ vxlanPort }: RuleSetItem) => `-p udp -m udp --dport ${vxlanPort}`;

/** To a node. Else each flow of a pod would take up to three entries of the table of connections. */
export const vxlanUntracked = (item: RuleSetItem): Line => [
  'VXLAN is not tracked',
  toVxlan(item),
  inSet(IPSETS.node, 'dst'),
  '-j CT --notrack',
];

/** What others' containers send, masqueraded by other programs or with a raw socket. */
export function vxlanForOthers(item: RuleSetItem): Line[] {
  const toNode = [toVxlan(item), inSet(IPSETS.node, 'dst')] as const;
  return [
    ['VXLAN in the name of the node', ...toNode, notInSet(IPSETS.node, 'src'), DROP],
    ['VXLAN in the name of another node', ...toNode, notUnderlay(item), DROP],
  ];
}

/** No node sends by another link. */
const notUnderlay = ({ underlay }: RuleSetItem) => `! -i ${underlay}`;

/** Chains that TENET-INPUT goes to. */
export function underlayChains(item: RuleSetItem): ChainRules[] {
  return [
    chain('VXLAN-INSIDE', [
      ['from the overlay link of the node that sends it', program(VXLAN_FROM_ITS_NODE), RETURN],
      ['not an address of the node that sends it', DROP],
    ]),
    chain('IN-VXLAN', [
      ['VXLAN comes by the underlay link', notUnderlay(item), DROP],
      ['VXLAN comes to the address that nodes know', notInSet(IPSETS.node, 'dst'), DROP],
      ['a node on our segment', inSet(IPSETS.vxlanPeers, 'src,src'), goto('VXLAN-INSIDE')],
      ['a node behind a router', inSet(IPSETS.vxlanRouted, 'src'), goto('VXLAN-INSIDE')],
      ['VXLAN comes from nodes alone', DROP],
    ]),
    // Outer packets ask no router to refuse them; who says one did wants the path narrow, for all packets to that node.
    chain('IN-ERROR', [
      ['ICMP errors about VXLAN of this node', program(errorAboutPort(item.vxlanPort)), DROP],
      ...segmentsOf(item).map(
        (segment): Line => ['too large for a router, where none is between', program(tooLargeFor(segment)), DROP],
      ),
    ]),
  ];
}
