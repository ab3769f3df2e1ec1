/**
 * The ipsets behind the iptables rules, by name. Sets grow by themselves; what one set cannot hold is a list of sets. Pure.
 * @see net/netfilter/ipset/ip_set_bitmap_ipmac.c: 65,536 addresses at most; ip_set_hash_gen.h, AHASH_MAX_TUNED: links of one network share
 * a bucket, and once one holds 64 the set takes nothing that needs a larger bucket
 */
import { parsePrefix } from '../../address.ts';
import type { IpsetSpec } from '../../codecs/ipset/member.ts';

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
  /** (network, pod link): what a pod may call at every port, and what may be allowed some by what follows */
  egress: list('egress'),
  egressSome: list('egress-some'),
  /** (address, network or everywhere, pod link): what may be called at every port, whatever its identity */
  egressHosts: list('egress-hosts'),
  egressNets: list('egress-n1'),
  egressAny: list('egress-a1'),
  /** (network, pod link): who may call a pod, likewise */
  ingress: list('ingress'),
  ingressSome: list('ingress-some'),
  ingressHosts: list('ingress-hosts'),
  ingressNets: list('ingress-n1'),
  ingressAny: list('ingress-a1'),
  /** (address, pod link): what was refused is counted */
  refused: { ...hash('hash:net,iface', 'refused'), counters: true },
  /** (address, pod link): may go beyond the cluster */
  internet: hash('hash:net,iface', 'internet'),
  /** halves of all addresses: new flows from there and to there are rationed */
  crowded: hash('hash:net', 'crowded'),
  pools: hash('hash:net', 'pools'),
  /** never beyond the cluster */
  closed: hash('hash:net', 'closed'),
  node: hash('hash:ip', 'node'),
  /** addresses of gateways and manage nodes in the system overlay */
  system: hash('hash:ip', 'system'),
  vxlanRouted: hash('hash:ip', 'vxlan-routed'),
  /** (address, MAC) of nodes on our own segment */
  vxlanPeers: list('vxlan-peers'),
  /** (system address, MAC of its node's overlay links) of gateways and manage nodes elsewhere */
  gateways: list('gateways'),
  exception: hash('hash:ip,port', 'exception'),
} as const satisfies Record<string, IpsetSpec>;

type Direction = 'egress' | 'ingress';
/**
 * Lists whose sets hold (network, link): a letter and a port set's number are those that may meet at its ports, `p` by identity,
 * `n` by network, `a` anywhere. And those whose sets hold (address, MAC).
 */
export type LinkList = 'overlay' | Direction | `${Direction}-${'some' | 'hosts' | `${'p' | 'n' | 'a'}${number}`}`;
export type MacList = 'macs' | 'vxlanPeers' | 'gateways';

/** Does the longest prefix count in this list, so that all prefixes of a link are in one set? */
export function countsLongestPrefix(of: LinkList): boolean {
  return /-n\d+$/.test(of);
}

/**
 * Links that may share a set of the list. Where a network is found, but with another link, the kernel looks for no larger one: so links
 * share only sets in which all networks are disjoint.
 * @see net/netfilter/ipset/ip_set_hash_gen.h, mtype_test_cidrs
 */
export function linksPerSet(of: LinkList): number {
  return countsLongestPrefix(of) ? 1 : LINKS_PER_SET;
}

/** The lists of a port set. */
export function portSetLists(portSet: number): IpsetSpec[] {
  return (['egress', 'ingress'] as const).flatMap((direction) =>
    (['p', 'n', 'a'] as const).map((kind) => listOf(`${direction}-${kind}${portSet}`)),
  );
}

export function listOf(of: LinkList): IpsetSpec {
  return remembered(`${SET_PREFIX}${of}`, () => list(of));
}

const listed = new Map<string, IpsetSpec>(Object.values(IPSETS).map((set) => [set.name, set]));

/** One of the sets of a list, by its number: each is for {@link LINKS_PER_SET} links. */
export function linkSet(of: LinkList, number: number): IpsetSpec {
  return remembered(`${SET_PREFIX}${of}-${number}`, (name) => ({
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
  const pattern = /^tenet-(overlay|(?:egress|ingress)(?:-some|-hosts|-[pna]\d{1,10})?)-(\d{1,6})$/;
  const [, of, number] = pattern.exec(name) ?? [];
  return of === undefined ? undefined : { list: of as LinkList, number: Number(number) };
}

/** One object for one name: what is written for a set is kept by it. */
function remembered(name: string, make: (name: string) => IpsetSpec): IpsetSpec {
  const known = listed.get(name);
  if (known !== undefined) return known;
  const made = make(name);
  listed.set(name, made);
  return made;
}
