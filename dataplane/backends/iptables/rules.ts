/**
 * The rules as iptables has them: a fixed number, in chains of our own, each table's entered by one jump per hook. Which ends may
 * talk is in the sets alone. What is not dropped returns: others' rules come after ours. Pure.
 *
 *   raw PREROUTING     TENET-RAW      guard: is this source the link's own?   TENET-POD-SRC, TENET-OVL-SRC
 *   mangle FORWARD     TENET-FORWARD  from a pod:      reply? known? allowed? TENET-FROM-POD ─► TENET-TO-CLUSTER, TENET-BEYOND
 *                                     from an overlay: only to pods           TENET-FROM-OVL ─► TENET-TO-POD
 *                                     from elsewhere:  only answers to egress TENET-ELSEWHERE
 *   mangle INPUT       TENET-INPUT    pods and overlays reach nothing of the node but what it asked for; VXLAN comes from nodes alone
 *   mangle POSTROUTING TENET-SENT     the node sends into no tenant's overlay
 *   nat POSTROUTING    TENET-NAT      what leaves the cluster takes the node's address, and a port that is no one else's there
 *
 * Not in table filter, where others accept: what they let pass there comes after ours. What a pod may be sent bears the sign that its
 * link asks for (admission.ts), so that a packet that meets no rule of ours, for whatever reason, gets to none.
 * The same decisions as isolation/rules.ts in other words: where that looks an identity up, this asks for (network, link) pairs.
 */

import { overlayLinkName } from '../../ownership.ts';
import type { RuleSetItem } from '../../state.ts';
import { HAS_PORTS, poolsOf, SHARES_ADDRESS } from '../common.ts';
import { ADMITTED } from './admission.ts';
import { PORTLESS_PACKET, SOUND_OWN_PACKET, SOUND_PACKET, SOUND_POD_PACKET } from './bytecode.ts';
import { chain, type TableRules } from './chain-rules.ts';
import { FIRST_PACKET, flowBounds } from './flow-bounds.ts';
import { call, DROP, goto, inSet, type Line, notInSet, program, RETURN } from './line.ts';
import { byPort, refusal } from './policy-rules.ts';
import type { PortSetRanges } from './port-table.ts';
import { IPSETS } from './sets.ts';
import { toVxlan, underlayChains, vxlanForOthers, vxlanUntracked } from './underlay-rules.ts';

const POD = 'tnp+';
const OVERLAY = 'tnt+';
const fromPod = `-i ${POD}`;
const fromOverlay = `-i ${OVERLAY}`;
const toPod = `-o ${POD}`;
const toOverlay = `-o ${OVERLAY}`;
/** Others' packets with an address of the node's as their source come no further than the kernel's own check of sources. */
const fromNode = '-m addrtype --src-type LOCAL';
const ADMIT = goto('ADMIT');
const answers = '-m conntrack --ctdir REPLY --ctstate RELATED,ESTABLISHED';
/** An ICMP error about no flow we know: forged, or too late to matter. */
const strayIcmp = '-p icmp -m conntrack --ctstate INVALID';
const portless = program(PORTLESS_PACKET);

/**
 * For IPv4, in the order in which tables are to be written: what decides before what guards.
 * @param portSets whose lists there are: a few rules for each
 */
