/**
 * `npm run test:flaky -- FILE [NAME]`: repeats one test file, or one test of it, while other processes keep the machine busy, and says how
 * often it failed. Exit status: 0 it never did, 1 it did, 2 not understood, 130 interrupted. What it started is ended whatever happens.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { runVitest, type VitestResult } from './vitest.ts';

/** Of one repetition: it hangs, and that is a failure. */
const TIMEOUT_MS = 10 * 60_000;

const root = process.cwd();
const print = (text: string): void => void process.stdout.write(`${text}\n`);

function existingFile(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) throw new InvalidArgumentError(`There is no file ${path}.`);
  return relative(root, path);
}

const numberWithin =
  (least: number, most: number) =>
  (text: string): number => {
    const within = /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
    if (!within) throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
    return Number(text);
  };

const command = new Command('test:flaky')
  .description('Repeats a test file, or one test of it, on a busy machine.')
  .argument('<file>', 'the test file', existingFile)
  .argument('[name]', 'exactly this test: "describe > test", as vitest prints it')
  .option('--times <n>', 'how often', numberWithin(1, 9999), 50)
  .option('--busy <n>', 'processes that spin beside it', numberWithin(0, 64), 4)
  .option('--project <name>', 'only in this project of vitest.config.ts')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();
const [file, name] = command.processedArgs as [string, string | undefined];
const options = command.opts<{ times: number; busy: number; project?: string }>();

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
process.stdout.on('error', () => interrupted.abort()); // no reader any more

/** One that spins, and ends by itself once this process is gone, even if that was killed. */
function startBusyProcess(): ChildProcess {
  const spin = 'while (process.ppid === Number(process.argv[1])) for (let i = 0; i < 1e7; i++);';
  return spawn(process.execPath, ['--eval', spin, String(process.pid)], { stdio: 'ignore' });
}

/** @returns why nothing was tested, undefined if something was */
function whyNothing({ runs }: VitestResult): string | undefined {
  const files = runs.flatMap((run) => run.files);
  if (files.length === 0) {
    const { project } = options;
    return `${file} is no test of ${project === undefined ? 'any project' : `the project ${project}`}`;
  }
  if (files.some(({ errors, tests }) => errors.length > 0 || tests.some(({ status }) => status !== 'skipped')))
    return undefined;
  return name === undefined ? `every test of ${file} is skipped` : `${file} has no test of the name ${name}`;
}

/** @returns the exit status */
async function repeat(results: string): Promise<number> {
  const width = String(options.times).length;
  let done = 0;
  let failed = 0;
  while (done < options.times) {
    let output = '';
    const started = performance.now();
    const run = { root, file, name, project: options.project, results, timeoutMs: TIMEOUT_MS };
    const result = await runVitest({ ...run, signal: interrupted.signal, onOutput: (text) => (output += text) });
    if (interrupted.signal.aborted) break;
    const nothing = done === 0 ? whyNothing(result) : undefined;
    if (nothing !== undefined) {
      process.stderr.write(`${output}\ntest:flaky: ${nothing}\n`);
      return 2;
    }
    done += 1;
    const passed = result.status === 0;
    const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
    const word = passed ? 'ok  ' : result.timedOut ? 'HUNG' : 'FAIL';
    print(`[${String(done).padStart(width)}/${options.times}] ${word} ${seconds}`);
    if (!passed && failed++ === 0) print(output);
  }
  print(`${failed} of ${done} failed${done < options.times ? ', then interrupted' : ''}`);
  if (interrupted.signal.aborted) return 130;
  return failed === 0 ? 0 : 1;
}

const results = mkdtempSync(join(tmpdir(), 'tenet-flaky.'));
const busy = Array.from({ length: options.busy }, startBusyProcess);
try {
  process.exitCode = await repeat(results);
} finally {
  for (const each of busy) each.kill('SIGKILL');
  rmSync(results, { recursive: true, force: true });
}
