/**
 * A single etcd member as a child process, for a manage node that has no cluster: starts Debian's binary, waits until it
 * answers, starts it again when it dies, stops it in the end. It never reads or repairs the data directory, and it is no
 * client: the store is opened on `etcdUrl` like on any other etcd.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { delimiter } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { checkNotInUse, EtcdStartError, findBinary, findFreePort } from './etcd-preconditions.ts';

/** A large database takes etcd ten seconds to open, and a busy machine longer; one that fails ends by itself, and is not waited for. */
const READY_DEADLINE_MS = 60_000;
const HEALTH_MS = 5_000;
/** Who has run for so long is started again at once. */
const STABLE_MS = 10_000;
const STOP_DEADLINE_MS = 5_000;
const POLL_MS = 20;
const FIRST_RESTART_MS = 100;
const LAST_RESTART_MS = 5_000;
const LOG_LINES_KEPT = 20;
const GIBIBYTE = 1024 ** 3;

export interface EmbeddedEtcdOptions {
  /** made if absent, mode 0700 */
  readonly dataDir: string;
  /** where clients connect, 127.0.0.1 unless given; there is no authentication, so only where pods cannot reach */
  readonly listenAddress?: string;
  /** 2379 unless given; 0 for a free one */
  readonly clientPort?: number;
  /** always on loopback; a free one unless given */
  readonly peerPort?: number;
  /** tests only: fast, and loses data with the machine's power */
  readonly unsafeNoFsync?: boolean;
  /** of its database; 4 GiB unless given */
  readonly quotaBytes?: number;
  /** where the binaries are looked for; the environment's PATH and /usr/bin unless given */
  readonly searchPath?: string;
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
}

export interface EmbeddedEtcd {
  /** such as `http://127.0.0.1:2379` */
  readonly etcdUrl: string;
  /** of the process now running; undefined between a crash and the restart */
  readonly pid: number | undefined;
  /** Ends etcd: asked to for 5 s, then killed. */
  close(): Promise<void>;
}

/**
 * Starts etcd and resolves when it answers.
 * @throws EtcdStartError binary absent, port taken, data directory in use, or not ready within a minute
 */
export async function startEmbeddedEtcd(options: EmbeddedEtcdOptions): Promise<EmbeddedEtcd> {
  const searchPath = options.searchPath ?? `${process.env.PATH ?? ''}${delimiter}/usr/bin`;
  const binary = findBinary('etcd', searchPath);
  if (!binary) throw new EtcdStartError('etcd is not installed: apt-get install etcd-server');
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  checkNotInUse(options.dataDir);
  const listenAddress = options.listenAddress ?? '127.0.0.1';
  const clientPort = await findFreePort(listenAddress, options.clientPort ?? 2379);
  const peerPort = await findFreePort('127.0.0.1', options.peerPort ?? 0);
  const etcdUrl = `http://${listenAddress.includes(':') ? `[${listenAddress}]` : listenAddress}:${clientPort}`;
  const args = etcdArguments(options, etcdUrl, `http://127.0.0.1:${peerPort}`);
  // The kernel ends etcd when this process dies without a word; setpriv is part of util-linux.
  const setpriv = findBinary('setpriv', searchPath);
  const command = [...(setpriv ? [setpriv, '--pdeathsig', 'SIGTERM'] : []), binary, ...args];
  const member = new Member(command, etcdUrl, options.logger ?? { info() {}, warn() {} });
  await member.start();
  return member;
}

/** The process and its restarts. */
class Member implements EmbeddedEtcd {
  readonly etcdUrl: string;
  readonly #command: readonly string[];
  readonly #logger: Pick<Logger, 'info' | 'warn'>;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #lastWords = new LastWords();

