/**
 * One rule update with many there already: Tenet's way (one element of a presized hash set, over netlink) beside the ways that
 * run a program. What is updated means the same everywhere: this link may send from this address.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchNamespace } from './namespace.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from './result.ts';
import type { Contestant, Prepared } from './rule-update-contestant.ts';
import { emptyProcess, iptablesPeer, nftPeer } from './rule-update-peers.ts';
import { TENET, tenetContestant } from './rule-update-tenet.ts';
import { type SampleOptions, sampleInterleaved, type Timing } from './sample.ts';
import { installedTools } from './tools.ts';

const SIZES = [1_000, 10_000, 100_000] as const;
const LEGACY = 'iptables-legacy-restore --noflush';
const NFT_BACKED = 'iptables-nft-restore --noflush';

/** Factors over iptables-restore that are wanted, by what is there already. @see ARCHITECTURE.md, "Targets" */
const WANTED_FACTOR: ReadonlyMap<number, number> = new Map([
  [1_000, 400],
  [10_000, 1_500],
  [100_000, 15_000],
]);
const WANTED_US = 6;
const WANTED_GROWTH = 1.3;

export const ruleUpdate: Part = {
  name: 'rule-update',
  title: 'One rule or element added and deleted, with many there already',
  scale: 'existing',
  baseline: TENET,
  charts: [
    { title: 'One rule or element added', kind: 'lines', operations: ['add'] },
    { title: 'One rule or element deleted', kind: 'lines', operations: ['delete'] },
  ],
  run: runRuleUpdate,
};

async function runRuleUpdate({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  const tools = installedTools(['nft', 'iptables-nft-restore', 'iptables-legacy-restore']);
  const scratch = mkdtempSync(join(tmpdir(), 'tenet-bench-'));
  try {
    const lockFile = join(scratch, 'xtables.lock');
    const peers: Contestant[] = [
      ...('nft' in tools ? [nftPeer('nft -f -')] : []),
      ...('iptables-nft-restore' in tools ? [iptablesPeer(NFT_BACKED, 'iptables-nft-restore', lockFile)] : []),
      ...('iptables-legacy-restore' in tools ? [iptablesPeer(LEGACY, 'iptables-legacy-restore', lockFile)] : []),
    ];
    const rounds = quick ? { rounds: 8, budgetMs: 2_000, fewest: 2 } : { rounds: 40, budgetMs: 8_000, fewest: 3 };
    const skipped: string[] = [];
    const figures: Figure[] = [];
    for (const existing of SIZES) {
      progress(`${existing} there already`);
      const contestants = [tenetContestant, ...peers, emptyProcess];
      const timings = await sampleAt(existing, contestants, { ...rounds, signal }, skipped);
      figures.push(...timings.map((timing) => ({ ...timing, scale: existing })));
    }
    return { figures, targets: judge(figures), tools, skipped };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Every contestant in a namespace of its own; one that this machine cannot run is left out and named. */
async function sampleAt(
  existing: number,
  contestants: readonly Contestant[],
  options: SampleOptions,
  skipped: string[],
): Promise<Timing[]> {
  const prepared: Prepared[] = [];
  const namespaces: BenchNamespace[] = [];
  try {
    for (const contestant of contestants) {
      const namespace = new BenchNamespace();
      namespaces.push(namespace);
      try {
        prepared.push(contestant.prepare(namespace, existing));
      } catch (error) {
        if (contestant === tenetContestant) throw error;
        skipped.push(`${contestant.name}, ${existing}: ${error instanceof Error ? error.message : error}`);
      }
    }
    return await sampleInterleaved(
      prepared.map(({ subject }) => subject),
      options,
    );
  } finally {
    for (const { close } of prepared) close();
    for (const namespace of namespaces) namespace.close();
  }
}

function judge(figures: readonly Figure[]): Target[] {
  const median = (subject: string, operation: string, existing: number) =>
    figures.find((each) => each.subject === subject && each.operation === operation && each.scale === existing)?.value;
  const targets: Target[] = [];
  for (const operation of ['add', 'delete']) {
    const times = SIZES.map((size) => median(TENET, operation, size) ?? Number.NaN);
    const slowest = Math.max(...times);
    const growth = (times.at(-1) ?? Number.NaN) / (times[0] ?? Number.NaN);
    targets.push(
      target(`${operation}, slowest median`, `≤ ${WANTED_US} µs`, `${slowest.toFixed(1)} µs`, slowest <= WANTED_US),
      target(`${operation}, 100k over 1k`, `≤ ${WANTED_GROWTH}`, growth.toFixed(2), growth <= WANTED_GROWTH),
    );
    for (const [size, wanted] of WANTED_FACTOR) {
      const tenet = median(TENET, operation, size);
      for (const peer of [NFT_BACKED, LEGACY]) {
        const peers = median(peer, operation, size);
        if (tenet === undefined || peers === undefined) continue;
        const factor = peers / tenet;
        const what = `${operation} at ${size}, over ${peer}`;
        targets.push(target(what, `≥ ${wanted} ×`, `${Math.round(factor)} ×`, factor >= wanted));
      }
    }
  }
  return targets;
}

function target(what: string, wanted: string, measured: string, met: boolean): Target {
  return { what, wanted, measured, met };
}
