/**
 * `npm run bench`: runs the benchmarks, shows each as a table on stdout, and writes their figures as JSON where asked. Says on
 * stderr what it is doing. Measures; never judges a build by it.
 */
import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { describeMachine } from './machine.ts';
import { plotReport } from './plot.ts';
import { formatReport } from './report.ts';
import type { Part, Report } from './result.ts';
import { ruleUpdate } from './rule-update.ts';

const PARTS: readonly Part[] = [ruleUpdate];

interface Options {
  readonly json?: string;
  readonly plot?: string;
  readonly only?: string;
  readonly quick: boolean;
}

function runPart({ name, run }: Part, quick: boolean): Report {
  const started = performance.now();
  const progress = (what: string) => process.stderr.write(`bench: ${name}: ${what}\n`);
  const result = run({ quick, progress });
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  return { part: name, at: new Date().toISOString(), seconds, quick, machine: describeMachine(), ...result };
}

const options = new Command('bench')
  .description('Measures Tenet beside its peers. Needs root; works in network namespaces of its own.')
  .option('--json <file>', 'write the figures there as well')
  .option('--plot <file>', 'draw the first part as an SVG')
  .addOption(new Option('--only <part>', 'this part alone').choices(PARTS.map(({ name }) => name)))
  .option('--quick', 'fewer runs, rougher figures', false)
  .parse()
  .opts<Options>();

try {
  const reports = PARTS.filter(({ name }) => options.only === undefined || options.only === name).map((part) => {
    const report = runPart(part, options.quick);
    process.stdout.write(formatReport(part.title, report));
    return report;
  });
  const [first] = reports;
  if (options.plot !== undefined && first !== undefined) {
    const title = PARTS.find(({ name }) => name === first.part)?.title ?? first.part;
    writeFileSync(options.plot, plotReport(title, first, 'add'));
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(reports, undefined, 2)}\n`);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
