/** The other ways of updating rules: programs that are started, told, and waited for, as most controllers do it. */

import { SETS } from '../../dataplane/backends/nftables/sets.ts';
import type { ElementItem } from '../../dataplane/state.ts';
import { addressOf, type Contestant, linkOf, OPERATIONS } from './contestant.ts';
import { additions, planNode } from './node-workload.ts';
import { IPSET_SPEC } from './tenet-ipset.ts';
import { fillSet, openIsolation, SET } from './tenet-nftables.ts';

/** One run each in a turn: they take milliseconds. */
const TURNS = 1;
const CHAIN = 'TENET-BENCH';
const IPSET = IPSET_SPEC.name;

/** `nft -f -` adding one element to the very set that Tenet uses. */
export function nftElement(name: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      // nft itself would take a minute to fill it.
      fillSet(namespace, existing).close();
      const path = `${SET.family} ${SET.table} ${SET.name}`;
      const element = `{ "${linkOf(existing)}" . ${addressOf(existing)} }`;
      const nft = (input: string) => namespace.exec(['nft', '-f', '-'], input);
      const operations = {
        [OPERATIONS.add]: () => nft(`add element ${path} ${element}\n`),
        [OPERATIONS.delete]: () => nft(`delete element ${path} ${element}\n`),
      };
      return { subject: { name, turns: TURNS, operations }, close: () => undefined };
    },
  };
}

/** `nft -f -` making the changes of an endpoint and an identity in the very table that Tenet uses. */
export function nftEndpoint(name: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      const { desired, endpoint, block } = planNode(existing);
      const isolation = openIsolation(namespace);
      isolation.apply(additions([...desired.values()]), desired);
      isolation.close();
      const nft = (lines: readonly string[]) => namespace.exec(['nft', '-f', '-'], `${lines.join('\n')}\n`);
      const all = (verb: string) => endpoint.items.map((item) => `${verb} element ${nftElementText(item)}`);
      const [own, others] = block.map(nftElementText);
      let isOwn = true;
      const operations = {
        [OPERATIONS.addEndpoint]: () => nft(all('add')),
        [OPERATIONS.deleteEndpoint]: () => nft(all('delete')),
        [OPERATIONS.changeIdentity]: () => {
          const [from, to] = isOwn ? [own, others] : [others, own];
          nft([`delete element ${from}`, `add element ${to}`]);
          isOwn = !isOwn;
        },
      };
      return { subject: { name, turns: TURNS, operations }, close: () => undefined };
    },
  };
}

/** `inet tenet egress { 0:2a . "tnp…" }` */
function nftElementText({ collection, fields, value }: ElementItem): string {
  if (collection === 'network') throw new Error('nftables has no networks');
  const set = SETS[collection];
  const keys = fields.map((field, index) => nftValueText(field, set.key[index]));
  const data = value === undefined ? '' : ` : ${nftValueText(value, 'classid')}`;
  return `${set.family} ${set.table} ${set.name} { ${keys.join(' . ')}${data} }`;
}

function nftValueText(value: string | number, type: string | undefined): string {
  if (type === 'ifname') return `"${value}"`;
  if (type !== 'classid') return String(value);
  return `${(Number(value) >>> 16).toString(16)}:${(Number(value) & 0xffff).toString(16)}`;
}

/**
 * `iptables-…-restore --noflush` appending rules to a chain of so many, deleting them by number, which spares it the search, and
 * replacing one in the middle. An endpoint is as many rules as Tenet has elements for it.
 * @param lockFile instead of the machine's own /run/xtables.lock, which is none of ours to hold
 */
export function iptablesPeer(name: string, command: string, lockFile: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      const env = { ...process.env, XTABLES_LOCKFILE: lockFile };
      const restore = (lines: string) => namespace.exec([command, '--noflush'], `*filter\n${lines}COMMIT\n`, env);
      const rule = (index: number, more = '') => `-i ${linkOf(index)} -s ${addressOf(index)}/32${more} -j ACCEPT\n`;
      const append = (index: number, more = '') => `-A ${CHAIN} ${rule(index, more)}`;
      const rules = Array.from({ length: existing }, (_, index) => append(index));
      restore(`:${CHAIN} - [0:0]\n-A FORWARD -j ${CHAIN}\n${rules.join('')}`);
      const endpoint = planNode(existing).endpoint.items.map((_, index) =>
        append(existing, ` -d ${addressOf(index)}/32`),
      );
      const middle = existing >> 1;
      let flips = 0;
      const operations = {
        [OPERATIONS.add]: () => restore(append(existing)),
        [OPERATIONS.delete]: () => restore(`-D ${CHAIN} ${existing + 1}\n`),
        [OPERATIONS.addEndpoint]: () => restore(endpoint.join('')),
        [OPERATIONS.deleteEndpoint]: () => restore(`-D ${CHAIN} ${existing + 1}\n`.repeat(endpoint.length)),
        [OPERATIONS.changeIdentity]: () => restore(`-R ${CHAIN} ${middle + 1} ${rule(middle + (flips++ % 2))}`),
      };
      return { subject: { name, turns: TURNS, operations }, close: () => undefined };
    },
  };
}

/** The command `ipset` with a set of so many members. */
export function ipsetPeer(name: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      const member = (index: number) => `${addressOf(index)},${linkOf(index)}`;
      const lines = Array.from({ length: existing }, (_, index) => `add ${IPSET} ${member(index)}`);
      const create = `create ${IPSET} ${IPSET_SPEC.type} maxelem ${IPSET_SPEC.maxElements} hashsize ${IPSET_SPEC.hashSize}`;
      namespace.exec(['ipset', 'restore'], `${[create, ...lines].join('\n')}\n`);
      const endpoint = planNode(existing).endpoint.items.map((_, index) => existing + 1 + index);
      const restore = (verb: string) =>
        namespace.exec(['ipset', 'restore'], endpoint.map((index) => `${verb} ${IPSET} ${member(index)}\n`).join(''));
      const operations = {
        [OPERATIONS.add]: () => namespace.exec(['ipset', 'add', IPSET, member(existing)], ''),
        [OPERATIONS.delete]: () => namespace.exec(['ipset', 'del', IPSET, member(existing)], ''),
        [OPERATIONS.addEndpoint]: () => restore('add'),
        [OPERATIONS.deleteEndpoint]: () => restore('del'),
      };
      return { subject: { name, turns: TURNS, operations }, close: () => undefined };
    },
  };
}

/** What of the peers' time goes into starting a program at all. */
export const emptyProcess: Contestant = {
  name: 'a program that does nothing',
  prepare: (namespace) => {
    const start = () => namespace.exec(['true'], '');
    return {
      subject: { name: emptyProcess.name, turns: TURNS, operations: { [OPERATIONS.add]: start } },
      close: () => undefined,
    };
  },
};
