/**
 * `npm run conformance`: plays every case, and with --fuzz random policies, on a lab of its own and says what came of each. Exit status:
 * 0 all passed, 1 something failed, 2 not understood, 130 interrupted. The lab is taken down whatever happens.
 */
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { CASES } from './cases/all.ts';
import { formatJunit } from './junit.ts';
import { Random, randomSteps } from './random.ts';
import { type CaseResult, Runner } from './run.ts';
import { Scene } from './scene.ts';

function number(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

const command = new Command('conformance')
  .description('Conformance tests: check network policies against truth tables, with real packets.')
  .addOption(
    new Option('--backend <name>', 'what enforces isolation').choices(['auto', 'nftables', 'iptables']).default('auto'),
  )
  .option('--filter <text>', 'run only cases whose name contains this text')
  .option('--list', 'list the names of the cases and run none')
  .option('--junit <file>', 'write the results to this file as JUnit XML')
  .option('--repeat <n>', 'run everything this many times', number, 1)
  .option(
    '--fuzz <n>',
    'also check this many random sets of policies against the evaluator, as cases fuzz/SEED',
    number,
    0,
  )
  .option('--seed <s>', 'seed of the first random set (default: random)', number);
command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
const options = command.parse().opts<{
  backend: string;
  filter?: string;
  list?: boolean;
  junit?: string;
  repeat: number;
  fuzz: number;
  seed?: number;
}>();

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
// The reader has gone: no reason to leave a lab behind.
process.stdout.on('error', () => interrupted.abort());

const print = (text: string): void => void process.stdout.write(`${text}\n`);

interface Item {
  readonly name: string;
  readonly run: (runner: Runner) => Promise<CaseResult>;
}

function chosenItems(): readonly Item[] {
  const firstSeed = options.seed ?? randomInt(1_000_000);
  const cases = CASES.map((each): Item => ({ name: each.name, run: (runner) => runner.run(each) }));
  const random = Array.from({ length: options.fuzz }, (_, index): Item => {
    const name = `fuzz/${firstSeed + index}`;
    const steps = randomSteps(new Random(firstSeed + index));
    return { name, run: (runner) => runner.runAgainstEvaluator(name, steps) };
  });
  const chosen = [...cases, ...random].filter(({ name }) => name.includes(options.filter ?? ''));
  return Array.from({ length: options.repeat }, () => chosen).flat();
}

async function play(scene: Scene, items: readonly Item[]): Promise<readonly CaseResult[]> {
  const runner = new Runner(scene);
  const results: CaseResult[] = [];
  const width = String(items.length).length;
  for (const [index, { name, run }] of items.entries()) {
    interrupted.signal.throwIfAborted();
    const result = await run(runner);
    results.push(result);
    const counter = `[${String(index + 1).padStart(width)}/${items.length}]`;
    const verdict = result.failure === '' ? 'ok  ' : 'FAIL';
    print(`${counter} ${verdict} ${name.padEnd(60)} ${result.seconds.toFixed(2)} s`);
    if (result.failure !== '') print(`${result.failure}\nAgain: ${again(name)}\n`);
  }
  return results;
}

function again(name: string): string {
  const seed = /^fuzz\/(\d+)$/.exec(name)?.[1];
  const which = seed === undefined ? `--filter ${name}` : `--filter fuzz/ --fuzz 1 --seed ${seed}`;
  return `npm run conformance -- --backend ${options.backend} ${which}`;
}

/** Found out before, not after, minutes of work. */
function unwritable(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    writeFileSync(file, '');
    return undefined;
  } catch (error) {
    return `${file} cannot be written: ${(error as NodeJS.ErrnoException).code}`;
  }
}

async function main(): Promise<number> {
  const items = chosenItems();
  if (options.list) {
    for (const { name } of items) print(name);
    return 0;
  }
  const problem = items.length === 0 ? 'no case matches: see --list' : unwritable(options.junit);
  if (problem !== undefined) {
    process.stderr.write(`conformance: ${problem}\n`);
    return 2;
  }
  const { signal } = interrupted;
  let scene: Scene | undefined;
  try {
    scene = await Scene.open({ backend: options.backend, signal, onProgress: print });
    const started = performance.now();
    const results = await play(scene, items);
    const failed = results.filter(({ failure }) => failure !== '');
    if (options.junit !== undefined) writeFileSync(options.junit, formatJunit(results));
    for (const { name } of failed) print(`failed: ${name}`);
    print(`${((performance.now() - started) / 1000).toFixed(1)} s on ${options.backend}`);
    print(`${results.length - failed.length} passed, ${failed.length} failed`);
    return failed.length === 0 ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return 130;
    process.stderr.write(`conformance: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await scene?.close();
  }
}

process.exit(await main());
