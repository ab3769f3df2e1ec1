/**
 * What comes by the underlay and carries overlays, or speaks of what does: who may send VXLAN and what may be inside, and which ICMP errors
 * are believed. Pure.
 */
import {
  etherSaddr,
  icmpCode,
  icmpType,
  iifname,
  ipDaddr,
  ipFragment,
  ipSaddr,
  l4proto,
  quotedDaddr,
  quotedDport,
  quotedProtocol,
  quotedStart,
  thDport,
  vxlanInnerSaddr,
  vxlanInnerType,
} from '../../codecs/nftables/field.ts';
import { inSet, maskedTo, match, matchNot, matchPrefix, notInSet } from '../../codecs/nftables/match.ts';
import { accept, drop, goto, notrack } from '../../codecs/nftables/statement.ts';
import type { RuleSetItem } from '../../state.ts';
import { segmentsOf } from '../common.ts';
import { type ChainSpec, chain, type Line } from './chain-spec.ts';
import { SETS } from './sets.ts';

const IPPROTO_UDP = 17;
/** @see include/uapi/linux/icmp.h */
const ICMP_DEST_UNREACH = 3;
const ICMP_FRAG_NEEDED = 4;
/** 32-bit words that an IPv4 header can have. */
const HEADER_WORDS = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] as const;
/** In {@link ipFragment}: the first piece, and more to come. */
const FIRST_PIECE = 0x2000;
/** @see include/uapi/linux/if_ether.h */
const ETH_P_IP = 0x0800;

/** Matches what would be VXLAN. */
export const toVxlan = ({ vxlanPort }: RuleSetItem) =>
  [match(l4proto, IPPROTO_UDP), match(thDport, vxlanPort)] as const;

/** Whose MAC the other pieces have cannot be asked any more once they are put together. */
export const vxlanInPieces = (item: RuleSetItem): Line => [
  'VXLAN in fragments, which no node on our segment sends',
  match(l4proto, IPPROTO_UDP),
  match(ipFragment, FIRST_PIECE),
  match(thDport, item.vxlanPort),
  notInSet([ipSaddr], SETS.vxlanRouted),
  drop,
];

/**
 * To a node. Each flow of a pod is one of VXLAN's too, by its source port: tracked, it would take up to three entries of the table of
 * connections instead of the one that counts. In pieces it is tracked, for those are put together first.
 */
export const vxlanUntracked = (item: RuleSetItem): Line => [
  'VXLAN is not tracked',
  match(ipFragment, 0),
  ...toVxlan(item),
  inSet([ipDaddr], SETS.node),
  notrack,
];

/**
 * What pods send beyond the cluster leaves in the node's name. If it were VXLAN, and got to a node by an address that nothing here knows
 * as one, it would be that node's word for any pod here.
 */
export const vxlanOfPods = (item: RuleSetItem): Line => [
  'VXLAN in the name of the node',
  ...toVxlan(item),
  goto('refuse_out'),
];

/** Likewise what others' containers send, masqueraded by other programs or with a raw socket: only nodes send VXLAN to nodes. */
export const vxlanForOthers = (item: RuleSetItem): readonly Line[] => [
  [
    'VXLAN in the name of the node',
    ...toVxlan(item),
    inSet([ipDaddr], SETS.node),
    notInSet([ipSaddr], SETS.node),
    drop,
  ],
  ['VXLAN in the name of another node', ...toVxlan(item), inSet([ipDaddr], SETS.node), notUnderlay(item), drop],
];

/** No node sends by another link. */
const notUnderlay = ({ underlay }: RuleSetItem) => matchNot(iifname, underlay);

export const icmpErrors: Line = [
  'ICMP errors',
  match(icmpType, ICMP_DEST_UNREACH),
  matchNot(iifname, 'lo'),
  goto('input_error'),
];

/** Chains that input goes to. */
export function underlayChains(item: RuleSetItem): ChainSpec[] {
  return [
    chain('vxlan_inside', [
      // The type first: behind a VLAN tag the source is elsewhere.
      [
        'a container of the node that sends it',
        match(vxlanInnerType, ETH_P_IP),
        inSet([ipSaddr, maskedTo(vxlanInnerSaddr, item.blockPrefixLength.v4)], SETS.vxlanBlock),
        accept,
      ],
      [
        'the node that sends it, as a gateway',
        match(vxlanInnerType, ETH_P_IP),
        inSet([ipSaddr, vxlanInnerSaddr], SETS.vxlanSystem),
        accept,
      ],
      ['not an address of the node that sends it', drop],
    ]),
    chain('input_vxlan', [
      ['VXLAN comes by the underlay link', notUnderlay(item), drop],
      // By others it may come from whatever shares the address of a node.
      ['VXLAN comes to the address that nodes know', notInSet([ipDaddr], SETS.node), drop],
      ['a node on our segment', inSet([ipSaddr, etherSaddr], SETS.vxlanPeer), goto('vxlan_inside')],
      ['a node behind a router', inSet([ipSaddr], SETS.vxlanRouted), goto('vxlan_inside')],
      ['VXLAN comes from nodes alone', drop],
    ]),
    // A node's outer packets ask no router to refuse them; who says one did wants the path narrow, for all packets to that node.
    chain('input_error', [
      ...HEADER_WORDS.map(
        (words): Line => [
          'ICMP errors about VXLAN of this node',
          match(quotedStart, 0x40 + words),
          match(quotedProtocol, IPPROTO_UDP),
          match(quotedDport(words), item.vxlanPort),
          drop,
        ],
      ),
      ...segmentsOf(item).map(
        (segment): Line => [
          'too large for a router, where none is between',
          match(icmpCode, ICMP_FRAG_NEEDED),
          matchPrefix(quotedDaddr, segment),
          inSet([quotedDaddr], SETS.node),
          drop,
        ],
      ),
    ]),
  ];
}
