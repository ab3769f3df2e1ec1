/**
 * The rules: a fixed handful of chains that every packet from, to or through a pod passes, and that consult the sets. Which ends
 * may talk is in the sets alone. Everything not allowed here is dropped in silence. Pure.
 *
 *   prerouting (before all else)   guard: is this source the link's own?     pod_source, overlay_source
 *   forward    (before others')    from a pod:      reply? known? allowed?   from_pod ─► call_out ─► to_cluster ─► to_pod
 *                                                                            from_pod ─► beyond ─► call_beyond
 *                                  from an overlay: only to pods             from_overlay ─► to_pod ─► call_in
 *                                  from elsewhere:  only answers to egress   from_elsewhere
 *   input                          pods and overlays reach nothing of the node but what it asked for; VXLAN comes from nodes alone,
 *                                  each for its own
 *   output                         the node sends into no tenant's overlay
 *   postrouting (before others')   what leaves the cluster takes the node's address, and a port that is no one else's there
 *
 * Answers are judged like calls, by what is allowed now: what is no longer allowed ends with the transaction that says so.
 * An identity is looked up into `meta priority` (0: beyond the cluster), which forwarding had set from the type of service and which is put
 * back before the packet goes on. The packet's mark is never touched.
 */
import {
  CT_DIRECTIONS,
  type CtDirection,
  ctDirection,
  ctIpSaddr,
  type Field,
  iifgroup,
  iifname,
  ipDaddr,
  ipSaddr,
  l4proto,
  oifgroup,
  oifname,
  priority,
  thDport,
  thSport,
} from '../../codecs/nftables/field.ts';
import { ctState, inSet, match, matchNot, matchPrefix, notInSet } from '../../codecs/nftables/match.ts';
import { accept, drop, goto, setMeta } from '../../codecs/nftables/statement.ts';
import { OVERLAY_GROUP, OVERLAY_LINK_PREFIX, overlayLinkName, POD_GROUP, POD_LINK_PREFIX } from '../../ownership.ts';
import type { RuleSetItem } from '../../state.ts';
import { closedNetworks, poolsOf } from '../common.ts';
import { base, type ChainSpec, chain, type Line } from './chain-spec.ts';
import { flowBounds } from './flow-bounds.ts';
import { identification, LEAVE } from './identity.ts';
import { policy, ports, REFUSALS_CHAINS } from './policy-chains.ts';
import { SETS } from './sets.ts';
import { FLOWLESS, flowless, notOfPods, PORTLESS, portless, shareAddress } from './share-address.ts';
import { sourceChains } from './source-chains.ts';
import {
  icmpErrors,
  toVxlan,
  underlayChains,
  vxlanForOthers,
  vxlanInPieces,
  vxlanOfPods,
  vxlanUntracked,
} from './underlay-chains.ts';

const IPPROTO_ICMP = 1;
const SYSTEM_VNI = 1;

/**
 * Before connection tracking (-200) and before its defragmentation (-400), which does not care what link a piece came by: each is judged
 * before it meets others. @see include/uapi/linux/netfilter_ipv4.h, NF_IP_PRI_RAW_BEFORE_DEFRAG
 */
const BEFORE_DEFRAGMENTATION = -450;
/** In forward, input and output tracking is long done: early, so that what others set later stays as they set it. */
const FIRST = -300;

const fromPod = match(iifgroup, POD_GROUP);
const fromOverlay = match(iifgroup, OVERLAY_GROUP);
const toPod = match(oifgroup, POD_GROUP);
const toOverlay = match(oifgroup, OVERLAY_GROUP);
const inTracked = (direction: CtDirection) => match(ctDirection, CT_DIRECTIONS[direction]);
const answers = [inTracked('reply'), ctState('established', 'related')] as const;
const unready = (name: Field): readonly Line[] =>
  [POD_LINK_PREFIX, OVERLAY_LINK_PREFIX].map((prefix) => [
    'a link that is not set up yet',
    match(name, `${prefix}*`),
    drop,
  ]);
