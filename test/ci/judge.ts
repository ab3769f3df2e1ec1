/**
 * The two steps of .ci/run after the tests. `rerun` runs again, alone and one after the other, what may be a flake; `verdict` says what is
 * flaky and what failed, leaves it as summary.json beside the reports, and ends with the line `N passed, N failed`. Exit status of `rerun`
 * is 0; of `verdict` 0 when the run is good, 1 when not.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import config from '../../vitest.config.ts';
import { readReports } from './run-report.ts';
import {
  formatCounts,
  formatFailure,
  formatVerdict,
  judge,
  judgeRerun,
  planReruns,
  type Rerun,
  type WholeRun,
} from './verdict.ts';
import { runVitest } from './vitest.ts';

/** Of one rerun; all of them together are bounded by .ci/run. */
const RERUN_TIMEOUT_MS = 5 * 60_000;

const print = (text: string): void => void process.stdout.write(text);

const readWholeRun = (directory: string, status: string): WholeRun => ({
  ...readReports(directory),
  status: Number(status),
  projects: projectNames(),
});

/** Every project that vitest.config.ts has: each must have had its turn. */
function projectNames(): readonly string[] {
  return (config.test?.projects ?? []).flatMap((project) => {
    if (typeof project !== 'object' || !('test' in project)) return [];
    const name = project.test?.name;
    return name === undefined ? [] : [typeof name === 'string' ? name : name.label];
  });
}

async function rerun(directory: string, { status }: { readonly status: string }): Promise<void> {
  const root = process.cwd();
  const reruns: Rerun[] = [];
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  for (const failure of planReruns(readWholeRun(directory, status))) {
    print(`\nci: run again, alone: ${formatFailure(failure)}\n`);
    const result = await runVitest({
      root,
      ...failure,
      results: join(directory, 'reruns', String(reruns.length)),
      timeoutMs: RERUN_TIMEOUT_MS,
      signal: interrupted.signal,
      onOutput: print,
    });
    if (interrupted.signal.aborted) break;
    reruns.push(judgeRerun(failure, result.status, result.runs));
    // after each: what is there counts when time runs out
    writeFileSync(join(directory, 'reruns.json'), JSON.stringify(reruns));
  }
}

function verdict(directory: string, options: { readonly status: string; readonly fault: string[] }): void {
  const rerunsFile = join(directory, 'reruns.json');
  const reruns: Rerun[] = existsSync(rerunsFile) ? JSON.parse(readFileSync(rerunsFile, 'utf8')) : [];
  const judged = judge(readWholeRun(directory, options.status), reruns, options.fault);
  writeFileSync(join(directory, 'summary.json'), `${JSON.stringify(judged, undefined, 2)}\n`);
  print(`\n${formatVerdict(judged)}${formatCounts(judged)}\n`);
  process.exitCode = judged.ok ? 0 : 1;
}

const program = new Command('judge').description('Tells a flake from a fault.');
program
  .command('rerun <results>')
  .description('runs again what may be a flake')
  .requiredOption('--status <n>', 'how the test command ended')
  .action(rerun);
program
  .command('verdict <results>')
  .description('says what is flaky, what failed, and how many')
  .requiredOption('--status <n>', 'how the test command ended')
  .option('--fault <text...>', 'what else is wrong', [])
  .action(verdict);
await program.parseAsync();