  constructor(command: readonly string[], etcdUrl: string, logger: Pick<Logger, 'info' | 'warn'>) {
    this.#command = command;
    this.etcdUrl = etcdUrl;
    this.#logger = logger;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** @throws EtcdStartError */
  async start(): Promise<void> {
    const child = this.#spawn();
    const ended = once(child, 'exit');
    try {
      await this.#untilHealthy(child);
    } catch (error) {
      this.#stopping.abort();
      if (isRunning(child)) child.kill('SIGKILL');
      await ended;
      throw error;
    }
    this.#logger.info({ etcdUrl: this.etcdUrl, pid: child.pid }, 'etcd is ready');
    void this.#keepRunning(child);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    const child = this.#child;
    if (!child || !isRunning(child)) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
    await ended;
    clearTimeout(killer);
  }

  async #keepRunning(first: ChildProcess): Promise<void> {
    let child = first;
    let pauseMs = FIRST_RESTART_MS;
    for (;;) {
      const startedAt = performance.now();
      if (isRunning(child)) await once(child, 'exit');
      this.#child = undefined;
      if (this.#stopping.signal.aborted) return;
      const { exitCode, signalCode } = child;
      this.#logger.warn(
        { exitCode, signalCode, lastWords: this.#lastWords.text },
        'etcd ended unexpectedly; starting it again',
      );
      const wasStable = performance.now() - startedAt > STABLE_MS;
      pauseMs = wasStable ? FIRST_RESTART_MS : Math.min(pauseMs * 2, LAST_RESTART_MS);
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      child = this.#spawn();
    }
  }

  #spawn(): ChildProcess {
    const [file = 'etcd', ...args] = this.#command;
    const words = new LastWords();
    this.#lastWords = words;
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env: cleanEnvironment() });
    child.on('error', (error) => words.add(error.message));
    if (child.stderr) createInterface(child.stderr).on('line', (line) => words.add(line));
    this.#child = child;
    return child;
  }

  async #untilHealthy(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + READY_DEADLINE_MS;
    while (performance.now() < deadline) {
      if (!isRunning(child)) {
        await sleep(POLL_MS); // its last words may still be in the pipe
        throw this.#startError('etcd ended while starting');
      }
      if (await isHealthy(this.etcdUrl)) return;
      await sleep(POLL_MS);
    }
    throw this.#startError(`etcd was not ready after ${READY_DEADLINE_MS / 1000} s`);
  }

  #startError(what: string): EtcdStartError {
    const words = this.#lastWords.text;
    const why = words.includes('address already in use') ? ' (its port is taken)' : '';
    return new EtcdStartError(`${what}${why}; it said:\n${words}`);
  }
}

/** The end of what a process said, without the stack traces that would push out why it panicked. */
class LastWords {
  #lines: string[] = [];
  #inTrace = false;

  add(line: string): void {
    this.#inTrace ||= line.startsWith('goroutine ');
    if (!this.#inTrace && line !== '') this.#lines = [...this.#lines, line].slice(-LOG_LINES_KEPT);
  }

  get text(): string {
    return this.#lines.join('\n');
  }
}

function etcdArguments(
  { dataDir, unsafeNoFsync, quotaBytes = 4 * GIBIBYTE }: EmbeddedEtcdOptions,
  clientUrl: string,
  peerUrl: string,
): string[] {
  const fast = ['--unsafe-no-fsync', '--heartbeat-interval=10', '--election-timeout=100'];
  return [
    '--name=tenet',
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=tenet=${peerUrl}`,
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=15m',
    `--quota-backend-bytes=${quotaBytes}`,
    // Idle watches must learn of newer revisions well before history is compacted.
    '--experimental-watch-progress-notify-interval=10s',
    '--logger=zap',
    '--log-level=warn',
    ...(unsafeNoFsync ? fast : []),
  ];
}

/** etcd would take each of its flags from the environment too; on 64-bit ARM it wants to be told that we mean it. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_'));
  return { ...Object.fromEntries(kept), ...(process.arch === 'arm64' && { ETCD_UNSUPPORTED_ARCH: 'arm64' }) };
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Does it answer, and does it have a leader? */
async function isHealthy(etcdUrl: string): Promise<boolean> {
  try {
    const answer = await fetch(`${etcdUrl}/health`, { signal: AbortSignal.timeout(HEALTH_MS) });
    const { health } = (await answer.json()) as { readonly health?: string };
    return health === 'true';
  } catch {
    return false;
  }
}
