/**
 * Network namespaces to measure in: made by nothing but this process holding them open, so they are gone when it is, however it
 * ends. Never touches the machine's own.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { unshareNetns, withNetns } from '../dataplane/system/netns.ts';

const OWN_NETNS = '/proc/thread-self/ns/net';

export class BenchNamespace {
  readonly #fd: number;

  /** @throws KernelError without the privilege to make one */
  constructor() {
    this.#fd = withNetns(OWN_NETNS, () => {
      unshareNetns();
      return openSync(OWN_NETNS, 'r');
    });
  }

  /** Names it to calls that take a namespace by its file, while this process holds it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  /** Does something synchronous inside. A socket opened there stays there. */
  run<T>(work: () => T): T {
    return withNetns(this.path, work);
  }

  /**
   * Runs a command inside and waits for its end.
   * @throws Error with what it said, unless it succeeds
   */
  exec(command: readonly string[], input: string, env: NodeJS.ProcessEnv = process.env): string {
    const [file = '', ...args] = command;
    const result = this.run(() => spawnSync(file, args, { input, env, encoding: 'utf8' }));
    if (result.status !== 0) throw new Error(`${command.join(' ')}: ${faultOf(result)}`);
    return result.stdout;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function faultOf({ error, stderr, status, signal }: SpawnSyncReturns<string>): string {
  return error?.message ?? (stderr.trim() || `status ${status ?? signal}`);
}
