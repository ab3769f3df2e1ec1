/**
 * A single etcd member as a child process, for a manage node that has no cluster: starts Debian's binary, waits until it
 * answers, starts it again when it dies, stops it in the end. It never reads or repairs the data directory, and it is no
 * client: the store is opened on `etcdUrl` like on any other etcd.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

const READY_DEADLINE_MS = 10_000;
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

/** etcd did not start. The message says why, as far as can be told, and ends with etcd's last words. */
export class EmbeddedEtcdError extends Error {
  readonly code = 'embedded_etcd';
}

/**
 * Starts etcd and resolves when it answers.
 * @throws EmbeddedEtcdError binary absent, port taken, data directory in use, or not ready within 10 s
 */
export async function startEmbeddedEtcd(options: EmbeddedEtcdOptions): Promise<EmbeddedEtcd> {
  const binary = findBinary('etcd');
  if (!binary) throw new EmbeddedEtcdError('etcd is not installed: apt-get install etcd-server');
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  checkNotInUse(options.dataDir);
  const listenAddress = options.listenAddress ?? '127.0.0.1';
  const clientPort = await freePort(listenAddress, options.clientPort ?? 2379);
  const peerPort = await freePort('127.0.0.1', options.peerPort ?? 0);
  const etcdUrl = `http://${listenAddress.includes(':') ? `[${listenAddress}]` : listenAddress}:${clientPort}`;
  const args = etcdArguments(options, etcdUrl, `http://127.0.0.1:${peerPort}`);
  const member = new Member(binary, args, etcdUrl, options.logger ?? { info() {}, warn() {} });
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
  #lastLines: string[] = [];

  constructor(binary: string, args: readonly string[], etcdUrl: string, logger: Pick<Logger, 'info' | 'warn'>) {
    this.etcdUrl = etcdUrl;
    this.#logger = logger;
    // The kernel ends etcd when this process dies without a word; setpriv is part of util-linux.
    const setpriv = findBinary('setpriv');
    this.#command = [...(setpriv ? [setpriv, '--pdeathsig', 'SIGTERM'] : []), binary, ...args];
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** @throws EmbeddedEtcdError */
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
        { exitCode, signalCode, lastLines: this.#lastLines },
        'etcd ended unexpectedly; starting it again',
      );
      const wasStable = performance.now() - startedAt > READY_DEADLINE_MS;
      pauseMs = wasStable ? FIRST_RESTART_MS : Math.min(pauseMs * 2, LAST_RESTART_MS);
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      child = this.#spawn();
    }
  }

  #spawn(): ChildProcess {
    const [file = 'etcd', ...args] = this.#command;
    this.#lastLines = [];
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env: cleanEnvironment() });
    child.on('error', (error) => this.#lastLines.push(error.message));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastLines = [...this.#lastLines, ...text.split('\n').filter(Boolean)].slice(-LOG_LINES_KEPT);
    });
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

  #startError(what: string): EmbeddedEtcdError {
    const words = this.#lastLines.join('\n');
    const why = words.includes('address already in use') ? ' (its port is taken)' : '';
    return new EmbeddedEtcdError(`${what}${why}; it said:\n${words}`);
  }
}

function etcdArguments({ dataDir, unsafeNoFsync }: EmbeddedEtcdOptions, clientUrl: string, peerUrl: string): string[] {
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
    `--quota-backend-bytes=${4 * GIBIBYTE}`,
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

/** etcd itself would wait for the other process's lock for ever. @throws EmbeddedEtcdError */
function checkNotInUse(dataDir: string): void {
  const database = statSync(join(dataDir, 'member/snap/db'), { throwIfNoEntry: false });
  if (!database) return;
  // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`, see proc_locks(5)
  for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
    const [, , , , pid = '', file = ''] = line.split(/\s+/);
    if (file.endsWith(`:${database.ino}`) && commandOf(pid) === 'etcd')
      throw new EmbeddedEtcdError(`${dataDir} is in use by the etcd with process id ${pid}`);
  }
}

function commandOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function findBinary(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin'].filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** Does it answer, and does it have a leader? */
async function isHealthy(etcdUrl: string): Promise<boolean> {
  try {
    const answer = await fetch(`${etcdUrl}/health`, { signal: AbortSignal.timeout(1000) });
    const { health } = (await answer.json()) as { readonly health?: string };
    return health === 'true';
  } catch {
    return false;
  }
}

/**
 * A port that nobody listens on at this moment. Asked first, because another etcd on it would pass for ours being ready.
 * @param port 0 for any
 * @throws EmbeddedEtcdError the port is taken
 */
async function freePort(address: string, port: number): Promise<number> {
  const server = createServer().listen(port, address);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new EmbeddedEtcdError(`etcd cannot listen on ${address} port ${port}: ${messageOf(error)}`, { cause: error });
  }
  const bound = server.address();
  server.close();
  await once(server, 'close');
  return bound !== null && typeof bound === 'object' ? bound.port : port;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.includes('EADDRINUSE') ? 'the port is taken' : error.message;
}
