/**
 * Processes of a lab: started in a namespace, free of the process that started them, and known by pid AND start time, so that
 * none but ours is ever signalled. Knows nothing of what they do.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { waitFor } from './probe/deadline.ts';
import { netnsPath } from './probe/netns-path.ts';

/** In the environment of every process of a lab, and of their children. */
const MARK = 'TENET_LAB';

export interface ProcessRef {
  readonly name: string;
  readonly pid: number;
  /** clock ticks since boot: a pid given again has another @see proc(5), /proc/PID/stat field 22 */
  readonly startTime: string;
}

export interface ProcessOptions {
  readonly lab: string;
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** name of a network namespace; absent: our own */
  readonly netns?: string;
  /** stdout and stderr are appended to it */
  readonly log: string;
}

/** Starts it in a session of its own. @throws Error if it cannot be started at all */
export async function startProcess({ lab, name, command, netns, log }: ProcessOptions): Promise<ProcessRef> {
  const [file, ...args] = netns ? ['nsenter', `--net=${netnsPath(netns)}`, '--', ...command] : command;
  const output = openSync(log, 'a', 0o600);
  try {
    const child = spawn(file ?? '', args, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, [MARK]: lab },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(new Error(`cannot start ${name}: ${error.message}`, { cause: error })));
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { name, pid, startTime: statOf(pid)?.startTime ?? 'ended' };
  } finally {
    closeSync(output);
  }
}

/** This very process, as an owner. */
export function ownProcess(): ProcessRef {
  return { name: 'owner', pid: process.pid, startTime: statOf(process.pid)?.startTime ?? '' };
}

/** A zombie counts as ended. */
export function isRunning({ pid, startTime }: ProcessRef): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** Signals it if it is still the one we started. @returns was it? */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isRunning(ref)) return false;
  try {
    return process.kill(ref.pid, signal);
  } catch {
    return false;
  }
}

/** Resolves once all have ended: asked to with `signal`, killed after `graceMs` (2 s unless given). */
export async function endProcesses(
  refs: readonly ProcessRef[],
  signal: NodeJS.Signals = 'SIGTERM',
  graceMs = 2000,
): Promise<void> {
  const left = () => refs.filter(isRunning);
  for (const ref of refs) {
    signalProcess(ref, signal);
    // A stopped process takes no notice of SIGTERM until it goes on.
    if (signal !== 'SIGSTOP') signalProcess(ref, 'SIGCONT');
  }
  const gone = () => left().length === 0;
  await waitFor(gone, { timeoutMs: graceMs, what: 'processes end', everyMs: 5 }).catch(() => {
    for (const ref of left()) signalProcess(ref, 'SIGKILL');
  });
  await waitFor(gone, { what: 'killed processes end', everyMs: 5 });
}

/** Processes that carry a lab's mark, whichever process started them: also what the lab's file does not know of. */
export function findMarked(lab: string): readonly ProcessRef[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return [];
    if (!readProc(`${entry}/environ`)?.split('\0').includes(`${MARK}=${lab}`)) return [];
    const stat = statOf(Number(entry));
    return stat ? [{ name: 'marked', pid: Number(entry), startTime: stat.startTime }] : [];
  });
}

function statOf(pid: number): { readonly state: string; readonly startTime: string } | undefined {
  const text = readProc(`${pid}/stat`);
  // The second field is the command's name in parentheses, and may hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields && { state: fields[0] ?? '', startTime: fields[19] ?? '' };
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return undefined;
  }
}
