/**
 * How many connections a pod, and all of a tenant's pods of this node, may have at a time, so that none takes the table of connections,
 * or the source ports to one destination, from all others. Asked of the first packet of a call that is allowed. Pure.
 *
 * The kernel counts by going through a list: to keep that short, connections are spread over lists by a hash, each with its share of the
 * bound. So a bound is met a little earlier than at its number: by pods that are near it. It does not count TCP flows that are closed,
 * though they stay in the table for two minutes: while that is nearly full, new flows of a tenant are rationed.
 */
import {
  ctProtoDst,
  ctShare,
  type Field,
  iifgroup,
  iifname,
  ipDaddr,
  ipSaddr,
  l4proto,
  oifgroup,
  priority,
  thDport,
} from '../../codecs/nftables/field.ts';
import { ctConfirmed, inSet, maskedTo, match, matchNot } from '../../codecs/nftables/match.ts';
import type { NftSet } from '../../codecs/nftables/set.ts';
import { goto, overConnections, overRate } from '../../codecs/nftables/statement.ts';
import { POD_GROUP } from '../../ownership.ts';
import type { RuleSetItem } from '../../state.ts';
import { portsToOneDestination, rationOf, sharesOf } from '../common.ts';
import { type ChainSpec, chain, type Line } from './chain-spec.ts';
import { identification } from './identity.ts';
import { FLOW_SETS, SETS } from './sets.ts';

/** Connections in a list: to go through it costs as much as some packets do. */
const PER_LIST = 256;
const MOST_LISTS = 256;
const IPPROTO_ICMP = 1;
const TO_ONE = 'limit ports to one destination';

/** Chains to go to with a call that is allowed: `begin` within the cluster or to the node, `begin_beyond` beyond. They end in `leave`. */
export function flowBounds(item: RuleSetItem): ChainSpec[] {
  const { identifyTenant } = identification(item.blockPrefixLength.v4);
  const pod = sharesOf(item.flows.ofPod, PER_LIST, MOST_LISTS);
  const tenant = sharesOf(item.flows.ofTenant, PER_LIST, MOST_LISTS);
  /** What comes in has a limit of its own: else peers and gateways could keep a tenant from beginning any. */
  const tenantLimit = (flows: NftSet) => overConnections([priority, ctShare(tenant.shares)], flows, tenant.each);
  const ofPod = overConnections([iifname, ctShare(pod.shares)], FLOW_SETS.ofPod, pod.each);
  const overRation = (rations: NftSet) => [
    inSet([maskedTo(ipSaddr, 1)], SETS.crowded),
    overRate([priority], rations, rationOf(item)),
  ];
  // Where others have translated it, as it goes out: several names of one destination share its ports. Queries of ICMP have a type instead.
  const toDestination = (port: Field) =>
    overConnections([priority, ipDaddr, l4proto, port], FLOW_SETS.toDestination, portsToOneDestination(item));
  const outwards = matchNot(oifgroup, POD_GROUP);
  const counted: readonly Line[] = [
    ['flows count at their first packet', ctConfirmed, goto('leave')],
    ['from another node', matchNot(iifgroup, POD_GROUP), goto('begin_here')],
    ['limit flows of the pod', ofPod, goto('refuse_flow_out')],
    ...identifyTenant(ipSaddr, 'tenant of the caller'),
    ['limit flows of the tenant', tenantLimit(FLOW_SETS.ofTenant), goto('refuse_flow_out')],
    ['ration new flows of the tenant', ...overRation(FLOW_SETS.rations), goto('refuse_flow_out')],
  ];
  const allowed: Line = ['allowed', goto('leave')];
  return [
    // Many nodes can call one, and gateways bring the whole world's calls: what comes in is bounded where it arrives, too.
    chain('begin_here', [
      ...identifyTenant(ipDaddr, 'tenant of the pod that is called'),
      ['limit flows to the tenant', tenantLimit(FLOW_SETS.toTenant), goto('refuse_flow_in')],
      ['ration new flows to the tenant', ...overRation(FLOW_SETS.rationsTo), goto('refuse_flow_in')],
      allowed,
    ]),
    chain('begin', [...counted, allowed]),
    chain('begin_beyond', [
      ...counted,
      // Not of calls to this node, which go out by no link.
      [TO_ONE, outwards, matchNot(l4proto, IPPROTO_ICMP), toDestination(thDport), goto('refuse_flow_out')],
      [TO_ONE, outwards, match(l4proto, IPPROTO_ICMP), toDestination(ctProtoDst('original')), goto('refuse_flow_out')],
      allowed,
    ]),
  ];
}
