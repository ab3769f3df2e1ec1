/**
 * A whole cluster on one machine, in the hands of a test, the demo or a benchmark: real etcd, controllers and agents, each in a network
 * namespace of its own. Builds, breaks and mends it; asserts nothing.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { ClusterProcesses } from './cluster-processes.ts';
import {
  type Attachment,
  type AttachOptions,
  type CniHost,
  type Container,
  cniAdd,
  cniCheck,
  cniDel,
  formatConflist,
  newContainerId,
} from './container.ts';
import { buildFabric, ip, joinHost, removeNamespaces } from './fabric.ts';
import { addNetns } from './named-netns.ts';
import type { Prober } from './probe/prober.ts';
import type { Sentinel } from './probe/sentinel.ts';
import { Probers } from './probers.ts';
import { ownProcess } from './process.ts';
import { callRest, type RestResponse } from './rest.ts';
import { CNI_BIN, checkBuilt } from './services.ts';
import { claimLab, type LabState, newLabId } from './state.ts';
import { takeDown } from './take-down.ts';
import {
  agentHosts,
  hostFiles,
  type LabOptions,
  netnsName,
  OUTSIDE,
  planLab,
  planStranger,
  type Topology,
  tokenFile,
} from './topology.ts';

/** A compute or gateway node. */
export interface LabHost extends CniHost {
  readonly roles: readonly ['compute' | 'gateway'];
  readonly underlay: string;
  readonly mac: string;
  readonly agentSocket: string;
}

export interface LabController {
  readonly name: string;
  readonly netns: string;
  /** answers from the machine's own loopback */
  readonly url: string;
}

/** A host on the fabric that is no node. */
export interface Stranger {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
  readonly mac: string;
}

/**
 * Builds a lab and resolves once every agent would serve an ADD.
 * @throws Error saying which part did not start, with the end of its log; what was built is taken down first
 */