/** An ICMP error about no flow we know: forged, or too late to matter. */
const strayIcmp = [match(l4proto, IPPROTO_ICMP), ctState('invalid')] as const;

/** Every chain, those that are jumped to first. Each rule's comment ends in a hash by which a later run recognises it. */
export function compileRules(item: RuleSetItem): ChainSpec[] {
  const { identify, identifyTenant } = identification(item.blockPrefixLength.v4);
  const pools = poolsOf(item);
  const closed = closedNetworks(item);
  return [
    LEAVE,
    ...REFUSALS_CHAINS,
    ...flowBounds(item),
    ports('call_ports', thDport),
    ports('answer_ports', thSport),
    ...policy('call_in', { link: oifname, address: ipSaddr, direction: 'ingress', ports: 'call_ports', next: 'begin' }),
    chain('to_pod', [...identify(ipSaddr, 'identity of the caller'), ['check ingress policy', goto('call_in')]]),
    chain('to_cluster', [
      ['a pod of this node', toPod, goto('to_pod')],
      // An address of the tenant that no pod has leads there.
      ['pods call nothing in the system overlay', match(oifname, overlayLinkName(SYSTEM_VNI)), goto('refuse_out')],
      ['a pod of another node', toOverlay, goto('begin')],
      ['an address of the cluster on another link', drop],
    ]),
    ...policy('call_out', {
      link: iifname,
      address: ipDaddr,
      direction: 'egress',
      ports: 'call_ports',
      next: 'to_cluster',
    }),
    ...policy('call_beyond', {
      link: iifname,
      address: ipDaddr,
      direction: 'egress',
      ports: 'call_ports',
      next: 'begin_beyond',
    }),
    chain('beyond', [
      ['no pod or overlay is beyond the cluster', toPod, goto('refuse_out')],
      ['no pod or overlay is beyond the cluster', toOverlay, goto('refuse_out')],
      [PORTLESS, ...portless, goto('refuse_out')],
      [FLOWLESS, ...flowless, drop],
      vxlanOfPods(item),
      ['exception: open to every pod', inSet([ipDaddr, l4proto, thDport], SETS.exception), goto('call_beyond')],
      ['pods may not call nodes', inSet([ipDaddr], SETS.node), goto('refuse_out')],
      ...closed.map((prefix): Line => ['never beyond the cluster', matchPrefix(ipDaddr, prefix), goto('refuse_out')]),
      ['the tenant may use the internet', inSet([iifname], SETS.internet), goto('call_beyond')],
      ['all else is refused', goto('refuse_out')],
    ]),
    ...policy('answer_in', {
      link: oifname,
      address: ipSaddr,
      direction: 'egress',
      ports: 'answer_ports',
      next: 'leave',
    }),
    chain('to_pod_reply', [
      ...identify(ipSaddr, 'identity of the answering end'),
      ['check egress policy of the caller', goto('answer_in')],
    ]),
    chain('answered', [
      ['a pod of this node', toPod, goto('to_pod_reply')],
      ['a caller elsewhere', goto('leave')],
    ]),
    ...policy('answer_out', {
      link: iifname,
      address: ipDaddr,
      direction: 'ingress',
      ports: 'answer_ports',
      next: 'answered',
    }),
    chain('from_pod_reply', [
      ['an answer for an address of another pod', notInSet([iifname, ctIpSaddr('reply')], SETS.podAddress), drop],
      ...identify(ipDaddr, 'identity of the caller'),
      ['check ingress policy of the answering pod', goto('answer_out')],
    ]),
    chain('from_pod', [
      ['answers', ...answers, goto('from_pod_reply')],
      ['ICMP errors without a flow', ...strayIcmp, drop],
      [
        'ICMP errors about a flow of another pod',
        inTracked('original'),
        ctState('related'),
        notInSet([iifname, ctIpSaddr('original')], SETS.podAddress),
        drop,
      ],
      ...identify(ipDaddr, 'identity of the called end'),
      ['no address of a pod or gateway', match(priority, 0), goto('beyond')],
      ['check egress policy', goto('call_out')],
    ]),
    chain('from_overlay_reply', [
      ...identifyTenant(ctIpSaddr('reply'), 'identity of the called end'),
      [
        'answers come by the overlay of the called end',
        inSet([iifname, priority], SETS.overlaySource),
        goto('to_pod_reply'),
      ],
      ['an answer for an address of another overlay', drop],
    ]),
    chain('from_overlay', [
      ['an overlay delivers to pods alone', matchNot(oifgroup, POD_GROUP), drop],
      ['answers', ...answers, goto('from_overlay_reply')],
      ['ICMP errors without a flow', ...strayIcmp, drop],
      ['calls', goto('to_pod')],
    ]),
    // Errors about a flow come from anywhere on its way: what counts is who was called.
    ...policy('answer_beyond', {
      link: oifname,
      address: ctIpSaddr('reply'),
      direction: 'egress',
      ports: 'answer_ports',
      next: 'leave',
    }),
    chain('from_elsewhere', [
      ...pools.map(
        (pool): Line => ['answers of pods never come from elsewhere', matchPrefix(ctIpSaddr('reply'), pool), drop],
      ),
      ...notOfPods(item),
      ['identity: beyond the cluster', setMeta('priority', 0)],
      ['answers from beyond the cluster', ...answers, goto('answer_beyond')],
      ['calls from elsewhere', drop],
    ]),
    ...sourceChains(item),
    chain('input_pod', [
      ['answers to the node', ...answers, inSet([iifname, ctIpSaddr('reply')], SETS.podAddress), accept],
      ['identity: beyond the cluster', setMeta('priority', 0)],
      ['exception: open to every pod', inSet([ipDaddr, l4proto, thDport], SETS.exception), goto('call_beyond')],
      ['the node is closed', goto('refuse_out')],
    ]),
    chain('input_overlay', [
      ['calls', matchNot(ctDirection, CT_DIRECTIONS.reply), drop],
      ...identifyTenant(ctIpSaddr('reply'), 'identity of the called end'),
      [
        'answers to a gateway',
        ctState('established', 'related'),
        inSet([iifname, priority], SETS.overlaySource),
        accept,
      ],
      ['the node is closed', drop],
    ]),
    ...underlayChains(item),
    chain(
      'prerouting',
      [
        ['from a pod', fromPod, goto('pod_source')],
        ['from an overlay', fromOverlay, goto('overlay_source')],
        ...unready(iifname),
        vxlanInPieces(item),
        vxlanUntracked(item),
        ...pools.map(
          (pool): Line => [
            'pods and gateways never come from elsewhere',
            matchNot(iifname, 'lo'),
            matchPrefix(ipSaddr, pool),
            drop,
          ],
        ),
      ],
      base('filter', 'prerouting', BEFORE_DEFRAGMENTATION),
    ),
    chain(
      'forward',
      [
        ['from a pod', fromPod, goto('from_pod')],
        ['from an overlay', fromOverlay, goto('from_overlay')],
        ['to a pod', toPod, goto('from_elsewhere')],
        ['into an overlay', toOverlay, drop],
        ...unready(oifname),
        ...vxlanForOthers(item),
      ],
      base('filter', 'forward', FIRST),
    ),
    chain(
      'input',
      [
        ['from a pod', fromPod, goto('input_pod')],
        ['from an overlay', fromOverlay, goto('input_overlay')],
        ['VXLAN', ...toVxlan(item), goto('input_vxlan')],
        icmpErrors,
      ],
      base('filter', 'input', FIRST),
    ),
    chain(
      'output',
      [
        ['a gateway’s own calls', match(oifname, overlayLinkName(SYSTEM_VNI)), accept],
        [
          'a node that is gateway and compute calls from its system address',
          toOverlay,
          inSet([ipSaddr], SETS.identity),
          accept,
        ],
        ['the node sends nothing into a tenant’s overlay', toOverlay, drop],
        vxlanUntracked(item),
      ],
      base('filter', 'output', FIRST),
    ),
    ...shareAddress(item),
  ];
}
