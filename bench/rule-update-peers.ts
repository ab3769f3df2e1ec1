/** The other ways of updating one rule: programs that are started, told, and waited for, as most controllers do it. */
import { addressOf, type Contestant, linkOf } from './rule-update-contestant.ts';
import { fill, SET } from './rule-update-tenet.ts';

/** One run each in a turn: they take milliseconds. */
const TURNS = 1;
const CHAIN = 'TENET-BENCH';

/** `nft -f -` adding one element to the very set that Tenet uses. */
export function nftPeer(name: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      // nft itself would take a minute to fill it.
      fill(namespace, existing).close();
      const path = `${SET.family} ${SET.table} ${SET.name}`;
      const element = `{ "${linkOf(existing)}" . ${addressOf(existing)} }`;
      const nft = (input: string) => namespace.exec(['nft', '-f', '-'], input);
      const operations = {
        add: () => nft(`add element ${path} ${element}\n`),
        delete: () => nft(`delete element ${path} ${element}\n`),
      };
      return { subject: { name, turns: TURNS, operations }, close: () => undefined };
    },
  };
}

/**
 * `iptables-…-restore --noflush` appending one rule to a chain of so many, and deleting it by its number, which spares it the
 * search.
 * @param lockFile instead of the machine's own /run/xtables.lock, which is none of ours to hold
 */
export function iptablesPeer(name: string, command: string, lockFile: string): Contestant {
  return {
    name,
    prepare: (namespace, existing) => {
      const env = { ...process.env, XTABLES_LOCKFILE: lockFile };
      const restore = (lines: string) => namespace.exec([command, '--noflush'], `*filter\n${lines}COMMIT\n`, env);
      const append = (index: number) => `-A ${CHAIN} -i ${linkOf(index)} -s ${addressOf(index)}/32 -j ACCEPT\n`;
      const rules = Array.from({ length: existing }, (_, index) => append(index));
      restore(`:${CHAIN} - [0:0]\n-A FORWARD -j ${CHAIN}\n${rules.join('')}`);
      const operations = {
        add: () => restore(append(existing)),
        delete: () => restore(`-D ${CHAIN} ${existing + 1}\n`),
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
      subject: { name: emptyProcess.name, turns: TURNS, operations: { add: start, delete: start } },
      close: () => undefined,
    };
  },
};