export async function startLab(options: LabOptions & { readonly detached?: boolean } = {}): Promise<Lab> {
  checkBuilt();
  const topology = planLab(options.id ?? newLabId(), options);
  const lab = Lab.claim(topology, options.detached ?? false);
  try {
    await lab.build(options);
    return lab;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

export class Lab {
  readonly id: string;
  readonly dir: string;
  readonly topology: Topology;
  readonly outside: Topology['outside'];
  readonly fabricNetns: string;
  readonly #processes: ClusterProcesses;
  readonly #probers: Probers;
  #strangers = 0;
  #containers = 0;

  constructor(state: LabState) {
    this.#processes = new ClusterProcesses(state);
    this.#probers = new Probers(state.topology);
    this.topology = state.topology;
    this.id = state.topology.id;
    this.dir = state.topology.dir;
    this.outside = state.topology.outside;
    this.fabricNetns = state.topology.fabric.netns;
  }

  /** Takes the id on this machine. @throws Error if it is taken */
  static claim(topology: Topology, detached: boolean): Lab {
    const owner = detached ? {} : { owner: ownProcess() };
    const createdAt = new Date().toISOString();
    const state: LabState = { topology, phase: 'building', ...owner, processes: [], ports: {}, createdAt };
    claimLab(state);
    return new Lab(state);
  }

  /** For startLab, once. */
  async build({ signal, onProgress = () => undefined }: LabOptions): Promise<void> {
    const { topology } = this;
    const started = performance.now();
    const step = (what: string): void => {
      signal?.throwIfAborted();
      onProgress(`${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    };
    this.#writeFiles();
    await buildFabric(topology);
    step(`lab ${this.id}: ${topology.manage.length + agentHosts(topology).length} hosts on one fabric`);
    await this.startEtcd(signal);
    step('etcd answers');
    await Promise.all([
      this.#processes.startForwarder(signal),
      ...topology.manage.map((host) => this.startController(host.name, signal)),
      ...agentHosts(topology).map((host) => this.startAgent(host.name, signal)),
    ]);
    step('controllers and agents are ready');
    this.#processes.markUp();
  }

  get controllers(): readonly LabController[] {
    return this.topology.manage.map(({ name, netns }) => ({
      name,
      netns,
      url: `http://127.0.0.1:${this.#processes.port(name) ?? 0}`,
    }));
  }

  get hosts(): readonly LabHost[] {
    return agentHosts(this.topology).map(({ name, role, netns, underlay, mac }) => {
      const { agentSocket, cniConf } = hostFiles(this.topology, name);
      const { plugin } = this.topology;
      const roles = [role === 'gateway' ? 'gateway' : 'compute'] as const;
      return { name, roles, netns, underlay, mac, agentSocket, cniBin: CNI_BIN, cniConf, plugin };
    });
  }

  get token(): string {
    return readFileSync(tokenFile(this.topology), 'utf8').trim();
  }

  get tokenFile(): string {
    return tokenFile(this.topology);
  }

  /** @throws Error */
  host(name: string): LabHost {
    const host = this.hosts.find((each) => each.name === name);
    if (host === undefined) throw new Error(`lab ${this.id} has no node ${name}`);
    return host;
  }

  /** The sockets of a namespace, by its name or that of something that has one. Closed with the lab. */
  prober(where: string | { readonly netns: string }): Prober {
    return this.#probers.in(typeof where === 'string' ? where : where.netns);
  }

  /** What is sent behind packets that must not arrive, to know when they have gone as far as they go. Closed with the lab. */
  get sentinel(): Sentinel {
    return this.#probers.sentinel;
  }

  /** A container on a node, as its runtime would attach it. @throws CniFailure */
  async attach(host: string, options: AttachOptions = {}): Promise<Container> {
    const id = options.containerId ?? newContainerId();
    const label = (options.name ?? 'c').replace(/[^a-zA-Z0-9-]/g, '-').slice(0, 40);
    const netns = netnsName(this.id, `c-${label}-${++this.#containers}-${id.slice(0, 4)}`);
    addNetns(netns);
    const attachment: Attachment = { host: this.host(host), id, netns, ifname: options.ifname ?? 'eth0', options };
    try {
      return await cniAdd(attachment);
    } catch (error) {
      // As runtimes do it: a failed ADD gets one DEL.
      await cniDel(attachment).catch(() => undefined);
      await removeNamespaces([netns]);
      throw error;
    }
  }

  /** DEL, then the namespace goes. @throws CniFailure */
  async detach(container: Container): Promise<void> {
    await cniDel(container, container.result);
    this.#probers.leave(container.netns);
    await removeNamespaces([container.netns]);
  }

  /** @throws CniFailure if the container's network is not as ADD left it */
  check(container: Container): Promise<void> {
    return cniCheck(container);
  }

  /** One REST call, with the lab's token. @param controller the first unless given */
  rest<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
    controller?: string,
  ): Promise<RestResponse<Body>> {
    const target = controller ? this.controllers.find(({ name }) => name === controller) : this.controllers[0];
    if (target === undefined) throw new Error(`lab ${this.id} has no controller ${controller}`);
    return callRest<Body>({ method, url: `${target.url}${path}`, token: this.token, body, headers });
  }

  startEtcd(signal?: AbortSignal): Promise<void> {
    return this.#processes.startEtcd(signal);
  }

  startController(name: string, signal?: AbortSignal): Promise<void> {
    return this.#processes.startController(name, signal);
  }

  startAgent(name: string, signal?: AbortSignal, backend?: string): Promise<void> {
    return this.#processes.startAgent(name, signal, backend);
  }

  /** Resolves once it has ended. SIGSTOP only stops it; SIGCONT lets it go on. SIGKILL unless given. */
  killEtcd(signal?: NodeJS.Signals): Promise<void> {
    return this.#processes.kill('etcd', signal);
  }

  killController(name: string, signal?: NodeJS.Signals): Promise<void> {
    return this.#processes.kill(name, signal);
  }

  killAgent(name: string, signal?: NodeJS.Signals): Promise<void> {
    return this.#processes.kill(name, signal);
  }

  /** The process id of `etcd`, `forwarder`, a controller or an agent. @returns undefined if it is not running */
  pid(name: string): number | undefined {
    return this.#processes.pid(name);
  }

  /** All that `etcd`, `forwarder`, a controller or an agent has logged. */
  logs(name: string): string {
    return this.#processes.logs(name);
  }

  /** Joins one more host to the fabric, with an address and MAC of its own or one it forges. */
  async addStranger(forged: { readonly address?: string; readonly mac?: string } = {}): Promise<Stranger> {
    const plan = planStranger(this.id, this.#strangers++);
    const host = { ...plan, underlay: forged.address ?? plan.underlay, mac: forged.mac ?? plan.mac };
    await joinHost(this.topology, host);
    return { name: host.name, netns: host.netns, address: host.underlay, mac: host.mac };
  }

  /** Gives packets from `outside.intruderAddress` a way to a container's address: the fabric hands them to its node. */
  async exposeToOutside(container: Container): Promise<void> {
    const { underlay } = this.host(container.host.name);
    await ip(this.fabricNetns, [`route replace ${container.ip}/32 via ${underlay}`]);
    await ip(this.outside.netns, [`route replace ${container.ip}/32 via ${OUTSIDE.router} table 100`]);
  }

  /** The form of the design: what `lab up --json` prints. */
  describe() {
    const { controllers, token, outside } = this;
    return {
      id: this.id,
      controllers,
      token,
      hosts: this.hosts.map(({ mac: _mac, plugin: _plugin, ...host }) => host),
      outside: { netns: outside.netns, address: outside.address },
    };
  }

  /** Every process, namespace and file of the lab goes. May be repeated. */
  async close(): Promise<void> {
    this.release();
    await takeDown(this.id);
  }

  /** Closes this process's own sockets in the lab, and leaves the lab standing. */
  release(): void {
    this.#probers.close();
  }

  #writeFiles(): void {
    const { topology } = this;
    mkdirSync(`${this.dir}/logs`, { mode: 0o700 });
    writeFileSync(tokenFile(topology), `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    for (const { name } of agentHosts(topology)) {
      const { stateDir, agentSocket, cniConf } = hostFiles(topology, name);
      mkdirSync(stateDir, { mode: 0o700 });
      writeFileSync(cniConf, formatConflist(agentSocket));
    }
  }
}
