/** Tenet's side of the rule update comparison: the product's own batch, client and socket, nothing made for the occasion. */
import { NetlinkConnection } from '../dataplane/netlink/connection.ts';
import { Nftables } from '../dataplane/nftables/nftables.ts';
import type { NftSet } from '../dataplane/nftables/set.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../dataplane/system/netlink-socket.ts';
import type { BenchNamespace } from './namespace.ts';
import { addressOf, type Contestant, linkOf } from './rule-update-contestant.ts';

export const TENET = 'Tenet (netlink)';

/** Made to size at once, as all of Tenet's are: with room for more than there will be. */
const SIZE = 262_144;
const TABLE = { family: 'inet', table: 'bench' } as const;
export const SET: NftSet = { ...TABLE, name: 'pod_address4', key: ['ifname', 'ipv4_addr'], size: SIZE };

/** Some hundred in one turn: each takes microseconds. */
const TURNS = 210;

/** Adds an element to the set, and deletes it. */
export const tenetContestant: Contestant = {
  name: TENET,
  prepare: (namespace, existing) => {
    const { nftables, close } = fill(namespace, existing);
    const element = [{ key: [linkOf(existing), addressOf(existing)] }];
    const operations = {
      add: () => nftables.transaction((batch) => batch.addElements(SET, element, 'create')),
      delete: () => nftables.transaction((batch) => batch.deleteElements(SET, element)),
    };
    return { subject: { name: TENET, turns: TURNS, operations }, close };
  },
};

/** Makes the table, and its set with so many elements. */
export function fill(
  namespace: BenchNamespace,
  existing: number,
): { readonly nftables: Nftables; readonly close: () => void } {
  const connection = new NetlinkConnection(namespace.run(() => new NetlinkSocket(NETLINK_NETFILTER)));
  const nftables = new Nftables(connection);
  const elements = Array.from({ length: existing }, (_, index) => ({ key: [linkOf(index), addressOf(index)] }));
  nftables.transaction((batch) => {
    batch.addTable(TABLE);
    batch.addSet(SET);
    batch.addElements(SET, elements);
  });
  return { nftables, close: () => connection.close() };
}
