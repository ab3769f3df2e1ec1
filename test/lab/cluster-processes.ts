/**
 * The processes of one lab, by name: etcd, the forwarder, controllers, agents. Starts each until it is ready, ends it, and keeps the lab's
 * file true about it. What to run comes from services.ts.
 */
import { readFileSync } from 'node:fs';
import { waitFor } from './probe/deadline.ts';
import { endProcesses, isRunning, signalProcess, startProcess } from './process.ts';
import * as services from './services.ts';
import { type LabState, writeLab } from './state.ts';
import { agentHosts, hostFiles, type Topology } from './topology.ts';

/** On a busy machine; one that is not gets no further than a second. */
const READY_TIMEOUT_MS = 120_000;

interface Service {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** absent: runs where we do */
  readonly netns?: string;
  readonly isReady: () => boolean | Promise<boolean>;
}

/** Has no close(): processes outlive who started them, and take-down.ts ends them by the file. */
export class ClusterProcesses {
  readonly #topology: Topology;
  #state: LabState;

  constructor(state: LabState) {
    this.#state = state;
    this.#topology = state.topology;
  }

  /** The forwarder's port for a controller. @returns undefined before it runs */
  port(controller: string): number | undefined {
    return this.#state.ports[controller];
  }

  async startEtcd(signal?: AbortSignal): Promise<void> {
    const topology = this.#topology;
    const [host] = topology.manage;
    if (host === undefined) throw new Error('a lab without a manage node');
    const command = services.etcdCommand(topology);
    await this.#start({ name: 'etcd', command, netns: host.netns, isReady: () => services.isEtcdReady(host) }, signal);
  }

  async startForwarder(signal?: AbortSignal): Promise<void> {
    const command = services.forwarderCommand(this.#topology);
    const ports = () => services.readPorts(this.#topology);
    await this.#start({ name: 'forwarder', command, isReady: () => ports() !== undefined }, signal);
    this.#save({ ports: ports() ?? {} });
  }

  async startController(name: string, signal?: AbortSignal): Promise<void> {
    const host = this.#named(this.#topology.manage, name);
    const command = services.controllerCommand(this.#topology, host);
    const isReady = () => services.isControllerReady(this.#topology, host);
    await this.#start({ name, command, netns: host.netns, isReady }, signal);
  }

  /** @param backend the lab's, unless given */
  async startAgent(name: string, signal?: AbortSignal, backend?: string): Promise<void> {
    const host = this.#named(agentHosts(this.#topology), name);
    const command = services.agentCommand(this.#topology, host, backend);
    const isReady = () => services.isAgentReady(hostFiles(this.#topology, name).agentSocket);
    await this.#start({ name, command, netns: host.netns, isReady }, signal);
  }

  /** Resolves once it has ended; SIGSTOP and SIGCONT end nothing and return at once. @throws Error if there is no such process */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const ref = this.#named(this.#state.processes, name);
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') signalProcess(ref, signal);
    else await endProcesses([ref], signal, 10_000);
  }

  /** @returns undefined if it is not running */
  pid(name: string): number | undefined {
    const found = this.#state.processes.find((each) => each.name === name);
    return found && isRunning(found) ? found.pid : undefined;
  }

  /** All it has logged, over restarts. */
  logs(name: string): string {
    return readFileSync(hostFiles(this.#topology, name).log, 'utf8');
  }

  /** The lab stands; others may use it now. */
  markUp(): void {
    this.#save({ phase: 'up' });
  }

  async #start({ name, command, netns, isReady }: Service, signal: AbortSignal | undefined): Promise<void> {
    if (this.pid(name) !== undefined) throw new Error(`${name} is running already`);
    const { log } = hostFiles(this.#topology, name);
    const lab = this.#topology.id;
    const ref = await startProcess({ lab, name, command, log, ...(netns === undefined ? {} : { netns }) });
    this.#save({ processes: [...this.#state.processes.filter((each) => each.name !== name), ref] });
    const look = async () => !isRunning(ref) || (await isReady());
    const wait = { timeoutMs: READY_TIMEOUT_MS, what: `${name} is ready`, everyMs: 30, signal };
    const trouble = await waitFor(look, wait).then(
      () => (isRunning(ref) ? undefined : new Error(`${name} ended while starting`)),
      (error: Error) => error,
    );
    signal?.throwIfAborted();
    if (trouble === undefined) return;
    const tail = services.logTail(this.#topology, name);
    throw new Error(`${trouble.message}; the end of its log:\n${tail}`, { cause: trouble });
  }

  #named<T extends { readonly name: string }>(among: readonly T[], name: string): T {
    const found = among.find((each) => each.name === name);
    if (found === undefined) throw new Error(`lab ${this.#topology.id} has no ${name}`);
    return found;
  }

  #save(change: Partial<LabState>): void {
    this.#state = { ...this.#state, ...change };
    writeLab(this.#state);
  }
}
