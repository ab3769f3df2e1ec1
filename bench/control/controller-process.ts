/**
 * One controller with an etcd of its own, as on a manage node: the compiled program, on loopback, its files in a folder of its own.
 * Starts and ends it; asks nothing of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../../test/lab/probe/deadline.ts';
import { ROOT } from '../../test/lab/services.ts';

/** A pool that is not used up by hundreds of thousands of tenants. */
const NETWORK = ['--pool', '10.0.0.0/8', '--subnet-prefix-length', '26', '--block-prefix-length', '27'];
const READY_TIMEOUT_MS = 20_000;

export class ControllerProcess {
  readonly url: string;
  readonly token: string;
  readonly etcdUrl: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  /** @throws Error with the end of its log when it is not ready in time */
  static async start(signal: AbortSignal): Promise<ControllerProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'tenet-bench-control-'));
    const etcd = ['--embedded-etcd', join(folder, 'etcd'), '--etcd-listen', '127.0.0.1:0'];
    const tokenFile = join(folder, 'token');
    const main = join(ROOT, 'dist/controller/main.js');
    const flags = ['--listen', '127.0.0.1:0', '--token-file', tokenFile, ...NETWORK, ...etcd];
    const child = spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let log = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-100_000);
      });
    const find = (pattern: RegExp): string | undefined => pattern.exec(log)?.[1];
    const url = () => find(/REST is served on (http:\/\/[\d.:]+)/);
    const etcdUrl = () => find(/"etcd":\["(http:\/\/[\d.:]+)"\]/);
    const isReady = async () => {
      if (child.exitCode !== null) throw new Error(`the controller ended while starting:\n${log.slice(-2000)}`);
      const base = url();
      return base !== undefined && etcdUrl() !== undefined && (await fetch(`${base}/readyz`)).status === 200;
    };
    try {
      await waitFor(isReady, { timeoutMs: READY_TIMEOUT_MS, what: 'the controller is ready', everyMs: 30, signal });
      const token = readFileSync(tokenFile, 'utf8').trim();
      return new ControllerProcess({ child, folder, url: url() ?? '', etcdUrl: etcdUrl() ?? '', token });
    } catch (error) {
      await end(child, folder);
      throw error;
    }
  }

  private constructor(parts: {
    readonly child: ChildProcess;
    readonly folder: string;
    readonly url: string;
    readonly etcdUrl: string;
    readonly token: string;
  }) {
    this.#child = parts.child;
    this.#folder = parts.folder;
    this.url = parts.url;
    this.etcdUrl = parts.etcdUrl;
    this.token = parts.token;
  }

  /** Ends it and its etcd, and removes their files. */
  close(): Promise<void> {
    return end(this.#child, this.#folder);
  }
}

/** It ends its etcd itself; what of the two is left after 10 s, is killed: they are one process group. */
async function end(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const ended = once(child, 'exit');
    const { pid } = child;
    child.kill('SIGTERM');
    const timer = setTimeout(() => process.kill(-pid, 'SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }
  rmSync(folder, { recursive: true, force: true });
}
