import { describe, expect, test } from 'vitest';
import { jumpTo } from '../../../../dataplane/backends/iptables/chain-rules.ts';
import type { PortSetRanges } from '../../../../dataplane/backends/iptables/port-table.ts';
import { compileIpv4, compileIpv6 } from '../../../../dataplane/backends/iptables/rules.ts';
import { isIntact, parseSaved, restoreInput } from '../../../../dataplane/backends/iptables/saved.ts';
import { RULES } from './elements.ts';

const PORT_SETS: PortSetRanges = new Map([
  [
    33554433,
    new Map([
      [6, Array.from({ length: 20 }, (_, index) => ({ from: 10 * index, to: 10 * index + (index % 2) }))],
      [17, [{ from: 0, to: 65_535 }]],
    ]),
  ],
]);

describe.each([
  ['IPv4', compileIpv4(RULES, PORT_SETS)],
  ['IPv6', compileIpv6(RULES)],
])('the rules of %s', (_family, tables) => {
  const chains = tables.flatMap(({ table, chains }) => chains.map((chain) => ({ table, ...chain })));
  const rules = chains.flatMap(({ rules }) => rules);

  test('bear comments that every variant of the programs prints as they were given', () => {
    for (const { comment } of [...rules, ...chains.map(jumpTo)]) {
      expect(comment).toMatch(/^[ !#$%&()*+,./0-9:;<=>?@A-Z[\]^_a-z{|}~-]+ #[0-9a-f]{8}$/);
      expect(comment.length).toBeLessThan(256);
    }
  });

  test('go only to chains of the same table that are written before them, and every chain is reached', () => {
    for (const { table, chains: own } of tables) {
      const seen = new Set<string>();
      const reached = new Set<string>();
      for (const chain of own) {
        for (const { text } of chain.rules) {
          const target = / -[gj] (TENET-\S+)$/.exec(text)?.[1];
          if (target === undefined) continue;
          expect(seen, `${table} ${chain.name}`).toContain(target);
          reached.add(target);
        }
        seen.add(chain.name);
      }
      for (const { name, enteredFrom } of own) expect(enteredFrom !== undefined || reached.has(name), name).toBe(true);
    }
  });

  test('have chains with names that fit', () => {
    for (const { name } of chains) expect(name.length).toBeLessThanOrEqual(28);
  });

  test('are there once they are restored, and then nothing is left to do but write them again', () => {
    expect(isIntact(parseSaved(''), tables)).toBe(false);
    // As iptables-save would print what iptables-restore was given.
    const saved = parseSaved(restoreInput(parseSaved(''), tables).replaceAll(/^-I (\S+) 1 /gm, '-A $1 '));
    expect(isIntact(saved, tables)).toBe(true);
    expect(restoreInput(saved, tables)).not.toMatch(/^-[DIX]/m);
    expect(isIntact(saved, [])).toBe(false);
    const removal = restoreInput(saved, []);
    expect(removal.match(/^-X /gm)).toHaveLength(chains.length);
    expect(removal.match(/^-D /gm)).toHaveLength(chains.filter(({ enteredFrom }) => enteredFrom !== undefined).length);
  });
});

test('a table is written with its jumps deleted and made anew in one step when others’ rules precede them', () => {
  const tables = compileIpv4(RULES, PORT_SETS);
  const raw = tables.filter(({ table }) => table === 'raw');
  const jumpFrom = (hook: string) =>
    jumpTo(raw[0]?.chains.find(({ enteredFrom }) => enteredFrom === hook) ?? { name: '', rules: [] }).text;
  const jump = jumpFrom('PREROUTING');
  const saved = parseSaved(
    `*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j THEIRS\n[3:4] -A PREROUTING ${jump}\nCOMMIT\n`,
  );
  const lines = restoreInput(saved, raw).split('\n');
  expect(lines.filter((line) => /^-[DI]/.test(line))).toEqual([
    `-D PREROUTING ${jump}`,
    `-I PREROUTING 1 ${jump}`,
    `-I OUTPUT 1 ${jumpFrom('OUTPUT')}`,
  ]);
});

test('nothing is wanted and nothing is there: nothing is written', () => {
  expect(restoreInput(parseSaved('*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j KUBE-FORWARD\nCOMMIT\n'), [])).toBe('');
});
