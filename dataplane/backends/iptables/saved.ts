/**
 * What iptables-save printed, and the input for iptables-restore that makes of it what should be there: our chains whole, one jump into
 * each where it belongs, and nothing of anybody else's. Pure.
 */

import { jumpTo, type SignedRule, type TableRules } from './chain-rules.ts';
import { CHAIN_PREFIX } from './line.ts';

/** Tables by name; of each, all chains by name with their rules as `iptables-save` prints them after `-A CHAIN`, in order. */
export type SavedTables = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** @param output of iptables-save or ip6tables-save, of any variant */
export function parseSaved(output: string): SavedTables {
  const tables = new Map<string, Map<string, string[]>>();
  let chains = new Map<string, string[]>();
  for (const line of output.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
    } else if (line.startsWith(':')) chains.set(line.slice(1, line.indexOf(' ')), []);
    else {
      // Counters precede a rule where they were asked for.
      const [, name = '', rule = ''] = /^(?:\[\d+:\d+\] )?-A (\S+) (.*)$/.exec(line) ?? [];
      if (name !== '') chains.set(name, [...(chains.get(name) ?? []), rule]);
    }
  }
  return tables;
}

/** Are our chains exactly these, each entered before all else and from one place, with no others of ours beside them? */
export function isIntact(saved: SavedTables, wanted: readonly TableRules[]): boolean {
  return ourTables(saved, wanted).every((table) => {
    const { chains, own, stale, bases } = tableOf(saved, wanted, table);
    return (
      stale.length === 0 &&
      own.every(({ name, rules }) => sameRules(chains.get(name) ?? [], rules)) &&
      bases.every(({ isIntact }) => isIntact)
    );
  });
}

/**
 * Input for `iptables-restore --noflush`: a chain that is declared is emptied, what is not named stays.
 * @param wanted no tables: takes everything of ours away
 * @returns '' when there is nothing to do
 */
export function restoreInput(saved: SavedTables, wanted: readonly TableRules[]): string {
  return ourTables(saved, wanted)
    .flatMap((table) => {
      const { own, stale, bases } = tableOf(saved, wanted, table);
      const wrong = bases.filter(({ isIntact }) => !isIntact);
      const lines = [
        ...[...own.map(({ name }) => name), ...stale].map((name) => `:${name} - [0:0]`),
        ...own.flatMap(({ name, rules }) => rules.map(({ text }) => `-A ${name} ${text}`)),
        // A table changes in one step: there is no moment without a jump.
        ...wrong.flatMap(({ base, jumps }) => jumps.map((rule) => `-D ${base} ${rule}`)),
        ...wrong.flatMap(({ base, entered }) =>
          entered === undefined ? [] : [`-I ${base} 1 ${jumpTo(entered).text}`],
        ),
        ...stale.map((name) => `-X ${name}`),
      ];
      return lines.length === 0 ? [] : [`*${table}`, ...lines, 'COMMIT', ''];
    })
    .join('\n');
}

function isOurs(chain: string): boolean {
  return chain.startsWith(CHAIN_PREFIX);
}

/** Those wanted, in their order, then others that have something of ours. */
function ourTables(saved: SavedTables, wanted: readonly TableRules[]): string[] {
  const found = [...saved].flatMap(([table, chains]) =>
    [...chains].some(([name, rules]) => isOurs(name) || rules.some(isJump)) ? [table] : [],
  );
  return [...new Set([...wanted.map(({ table }) => table), ...found])];
}

/** A table as it is beside what it should have of ours. */
function tableOf(saved: SavedTables, wanted: readonly TableRules[], table: string) {
  const chains = saved.get(table) ?? new Map<string, readonly string[]>();
  const own = wanted.find((each) => each.table === table)?.chains ?? [];
  const names = new Set(own.map(({ name }) => name));
  const stale = [...chains.keys()].filter((name) => isOurs(name) && !names.has(name));
  const enteredFrom = new Map(
    own.flatMap((each) => (each.enteredFrom === undefined ? [] : [[each.enteredFrom, each]])),
  );
  const bases = [...new Set([...enteredFrom.keys(), ...chains.keys()])]
    .filter((base) => !isOurs(base))
    .map((base) => {
      const rules = chains.get(base) ?? [];
      const entered = enteredFrom.get(base);
      const jumps = rules.filter(isJump);
      const isIntact =
        entered === undefined
          ? jumps.length === 0
          : jumps.length === 1 && sameRules(rules.slice(0, 1), [jumpTo(entered)]);
      return { base, entered, jumps, isIntact };
    });
  return { chains, own, stale, bases };
}

function sameRules(found: readonly string[], wanted: readonly SignedRule[]): boolean {
  return found.length === wanted.length && wanted.every(({ comment }, index) => found[index]?.includes(`"${comment}"`));
}

/** Does a rule lead into a chain of ours? */
function isJump(rule: string): boolean {
  const [, target = ''] = / (?:-j|-g) (\S+)$/.exec(` ${rule}`) ?? [];
  return isOurs(target);
}
