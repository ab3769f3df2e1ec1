/** What rules say whichever backend they are written for. Pure. */
import { type IpPrefix, parsePrefix } from '../address.ts';
import type { ElementItem, RuleSetItem } from '../state.ts';

/** Where packets that were refused are shown: a group of nfnetlink_log, and what each is marked with. Hardly one of anybody else's. */
export const REFUSALS = {
  group: 0x7e4e,
  egress: 'tenet egress',
  ingress: 'tenet ingress',
  egressFlows: 'tenet egress flows',
  ingressFlows: 'tenet ingress flows',
  perSecond: 5,
  burst: 10,
} as const;

/** Networks no container's packet is for: this-network, loopback, link-local (metadata services), multicast and reserved. */
const NEVER_BEYOND = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(parsePrefix);

/**
 * What can share the node's address with others, because an answer says by a port, or an identifier, whose it is: IPPROTO numbers by
 * name, the most frequent first. Anything else that the node sent for a pod would take all that the destination sends to the node.
 */
export const SHARES_ADDRESS = { tcp: 6, udp: 17, icmp: 1, sctp: 132 } as const;
/** Those of them with ports, which one end alone names: an ICMP query's identifier is never a call's. */
export const HAS_PORTS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** IPv4 pools of container addresses. */
export function poolsOf(rules: RuleSetItem): IpPrefix[] {
  return rules.pools.filter(isIpv4);
}

/** IPv4 networks that are never beyond the cluster. */
export function closedNetworks(rules: RuleSetItem): IpPrefix[] {
  return [...poolsOf(rules), ...rules.platformNetworks.filter(isIpv4), ...NEVER_BEYOND];
}

/** The underlay's own subnet, where it is of IPv4. */
export function segmentsOf({ segment }: RuleSetItem): IpPrefix[] {
  return [segment].filter(isIpv4);
}

/** Of the family for which there are no sets yet? */
export function isIpv6Element({ fields }: ElementItem): boolean {
  return fields.some((field) => typeof field === 'string' && field.includes(':') && !isMac(field));
}

/**
 * A rule's comment with a hash of what the rule does: a rule that was changed, or is of another version, is known by its comment.
 * @param rule all that the rule does, as text
 */
export function signedComment(comment: string, rule: string): string {
  // FNV-1a: told apart must be versions and slips, not attacks.
  let hash = 0x811c9dc5;
  for (let i = 0; i < rule.length; i++) hash = Math.imul(hash ^ rule.charCodeAt(i), 0x01000193) >>> 0;
  return `${comment} #${hash.toString(16).padStart(8, '0')}`;
}

function isMac(field: string): boolean {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(field);
}

function isIpv4(prefix: IpPrefix): boolean {
  return !prefix.includes(':');
}

/** Half of the ports that are pods': so many flows to one destination may the pods of one tenant have. */
export function portsToOneDestination({ masqueradePorts: { from, to } }: RuleSetItem): number {
  return Math.floor((to - from + 1) / 2);
}

/**
 * Splits a bound into equal shares, a power of 2 of them.
 * @param each aimed at, of one share @param most shares
 */
export function sharesOf(
  bound: number,
  each: number,
  most: number,
): { readonly shares: number; readonly each: number } {
  const shares = Math.min(most, 2 ** Math.max(0, Math.ceil(Math.log2(bound / each))));
  return { shares, each: Math.ceil(bound / shares) };
}

/** So long a TCP flow that is closed stays in the table, and in no count. @see net.netfilter.nf_conntrack_tcp_timeout_time_wait */
const CLOSED_SECONDS = 120;

/** New flows of a tenant in a second while the table is nearly full: with closed ones they are no more than it may have of open ones. */
export function rationOf({ flows: { ofTenant } }: RuleSetItem): number {
  return Math.ceil(ofTenant / CLOSED_SECONDS);
}
