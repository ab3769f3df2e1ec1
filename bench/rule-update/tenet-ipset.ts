/** Tenet's ipset side of the comparisons: the product's own classes and socket, and the set type that its iptables backend uses most. */
import { parseIp } from '../../dataplane/address.ts';
import { IptablesIsolation } from '../../dataplane/backends/iptables/iptables-isolation.ts';
import { Ipset, type IpsetChange, type IpsetSpec } from '../../dataplane/codecs/ipset/ipset.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import type { BenchNamespace } from '../namespace.ts';
import { addressOf, type Contestant, linkOf, OPERATIONS } from './contestant.ts';
import { backendContestant } from './tenet-backend.ts';

export const TENET_IPSET = 'Tenet (ipset)';
export const IPSET_SPEC: IpsetSpec = {
  name: 'tenet-bench',
  type: 'hash:net,iface',
  maxElements: 262_144,
  hashSize: 131_072,
};

/** Some hundred in one turn: each takes microseconds. */
const TURNS = 210;

/** Adds a member to the set, and deletes it. */
export const ipsetElement: Contestant = {
  name: TENET_IPSET,
  prepare: (namespace, existing) => {
    const { ipset, close } = openIpset(namespace);
    ipset.create(IPSET_SPEC);
    ipset.change(ipsetAdditions(existing));
    const change = (op: IpsetChange['op']) => [{ op, set: IPSET_SPEC, member: memberOf(existing) }];
    const [add, del] = [change('add'), change('del')];
    const operations = {
      [OPERATIONS.add]: () => ipset.change(add),
      [OPERATIONS.delete]: () => ipset.change(del),
    };
    return { subject: { name: TENET_IPSET, turns: TURNS, operations }, close };
  },
};

/** The iptables backend, its rules and sets written beforehand. */
export const iptablesBackend = backendContestant(TENET_IPSET, (namespace) => {
  const { ipset, close } = openIpset(namespace);
  const rtnetlink = new Rtnetlink(new NetlinkConnection(namespace.run(() => new NetlinkSocket(NETLINK_ROUTE))));
  const isolation = new IptablesIsolation(ipset, rtnetlink);
  const closeAll = () => {
    rtnetlink.close();
    close();
  };
  return { apply: (changes, desired) => isolation.apply(changes, desired), close: closeAll };
});

/** So many members to come. */
export function ipsetAdditions(count: number): IpsetChange[] {
  return Array.from({ length: count }, (_, index) => ({ op: 'add', set: IPSET_SPEC, member: memberOf(index) }));
}

const memberOf = (index: number) => ({ address: parseIp(addressOf(index)), link: linkOf(index) });

export function openIpset(namespace: BenchNamespace): { readonly ipset: Ipset; readonly close: () => void } {
  const connection = new NetlinkConnection(namespace.run(() => new NetlinkSocket(NETLINK_NETFILTER)));
  return { ipset: new Ipset(connection), close: () => connection.close() };
}
