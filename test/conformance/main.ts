/**
 * `npm run conformance`: plays every case, and with --fuzz random policies, on a lab of its own and says what came of each. Exit status:
 * 0 all passed, 1 something failed, 2 not understood, 130 interrupted. The lab is taken down whatever happens.
 */
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Case } from './case.ts';
import { CASES } from './cases/all.ts';
import { formatJunit } from './junit.ts';
import { type CaseResult, Runner } from './run.ts';
import { Scene } from './scene.ts';

function number(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a number');
  return Number(text);
}

const command = new Command('conformance')
  .description('Network policies held to their truth tables, with real packets.')
  .addOption(
    new Option('--backend <name>', 'where nodes enforce').choices(['auto', 'nftables', 'iptables']).default('auto'),
  )
  .option('--filter <text>', 'cases whose name contains this')
  .option('--list', 'say the names of the cases and run none')
  .option('--junit <file>', 'write JUnit XML there')
  .option('--repeat <n>', 'play each case so often', number, 1);
command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
const options = command.parse().opts<{
  backend: string;
  filter?: string;
  list?: boolean;
  junit?: string;
  repeat: number;
}>();

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
// Nobody reads on: no reason to leave a lab behind.
process.stdout.on('error', () => interrupted.abort());

const print = (text: string): void => void process.stdout.write(`${text}\n`);

async function play(scene: Scene, cases: readonly Case[]): Promise<readonly CaseResult[]> {
  const runner = new Runner(scene);
  const results: CaseResult[] = [];
  const width = String(cases.length).length;
  for (const [index, each] of cases.entries()) {
    interrupted.signal.throwIfAborted();
    const result = await runner.run(each);
    results.push(result);
    const counter = `[${String(index + 1).padStart(width)}/${cases.length}]`;
    const verdict = result.failure === '' ? 'ok  ' : 'FAIL';
    print(`${counter} ${verdict} ${result.name.padEnd(60)} ${result.seconds.toFixed(2)} s`);
    if (result.failure !== '') print(`${result.failure}\n`);
  }
  return results;
}

async function main(): Promise<number> {
  const chosen = CASES.filter(({ name }) => name.includes(options.filter ?? ''));
  if (options.list) {
    for (const { name } of chosen) print(name);
    return 0;
  }
  const { signal } = interrupted;
  let scene: Scene | undefined;
  try {
    scene = await Scene.open({ backend: options.backend, signal, onProgress: print });
    const started = performance.now();
    const results = await play(scene, Array.from({ length: options.repeat }, () => chosen).flat());
    const failed = results.filter(({ failure }) => failure !== '').length;
    if (options.junit !== undefined) writeFileSync(options.junit, formatJunit(results));
    print(`${((performance.now() - started) / 1000).toFixed(1)} s`);
    print(`${results.length - failed} passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return 130;
    process.stderr.write(`conformance: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await scene?.close();
  }
}

process.exit(await main());
