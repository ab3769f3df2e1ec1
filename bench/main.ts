/**
 * `npm run bench`: runs the benchmarks one after the other, shows each as a table on stdout, and writes their figures as JSON and their
 * plots as SVG where asked. Says on stderr what it is doing. Measures; never judges a build by it: a target that is missed is shown, a
 * part that this machine cannot run is skipped. Exit status: 0 measured, 1 a part failed, 130 interrupted.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { ROOT } from '../test/lab/services.ts';
import { bulk } from './bulk/bulk.ts';
import { cni } from './cni/cni.ts';
import { control } from './control/control.ts';
import { describeMachine } from './machine.ts';
import { overlay } from './overlay/overlay.ts';
import { packet } from './packet/packet.ts';
import { plotReport } from './plot.ts';
import { policy } from './policy/policy.ts';
import { propagation } from './propagation/propagation.ts';
import { compareFigures, formatReport } from './report.ts';
import { type Part, type PartResult, PartUnavailable, type Report } from './result.ts';
import { formatResultsPage } from './results-page.ts';
import { revocation } from './revocation/revocation.ts';
import { ruleUpdate } from './rule-update/rule-update.ts';

/** In the order they run in. */
const PARTS: readonly Part[] = [ruleUpdate, bulk, packet, overlay, cni, control, propagation, policy, revocation];

/** All parts together; each of a quick run. A part that is not done by then is given up. */
const LIMIT_MS = { all: 15 * 60_000, quickPart: 60_000 } as const;

interface Options {
  readonly json?: string;
  readonly save?: true | string;
  readonly only?: readonly Part[];
  readonly quick: boolean;
}

const options = new Command('bench')
  .description('Measure Tenet beside its peers. Needs root; runs in its own network namespaces.')
  .option('--only <part,part>', `run only these parts, of ${PARTS.map(({ name }) => name).join(', ')}`, parseParts)
  .option('--quick', 'fewer runs and sizes, rougher figures; each part takes less than a minute', false)
  .option('--json <file>', 'also write all figures to this file')
  .option('--save [folder]', 'write PART.json, PART.svg and a page of all to this folder (default: bench/results)')
  .parse()
  .opts<Options>();

function parseParts(list: string): Part[] {
  return list.split(',').map((name) => {
    const part = PARTS.find((each) => each.name === name);
    if (part === undefined) throw new InvalidArgumentError(`There is no part ${name}.`);
    return part;
  });
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    // A second signal ends at once: the next lab on this machine clears away what is left.
    if (interrupted.signal.aborted) process.exit(130);
    process.stderr.write('bench: interrupted, taking down what was built\n');
    interrupted.abort();
  });
// The reader has gone: no reason to measure.
process.stdout.on('error', () => interrupted.abort());

const say = (what: string): void => void process.stderr.write(`bench: ${what}\n`);

/** @returns undefined if it failed, which is said */
async function runPart(part: Part, limitMs: number): Promise<Report | undefined> {
  const { name, scale, baseline } = part;
  const started = performance.now();
  const expired = AbortSignal.timeout(Math.round(limitMs));
  const nothing: PartResult = { figures: [], targets: [], tools: {}, skipped: [] };
  const report = ({ figures, ...rest }: PartResult): Report => ({
    part: name,
    at: new Date().toISOString(),
    seconds: Math.round((performance.now() - started) / 100) / 10,
    quick: options.quick,
    machine: describeMachine(),
    scale,
    baseline,
    figures: compareFigures(figures, baseline),
    ...rest,
  });
  try {
    const signal = AbortSignal.any([interrupted.signal, expired]);
    return report(await part.run({ quick: options.quick, signal, progress: (what) => say(`${name}: ${what}`) }));
  } catch (error) {
    if (interrupted.signal.aborted) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof PartUnavailable) return { ...report(nothing), unavailable: reason };
    if (expired.aborted) return { ...report(nothing), unavailable: `not done within ${Math.round(limitMs / 1000)} s` };
    say(`${name} failed: ${reason}`);
    process.exitCode = 1;
    return undefined;
  }
}

/** The part's figures and plot, and the page that shows all parts of the folder. */
function save(folder: string, part: Part, report: Report): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${part.name}.json`), `${JSON.stringify([report], undefined, 2)}\n`);
  writeFileSync(join(folder, `${part.name}.svg`), plotReport(part, report));
  const saved = PARTS.flatMap(({ name, title }) => {
    const path = join(folder, `${name}.json`);
    if (!existsSync(path)) return [];
    const reports = JSON.parse(readFileSync(path, 'utf8')) as Report[];
    return reports.map((each) => ({ title, report: each }));
  });
  writeFileSync(join(folder, 'README.md'), formatResultsPage(saved));
}

const end = performance.now() + LIMIT_MS.all;
const reports: Report[] = [];
for (const part of options.only ?? PARTS) {
  const left = Math.max(0, end - performance.now());
  const report = await runPart(part, options.quick ? Math.min(left, LIMIT_MS.quickPart) : left);
  if (interrupted.signal.aborted) process.exit(130);
  if (report === undefined) continue;
  reports.push(report);
  process.stdout.write(formatReport(part.title, report));
  const folder = options.save === true ? join(ROOT, 'bench/results') : options.save;
  if (folder !== undefined && report.unavailable === undefined) save(folder, part, report);
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(reports, undefined, 2)}\n`);
