/**
 * Much at once: thousands of elements loaded into the kernel, beside programs that load as many; and an agent that starts on a node with
 * hundreds of containers in a cluster of ten thousand.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatCount, formatValue } from '../format.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { TENET_IPSET } from '../rule-update/tenet-ipset.ts';
import { TENET } from '../rule-update/tenet-nftables.ts';
import { installedTools } from '../tools.ts';
import { AGENT_OPERATIONS, MEMORY, measureAgent, RESTART } from './agent-start.ts';
import { LOAD, measureLoads } from './load.ts';

const TOOLS = ['nft', 'ipset', 'iptables-nft-restore', 'iptables-legacy-restore', 'etcd'] as const;
const WANTED = { elementUs: 0.6, startUs: 2_000_000, memoryMiB: 150 } as const;

export const bulk: Part = {
  name: 'bulk',
  title: 'Many elements at once, and the start of a busy agent',
  scale: 'elements or endpoints',
  baseline: TENET,
  charts: [
    { title: 'Elements loaded at once', kind: 'bars', operations: [LOAD], log: true },
    { title: 'An agent with 10,000 endpoints in its tenants', kind: 'bars', operations: AGENT_OPERATIONS, log: true },
  ],
  run: runBulk,
};

async function runBulk(options: RunOptions): Promise<PartResult> {
  const tools = installedTools(TOOLS);
  const scratch = mkdtempSync(join(tmpdir(), 'tenet-bench-'));
  const skipped: string[] = [];
  try {
    const loads = await measureLoads(tools, join(scratch, 'xtables.lock'), options, skipped);
    const starts = await measureAgent(options);
    const figures = [...loads, ...starts];
    return { figures, targets: judge(figures), tools, skipped };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function judge(figures: readonly Figure[]): Target[] {
  const loads = figures
    .filter(({ operation, subject }) => operation === LOAD && (subject === TENET || subject === TENET_IPSET))
    .map(({ value, scale, subject }): Target => {
      const each = value / scale;
      return {
        what: `${subject}: one of ${formatCount(scale)} elements loaded at once`,
        wanted: `≤ ${formatValue(WANTED.elementUs, 'µs')}`,
        measured: formatValue(each, 'µs'),
        met: each <= WANTED.elementUs,
      };
    });
  const atMost = (operation: string, most: number): Target[] =>
    figures
      .filter((figure) => figure.operation === operation)
      .map(({ value, unit }) => ({
        what: operation,
        wanted: `≤ ${formatValue(most, unit)}`,
        measured: formatValue(value, unit),
        met: value <= most,
      }));
  return [...loads, ...atMost(RESTART, WANTED.startUs), ...atMost(MEMORY, WANTED.memoryMiB)];
}
