/** Loading many elements at once into an empty set, Tenet's way and the programs' way. Each load is undone, untimed in the report. */
import { BenchNamespace } from '../namespace.ts';
import type { Figure, RunOptions } from '../result.ts';
import { addressOf, linkOf } from '../rule-update/contestant.ts';
import { IPSET_SPEC, ipsetAdditions, openIpset, TENET_IPSET } from '../rule-update/tenet-ipset.ts';
import { openNftables, SET, TENET } from '../rule-update/tenet-nftables.ts';
import { type Subject, sampleInterleaved } from '../sample.ts';

export const LOAD = 'elements loaded at once';
const CLEAR = 'cleared';
const CHAIN = 'TENET-BENCH';

/** One way of loading so many elements. `open` makes what they go into. */
interface Loader {
  readonly name: string;
  /** it takes longer than anybody waits beyond so many */
  readonly most: number;
  readonly open: (
    namespace: BenchNamespace,
    count: number,
  ) => { readonly load: () => unknown; readonly clear: () => unknown; readonly close?: () => void };
}

const tenet: Loader = {
  name: TENET,
  most: Number.POSITIVE_INFINITY,
  open: (namespace, count) => {
    const { nftables, close } = openNftables(namespace);
    const elements = Array.from({ length: count }, (_, index) => ({ key: [linkOf(index), addressOf(index)] }));
    const clear = () =>
      nftables.transaction((batch) => {
        batch.addTable(SET);
        batch.deleteTable(SET);
        batch.addTable(SET);
        batch.addSet(SET);
      });
    clear();
    return { load: () => nftables.transaction((batch) => batch.addElements(SET, elements)), clear, close };
  },
};

const tenetIpset: Loader = {
  name: TENET_IPSET,
  most: Number.POSITIVE_INFINITY,
  open: (namespace, count) => {
    const { ipset, close } = openIpset(namespace);
    ipset.create(IPSET_SPEC);
    const changes = ipsetAdditions(count);
    return { load: () => ipset.change(changes), clear: () => ipset.flush(IPSET_SPEC.name), close };
  },
};

const nft: Loader = {
  name: 'nft -f -',
  most: 100_000,
  open: (namespace, count) => {
    const table = `${SET.family} ${SET.table}`;
    const set = `add set ${table} ${SET.name} { type ifname . ipv4_addr; size ${SET.size}; }`;
    const run = (script: string) => namespace.exec(['nft', '-f', '-'], script);
    const elements = Array.from({ length: count }, (_, index) => `"${linkOf(index)}" . ${addressOf(index)}`);
    const script = `add element ${table} ${SET.name} { ${elements.join(',\n')} }\n`;
    const clear = () => run(`add table ${table}\ndelete table ${table}\nadd table ${table}\n${set}\n`);
    clear();
    return { load: () => run(script), clear };
  },
};

const ipset: Loader = {
  name: 'ipset restore',
  most: 100_000,
  open: (namespace, count) => {
    const run = (script: string) => namespace.exec(['ipset', 'restore'], script);
    const { name, type, maxElements, hashSize } = IPSET_SPEC;
    run(`create ${name} ${type} maxelem ${maxElements} hashsize ${hashSize}\n`);
    const lines = Array.from({ length: count }, (_, index) => `add ${name} ${addressOf(index)},${linkOf(index)}\n`);
    const script = lines.join('');
    return { load: () => run(script), clear: () => run(`flush ${name}\n`) };
  },
};

/** @param lockFile instead of the machine's own /run/xtables.lock */
const iptables = (command: string, lockFile: string): Loader => ({
  name: command,
  most: 10_000,
  open: (namespace, count) => {
    const env = { ...process.env, XTABLES_LOCKFILE: lockFile };
    const restore = (lines: string) => namespace.exec([command, '--noflush'], `*filter\n${lines}COMMIT\n`, env);
    const append = (index: number) => `-A ${CHAIN} -i ${linkOf(index)} -s ${addressOf(index)}/32 -j ACCEPT\n`;
    const rules = Array.from({ length: count }, (_, index) => append(index)).join('');
    const clear = () => restore(`:${CHAIN} - [0:0]\n`);
    clear();
    return { load: () => restore(rules), clear };
  },
});

/** The figures of all sizes, by those of the loaders whose tool is there. */
export async function measureLoads(
  tools: Readonly<Record<string, string>>,
  lockFile: string,
  { quick, signal, progress }: RunOptions,
  skipped: string[],
): Promise<Figure[]> {
  const loaders = [
    tenet,
    tenetIpset,
    ...('nft' in tools ? [nft] : []),
    ...('ipset' in tools ? [ipset] : []),
    ...['iptables-nft-restore', 'iptables-legacy-restore']
      .filter((command) => command in tools)
      .map((command) => iptables(command, lockFile)),
  ];
  const figures: Figure[] = [];
  for (const count of [10_000, 100_000]) {
    progress(`${count} elements loaded at once`);
    const options = { rounds: quick ? 4 : 15, budgetMs: quick ? 5_000 : 25_000, fewest: 3, signal };
    const those = loaders.filter(({ most }) => count <= most);
    const timings = await sampleAll(those, count, options, skipped);
    figures.push(
      ...timings
        .filter(({ operation }) => operation === LOAD)
        .map(({ cold: _, ...timing }) => ({ ...timing, scale: count })),
    );
  }
  return figures;
}

async function sampleAll(
  loaders: readonly Loader[],
  count: number,
  options: Parameters<typeof sampleInterleaved>[1],
  skipped: string[],
) {
  const namespaces: BenchNamespace[] = [];
  const closers: (() => void)[] = [];
  try {
    const subjects = loaders.flatMap(({ name, open }): Subject[] => {
      const namespace = new BenchNamespace();
      namespaces.push(namespace);
      try {
        const { load, clear, close } = open(namespace, count);
        if (close !== undefined) closers.push(close);
        return [{ name, turns: 1, operations: { [LOAD]: load, [CLEAR]: clear } }];
      } catch (error) {
        skipped.push(`${name}, ${count}: ${error instanceof Error ? error.message : error}`);
        return [];
      }
    });
    return await sampleInterleaved(subjects, options);
  } finally {
    for (const close of closers) close();
    for (const namespace of namespaces) namespace.close();
  }
}
