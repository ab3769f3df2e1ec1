/** What a figure was measured on: without it, figures cannot be compared. Reads, never changes. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** Goes into every result file. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** processes that wanted a processor over the last minute, ours among them: near or above `cores` the figures are rough */
  readonly load: number;
  readonly kernel: string;
  readonly node: string;
  /** of the checkout; `-dirty` when something differs from it */
  readonly commit: string;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: round(totalmem() / 1024 ** 3),
    load: round(loadavg()[0] ?? 0),
    kernel: release(),
    node: process.version,
    commit: commit(),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--abbrev=40', '--exclude=*', '--dirty'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** The version a tool tells, such as `1.8.9`. @returns undefined when it is not installed */
export function findVersion(tool: string): string | undefined {
  try {
    const text = execFileSync(tool, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return /\d+(\.\d+)+/.exec(text)?.[0] ?? text.trim();
  } catch {
    return undefined;
  }
}

/** The version of a Debian package. @returns undefined where it is not installed, or packages are not Debian's */
export function findPackageVersion(name: string): string | undefined {
  try {
    const ask = ['-W', '-f', `\${db:Status-Status} \${Version}`, name];
    const text = execFileSync('dpkg-query', ask, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return /^installed (\S+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}
