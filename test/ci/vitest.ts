/**
 * Runs vitest on one file, or one test of it, in a process group of its own, and reads the report that it leaves. Knows no more about
 * what is tested.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type RunRecord, readReports } from './run-report.ts';

export interface VitestRun {
  /** the checkout, with its vitest.config.ts and node_modules */
  readonly root: string;
  /** from the root */
  readonly file: string;
  /** absent: all that include the file */
  readonly project?: string | undefined;
  /** exactly this test, by its titles from the outermost `describe` on, or as they are printed; absent: the whole file */
  readonly name?: readonly string[] | string | undefined;
  /** for the report, which stays there */
  readonly results: string;
  readonly timeoutMs: number;
  /** ends it, as Ctrl-C would */
  readonly signal?: AbortSignal;
  readonly onOutput: (text: string) => void;
}

export interface VitestResult {
  /** undefined: ended by a signal */
  readonly status: number | undefined;
  readonly timedOut: boolean;
  readonly runs: readonly RunRecord[];
}

/** What has to clean up after Ctrl-C (a lab is taken down) has this long. */
const GRACE_MS = 60_000;

export async function runVitest(run: VitestRun): Promise<VitestResult> {
  rmSync(run.results, { recursive: true, force: true });
  mkdirSync(run.results, { recursive: true });
  const args = [
    join(run.root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    ...(run.project === undefined ? [] : [`--project=${run.project}`]),
    ...(run.name === undefined ? [] : [`--testNamePattern=${patternOf(run.name)}`]),
    resolve(run.root, run.file),
  ];
  const child = spawn(process.execPath, args, {
    cwd: run.root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TEST_RESULTS: run.results, TEST_PART: '' },
  });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', run.onOutput);
  const timers: NodeJS.Timeout[] = [];
  let timedOut = false;
  const stop = (): void => {
    signalGroup(child.pid, 'SIGINT');
    timers.push(setTimeout(() => signalGroup(child.pid, 'SIGKILL'), GRACE_MS));
  };
  timers.push(
    setTimeout(() => {
      timedOut = true;
      stop();
    }, run.timeoutMs),
  );
  run.signal?.addEventListener('abort', stop);
  if (run.signal?.aborted) stop();
  try {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? undefined));
    });
    return { status, timedOut, runs: readReports(run.results).runs };
  } finally {
    run.signal?.removeEventListener('abort', stop);
    for (const timer of timers) clearTimeout(timer);
  }
}

/**
 * A regular expression for the full name that vitest makes of titles: joined by blanks. Of a printed name, ` > ` may be what joins two of
 * them or part of one.
 */
export function patternOf(name: readonly string[] | string): string {
  const literally = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  const joined = typeof name === 'string' ? literally(name).replaceAll(' > ', '(?: > | )') : literally(name.join(' '));
  return `^${joined}$`;
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ended by itself meanwhile
  }
}
