/**
 * How Tenet recognises its own kernel objects, and leaves all others alone: link name prefixes and device groups, a protocol
 * of routes and neighbours, a table. A new kind of object is added here first. Pure.
 */
import { parseMac } from './address.ts';

/** Host end of a container's veth: `tnp` + the endpoint's 12 hex digits = 15 bytes, all that IFNAMSIZ allows. */
export const POD_LINK_PREFIX = 'tnp';
/** VXLAN link of one tenant: `tnt` + VNI. */
export const OVERLAY_LINK_PREFIX = 'tnt';
/** IFLA_GROUP of pod links: one comparison in a rule tells them from all others. */
export const POD_GROUP = 0x7e4f;
/** IFLA_GROUP of overlay links. */
export const OVERLAY_GROUP = 0x7e4e;
/** rtm_protocol of every route Tenet writes; not one of include/uapi/linux/rtnetlink.h's or iproute2's rt_protos. */
export const ROUTE_PROTOCOL = 0x7e;
/** NDA_PROTOCOL of neighbours that Tenet keeps on links that are not its own: numbers of routes, by the same names. */
export const NEIGHBOUR_PROTOCOL = 0x7e;
/** MAC of every pod link's host end: all that a pod ever sends to. */
export const HOST_END_MAC = parseMac('0a:58:a9:fe:01:01');
/** The one nftables table, family inet. */
export const NFT_TABLE = 'tenet';
/** The program at pod links' ingress that bounds fragments, as `bpftool net` and `tc filter show` name it. */
export const FRAGMENT_PROGRAM = 'tenet_fragments';
/** What every pod sees as its gateway and as the source of its node's probes. @see RFC 3927 */
export const POD_GATEWAY = '169.254.1.1';

export function podLinkName(endpointId: string): string {
  return `${POD_LINK_PREFIX}${endpointId}`;
}

export function overlayLinkName(vni: number): string {
  return `${OVERLAY_LINK_PREFIX}${vni}`;
}

export function isPodLink(name: string): boolean {
  return /^tnp[0-9a-f]{12}$/.test(name);
}

export function isOverlayLink(name: string): boolean {
  return /^tnt[1-9]\d{0,7}$/.test(name);
}

/** On a link of ours every permanent neighbour is ours; on another's those that say so. */
export function isOurNeighbour(link: string, protocol: number): boolean {
  return isPodLink(link) || isOverlayLink(link) || protocol === NEIGHBOUR_PROTOCOL;
}