export function compileIpv4(item: RuleSetItem, portSets: PortSetRanges): TableRules[] {
  const { from, to } = item.masqueradePorts;
  return [
    {
      table: 'mangle',
      chains: [
        chain('REFUSE-OUT', refusal('egress', 'src')),
        chain('REFUSE-IN', refusal('ingress', 'dst')),
        chain('ADMIT', [
          ['admitted: the link of the pod lets this class in', `-j CLASSIFY --set-class ${className(ADMITTED)}`],
        ]),
        ...flowBounds(item),
        chain('ADMIT-CALL', [
          ['count flows from other nodes', fromOverlay, FIRST_PACKET, call('FLOWS-HERE')],
          ['allowed', ADMIT],
        ]),
        chain('CALL-IN', byPort('ingress', 'src,dst', 'dst', portSets, goto('ADMIT-CALL'))),
        chain('CALL-OUT', byPort('egress', 'dst,src', 'dst', portSets, RETURN)),
        chain('ANSWER-IN', byPort('egress', 'src,dst', 'src', portSets, ADMIT)),
        chain('ANSWER-OUT', byPort('ingress', 'dst,src', 'src', portSets, RETURN)),
        chain('REPLY-TO-POD', [
          ['pair allowed at every port', inSet(IPSETS.egress, 'src,dst'), ADMIT],
          ['pair not allowed', notInSet(IPSETS.egressSome, 'src,dst'), DROP],
          ['check the port', goto('ANSWER-IN')],
        ]),
        chain('TO-POD', [
          ['pair allowed at every port', inSet(IPSETS.ingress, 'src,dst'), goto('ADMIT-CALL')],
          ['pair not allowed', notInSet(IPSETS.ingressSome, 'src,dst'), goto('REFUSE-IN')],
          ['check the port', goto('CALL-IN')],
        ]),
        chain('TO-CLUSTER', [
          ['pods call nothing in the system overlay', `-o ${overlayLinkName(1)}`, goto('REFUSE-OUT')],
          ['count flows', FIRST_PACKET, call('FLOWS')],
          ['a pod of this node', toPod, goto('TO-POD')],
          ['a pod of another node', toOverlay, RETURN],
          ['an address of the cluster on another link', DROP],
        ]),
        chain('BEYOND', [
          ['no pod or overlay is beyond the cluster', toPod, goto('REFUSE-OUT')],
          ['no pod or overlay is beyond the cluster', toOverlay, goto('REFUSE-OUT')],
          ['a protocol without ports cannot share the address of the node', portless, goto('REFUSE-OUT')],
          ['a packet of no flow would keep the address of the pod', '-m conntrack --ctstate INVALID,UNTRACKED', DROP],
          ['VXLAN in the name of the node', toVxlan(item), goto('REFUSE-OUT')],
          ['count flows', FIRST_PACKET, call('FLOWS')],
          ['count flows to one destination', FIRST_PACKET, call('FLOWS-BEYOND')],
          ['exception: open to every pod', inSet(IPSETS.exception, 'dst,dst'), goto('CALL-OUT')],
          ['pods may not call nodes', inSet(IPSETS.node, 'dst'), goto('REFUSE-OUT')],
          ['never beyond the cluster', inSet(IPSETS.closed, 'dst'), goto('REFUSE-OUT')],
          ['the tenant may use the internet', inSet(IPSETS.internet, 'src,src'), goto('CALL-OUT')],
          ['all else is refused', goto('REFUSE-OUT')],
        ]),
        chain('ANSWERED', [
          ['a pod of this node', toPod, goto('REPLY-TO-POD')],
          ['a caller elsewhere', RETURN],
        ]),
        chain('POD-REPLY', [
          ['pair allowed at every port', inSet(IPSETS.ingress, 'dst,src'), goto('ANSWERED')],
          ['pair not allowed', notInSet(IPSETS.ingressSome, 'dst,src'), DROP],
          ['check the port', call('ANSWER-OUT')],
          ['allowed', goto('ANSWERED')],
        ]),
        chain('FROM-POD', [
          ['answers', answers, goto('POD-REPLY')],
          ['ICMP errors without a flow', strayIcmp, DROP],
          ['pair allowed at every port', inSet(IPSETS.egress, 'dst,src'), goto('TO-CLUSTER')],
          ['no address that the pod may call in the cluster', notInSet(IPSETS.egressSome, 'dst,src'), goto('BEYOND')],
          ['check the port', call('CALL-OUT')],
          ['allowed', goto('TO-CLUSTER')],
        ]),
        chain('FROM-OVL', [
          ['an overlay delivers to pods alone', `! ${toPod}`, DROP],
          ['answers', answers, goto('REPLY-TO-POD')],
          ['ICMP errors without a flow', strayIcmp, DROP],
          ['calls', goto('TO-POD')],
        ]),
        chain('ELSEWHERE', [
          ...poolsOf(item).map(
            (pool): Line => ['answers of pods never come from elsewhere', `-m conntrack --ctreplsrc ${pool}`, DROP],
          ),
          // Whatever translated the pod's address, and whatever a program of the node listens on: a call to the node is never a pod's.
          ['calls are no answers', '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN', DROP],
          ...Object.keys(HAS_PORTS).map(
            (protocol): Line => [
              'not to a port reserved for pods',
              `-p ${protocol} -m conntrack ! --ctrepldstport ${from}:${to}`,
              DROP,
            ],
          ),
          ['a protocol without ports cannot share the address of the node', portless, DROP],
          ['ICMP errors come from anywhere on the way', '-p icmp', answers, ADMIT],
          ['answers from beyond the cluster', answers, goto('ANSWER-IN')],
          ['calls from elsewhere', DROP],
        ]),
        chain(
          'FORWARD',
          [
            ['from a pod', fromPod, goto('FROM-POD')],
            ['from an overlay', fromOverlay, goto('FROM-OVL')],
            ['to a pod', toPod, goto('ELSEWHERE')],
            ['into an overlay', toOverlay, DROP],
            ...vxlanForOthers(item),
          ],
          'FORWARD',
        ),
        chain('IN-POD', [
          ['answers to the node', answers, RETURN],
          ['count flows', FIRST_PACKET, call('FLOWS')],
          ['exception: open to every pod', inSet(IPSETS.exception, 'dst,dst'), goto('CALL-OUT')],
          ['the node is closed', goto('REFUSE-OUT')],
        ]),
        chain('IN-OVL', [
          ['answers to a gateway', answers, RETURN],
          ['the node is closed', DROP],
        ]),
        ...underlayChains(item),
        chain(
          'INPUT',
          [
            ['from a pod', fromPod, goto('IN-POD')],
            ['from an overlay', fromOverlay, goto('IN-OVL')],
            ['VXLAN', toVxlan(item), goto('IN-VXLAN')],
            ['ICMP errors', '! -i lo', '-p icmp', goto('IN-ERROR')],
          ],
          'INPUT',
        ),
        // After all that rewrites where a packet of the node's own goes to. What is forwarded into an overlay has a pod's source.
        chain(
          'SENT',
          [
            ['the node calls its pods', toPod, fromNode, ADMIT],
            ['calls of the gateway itself', `-o ${overlayLinkName(1)}`, RETURN],
            ['nodes send nothing into overlays but as gateways', toOverlay, notInSet(IPSETS.pools, 'src'), DROP],
          ],
          'POSTROUTING',
        ),
      ],
    },
    {
      table: 'raw',
      chains: [
        chain('POD-SRC', [
          [
            'its own address and the MAC it chose',
            inSet(IPSETS.ownMac, 'src,src'),
            inSet(IPSETS.macs, 'src,src'),
            program(SOUND_POD_PACKET),
            RETURN,
          ],
          [
            'its own address, and the MAC that goes with it',
            inSet(IPSETS.pod, 'src,src'),
            program(SOUND_OWN_PACKET),
            RETURN,
          ],
          ['forged, or TTL too small to be forwarded', DROP],
        ]),
        chain('OVL-SRC', [
          [
            'gateways send from their own nodes alone',
            inSet(IPSETS.system, 'src'),
            notInSet(IPSETS.gateways, 'src,src'),
            DROP,
          ],
          ['a sender of this overlay', inSet(IPSETS.overlay, 'src,src'), program(SOUND_PACKET), RETURN],
          ['forged', DROP],
        ]),
        chain(
          'RAW',
          [
            ['from a pod', fromPod, goto('POD-SRC')],
            ['from an overlay', fromOverlay, goto('OVL-SRC')],
            ['pods and gateways never come from elsewhere', '! -i lo', inSet(IPSETS.pools, 'src'), DROP],
            vxlanUntracked(item),
          ],
          'PREROUTING',
        ),
        chain('RAW-OUT', [vxlanUntracked(item)], 'OUTPUT'),
      ],
    },
    {
      table: 'nat',
      chains: [
        chain('SHARE-ADDR', [
          ...Object.keys(SHARES_ADDRESS).map(
            (protocol): Line => [
              'with a port reserved for pods',
              `-p ${protocol} -j MASQUERADE --to-ports ${from}-${to} --random-fully`,
            ],
          ),
          ['of the node itself, from its address in the system overlay', '-j MASQUERADE'],
        ]),
        chain(
          'NAT',
          [
            ['the node talks to itself', '-o lo', RETURN],
            ['addresses inside the cluster stay', toPod, RETURN],
            ['addresses inside the cluster stay', toOverlay, RETURN],
            ['beyond the cluster: the address of the node', inSet(IPSETS.pools, 'src'), goto('SHARE-ADDR')],
          ],
          'POSTROUTING',
        ),
      ],
    },
  ];
}

/** For IPv6: pods have none yet, so that nothing of theirs passes. */
export function compileIpv6(item: RuleSetItem): TableRules[] {
  return [
    {
      table: 'mangle',
      chains: [
        chain(
          'FORWARD',
          [
            ['to a pod', toPod, DROP],
            ['into an overlay', toOverlay, DROP],
          ],
          'FORWARD',
        ),
        chain('INPUT', [['VXLAN comes from nodes alone', toVxlan(item), DROP]], 'INPUT'),
        chain('SENT', [['the node sends nothing into overlays', toOverlay, DROP]], 'POSTROUTING'),
      ],
    },
    {
      table: 'raw',
      chains: [
        chain(
          'RAW',
          [
            ['from a pod', fromPod, DROP],
            ['from an overlay', fromOverlay, DROP],
          ],
          'PREROUTING',
        ),
      ],
    },
  ];
}

/** As iptables takes a packet's priority: two halves, in hexadecimal. */
function className(priority: number): string {
  return `${(priority >>> 16).toString(16)}:${(priority & 0xffff).toString(16)}`;
}
