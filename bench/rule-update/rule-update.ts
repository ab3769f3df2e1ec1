/**
 * Rule updates with many rules there already: one element, a whole endpoint, one identity. Tenet's way (elements of sets, over netlink)
 * beside the ways that run a program. What is updated means the same everywhere, such as: this link may send from this address.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchNamespace } from '../namespace.ts';
import { type Figure, type Part, type PartResult, PartUnavailable, type RunOptions } from '../result.ts';
import { type SampleOptions, sampleInterleaved, type Timing } from '../sample.ts';
import { installedTools } from '../tools.ts';
import { type Contestant, OPERATIONS, type Prepared } from './contestant.ts';
import { emptyProcess, ipsetPeer, iptablesPeer, nftElement, nftEndpoint } from './peers.ts';
import { judge, LEGACY, NFT_BACKED } from './targets.ts';
import { ipsetElement, iptablesBackend } from './tenet-ipset.ts';
import { emptyRequest, nftablesBackend, nftablesElement, TENET } from './tenet-nftables.ts';

/** Peers take minutes for the last. */
const SIZES = { quick: [1_000, 10_000], full: [1_000, 10_000, 100_000] } as const;
const TOOLS = ['nft', 'ipset', 'iptables-nft-restore', 'iptables-legacy-restore'] as const;

export const ruleUpdate: Part = {
  name: 'rule-update',
  title: 'Rules updated, with many there already',
  scale: 'elements or rules already there',
  baseline: TENET,
  charts: Object.values(OPERATIONS).map((operation) => ({
    title: operation[0]?.toUpperCase() + operation.slice(1),
    kind: 'lines',
    operations: [operation],
  })),
  run: runRuleUpdate,
};

async function runRuleUpdate({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  const tools = installedTools(TOOLS);
  const scratch = mkdtempSync(join(tmpdir(), 'tenet-bench-'));
  try {
    const contestants = [...tenets, ...peersOf(tools, join(scratch, 'xtables.lock')), emptyProcess, emptyRequest];
    const rounds = quick ? { rounds: 8, budgetMs: 2_500, fewest: 2 } : { rounds: 40, budgetMs: 20_000, fewest: 3 };
    const skipped: string[] = [];
    const figures: Figure[] = [];
    const sizes = quick ? SIZES.quick : SIZES.full;
    for (const existing of sizes) {
      progress(`${existing} there already`);
      const timings = await sampleAt(existing, contestants, { ...rounds, signal }, skipped);
      figures.push(...timings.map((timing) => ({ ...timing, scale: existing })));
    }
    return { figures, targets: judge(figures, sizes), tools, skipped };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const tenets: readonly Contestant[] = [nftablesElement, nftablesBackend, ipsetElement, iptablesBackend];

function peersOf(tools: Readonly<Record<string, string>>, lockFile: string): Contestant[] {
  const peers: readonly (readonly [(typeof TOOLS)[number], readonly Contestant[]])[] = [
    ['nft', [nftElement('nft -f -'), nftEndpoint('nft -f -')]],
    ['ipset', [ipsetPeer('ipset')]],
    ['iptables-nft-restore', [iptablesPeer(NFT_BACKED, 'iptables-nft-restore', lockFile)]],
    ['iptables-legacy-restore', [iptablesPeer(LEGACY, 'iptables-legacy-restore', lockFile)]],
  ];
  return peers.flatMap(([tool, contestants]) => (tool in tools ? contestants : []));
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
      options.signal?.throwIfAborted();
      const namespace = openNamespace();
      namespaces.push(namespace);
      try {
        prepared.push(contestant.prepare(namespace, existing));
      } catch (error) {
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

/** @throws PartUnavailable without the privilege */
function openNamespace(): BenchNamespace {
  try {
    return new BenchNamespace();
  } catch (error) {
    throw new PartUnavailable(`no network namespace can be made: ${error instanceof Error ? error.message : error}`);
  }
}
