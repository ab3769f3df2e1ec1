/**
 * The ipsets behind the iptables rules, by name. Sets grow by themselves; what one set cannot hold is a list of sets. Pure.
 * @see net/netfilter/ipset/ip_set_bitmap_ipmac.c: 65,536 addresses at most; ip_set_hash_gen.h, AHASH_MAX_TUNED: links of one network share
 * a bucket, and once one holds 64 the set takes nothing that needs a larger bucket
 */
import { parsePrefix } from '../address.ts';
import type { IpsetSpec } from '../ipset/member.ts';

/** Of every set of ours. */
export const SET_PREFIX = 'tenet-';
/** Links whose members share a set: no network can be there more often. Two fewer than the kernel can bear. */
export const LINKS_PER_SET = 60;
const MAX_ELEMENTS = 1_048_576;

const hash = (type: 'hash:net' | 'hash:ip' | 'hash:net,iface' | 'hash:ip,port', name: string): IpsetSpec => ({
  name: `${SET_PREFIX}${name}`,
  type,
  maxElements: MAX_ELEMENTS,
});
const list = (name: string): IpsetSpec => ({ name: `${SET_PREFIX}${name}`, type: 'list:set' });

/** Those that rules name: always there. */
export const IPSETS = {
  /** (address, pod link): the only source that may come out of a pod */
  pod: hash('hash:net,iface', 'pod'),
  /** of those, pods that chose their own MAC */
  ownMac: hash('hash:net,iface', 'own-mac'),
  /** (address, MAC) of these */
  macs: list('macs'),
  /** (network, overlay link): who may come out of an overlay */
  overlay: list('overlay'),
  /** (network, pod link): whom a pod may call */
  egress: list('egress'),
  /** (network, pod link): who may call a pod */
  ingress: list('ingress'),
  /** (address, pod link): may go beyond the cluster */
  internet: hash('hash:net,iface', 'internet'),
  pools: hash('hash:net', 'pools'),
  /** never beyond the cluster */
  closed: hash('hash:net', 'closed'),
  node: hash('hash:ip', 'node'),
  /** addresses of gateways and manage nodes in the system overlay */
  system: hash('hash:ip', 'system'),
  vxlanRouted: hash('hash:ip', 'vxlan-routed'),
  /** (address, MAC) of nodes on our own segment */
  vxlanPeers: list('vxlan-peers'),
  exception: hash('hash:ip,port', 'exception'),
} as const satisfies Record<string, IpsetSpec>;

const LINK_LISTS = ['overlay', 'egress', 'ingress'] as const;
/** Lists whose sets hold (network, link), and those whose sets hold (address, MAC). */
export type LinkList = (typeof LINK_LISTS)[number];
export type MacList = 'macs' | 'vxlanPeers';

const listed = new Map<string, IpsetSpec>();

/** One of the sets of a list, by its number: each is for {@link LINKS_PER_SET} links. */
export function linkSet(of: LinkList, number: number): IpsetSpec {
  return remembered(`${IPSETS[of].name}-${number}`, (name) => ({
    name,
    type: 'hash:net,iface',
    maxElements: MAX_ELEMENTS,
  }));
}

/** The set of a list that holds an IPv4 address: each is for a /16. */
export function macSet(of: MacList, address: string): IpsetSpec {
  const [a = '', b = ''] = address.split('.');
  const range = `${a}.${b}.0.0/16`;
  return remembered(`${IPSETS[of].name}-${a}.${b}`, (name) => ({
    name,
    type: 'bitmap:ip,mac',
    range: parsePrefix(range),
  }));
}

/** Which of a list's sets is it? @returns undefined for a set that is none of them */
export function linkSetPlace(name: string): { readonly list: LinkList; readonly number: number } | undefined {
  const list = LINK_LISTS.find((each) => name.startsWith(`${IPSETS[each].name}-`));
  const number = list && name.slice(IPSETS[list].name.length + 1);
  return list && number && /^\d{1,6}$/.test(number) ? { list, number: Number(number) } : undefined;
}

/** One object for one name: what is written for a set is kept by it. */
function remembered(name: string, make: (name: string) => IpsetSpec): IpsetSpec {
  const known = listed.get(name);
  if (known !== undefined) return known;
  const made = make(name);
  listed.set(name, made);
  return made;
}
