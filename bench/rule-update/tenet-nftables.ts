/** Tenet's nftables side of the rule update comparison: the product's own batch, client and socket, nothing made for the occasion. */

import { NftablesIsolation } from '../../dataplane/backends/nftables/nftables-isolation.ts';
import { Nftables } from '../../dataplane/codecs/nftables/nftables.ts';
import type { NftSet } from '../../dataplane/codecs/nftables/set.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import type { BenchNamespace } from '../namespace.ts';
import { addressOf, type Contestant, linkOf, OPERATIONS } from './contestant.ts';
import { backendContestant } from './tenet-backend.ts';

export const TENET = 'Tenet (nftables)';

/** Made to size at once, as all of Tenet's are: with room for more than there will be. */
const SIZE = 262_144;
const TABLE = { family: 'inet', table: 'bench' } as const;
export const SET: NftSet = { ...TABLE, name: 'pod_address4', key: ['ifname', 'ipv4_addr'], size: SIZE };

/** Some hundred in one turn: each takes microseconds. */
const TURNS = 210;

/** Adds an element to the set, and deletes it. */
export const nftablesElement: Contestant = {
  name: TENET,
  prepare: (namespace, existing) => {
    const { nftables, close } = fillSet(namespace, existing);
    const element = [{ key: [linkOf(existing), addressOf(existing)] }];
    const operations = {
      [OPERATIONS.add]: () => nftables.transaction((batch) => batch.addElements(SET, element, 'create')),
      [OPERATIONS.delete]: () => nftables.transaction((batch) => batch.deleteElements(SET, element)),
    };
    return { subject: { name: TENET, turns: TURNS, operations }, close };
  },
};

/** Asks for the generation's number and gets it: what a call and an answer take, of what Tenet's updates take. */
export const emptyRequest: Contestant = {
  name: 'a netlink request that changes nothing',
  prepare: (namespace) => {
    const { nftables, close } = openNftables(namespace);
    const ask = () => nftables.generationId();
    const operations = { [OPERATIONS.add]: ask, [OPERATIONS.delete]: ask };
    return { subject: { name: emptyRequest.name, turns: TURNS, operations }, close };
  },
};

export const nftablesBackend = backendContestant(TENET, openIsolation);

/** The backend over a socket in that namespace. */
export function openIsolation(namespace: BenchNamespace) {
  const { nftables, close } = openNftables(namespace);
  const isolation = new NftablesIsolation(nftables);
  const apply: NftablesIsolation['apply'] = (changes, desired) => isolation.apply(changes, desired);
  const observe: NftablesIsolation['observe'] = (desired) => isolation.observe(desired);
  return { apply, observe, ignores: isolation.ignores, close };
}

/** Makes the table, and its set with so many elements. */
export function fillSet(namespace: BenchNamespace, existing: number): OpenNftables {
  const open = openNftables(namespace);
  const elements = Array.from({ length: existing }, (_, index) => ({ key: [linkOf(index), addressOf(index)] }));
  open.nftables.transaction((batch) => {
    batch.addTable(TABLE);
    batch.addSet(SET);
    batch.addElements(SET, elements);
  });
  return open;
}

interface OpenNftables {
  readonly nftables: Nftables;
  readonly close: () => void;
}

export function openNftables(namespace: BenchNamespace): OpenNftables {
  const connection = new NetlinkConnection(namespace.run(() => new NetlinkSocket(NETLINK_NETFILTER)));
  return { nftables: new Nftables(connection), close: () => connection.close() };
}
