/**
 * The suite's cluster: a lab of two hosts, three tenants with their pods, a world outside, and every change a case may make to them, each
 * waited for until it is in force. Knows at any moment what is there, and puts back what was at the start. Expects nothing.
 */
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { Flow } from '../lab/probe/flow.ts';
import type { LabOptions } from '../lab/topology.ts';
import { forgetFlows } from '../lab/tracked-flows.ts';
import type { Action, FlowPlan, NamedPort, Places, PodPlan } from './case.ts';
import { NAMESPACES, OUTSIDE_ADDRESSES, PODS, TENANT, TENANTS, tenantOf } from './cast.ts';
import type { Labels, Spec } from './policy-input.ts';
import { Requests } from './requests.ts';
import { Station } from './station.ts';
import { type Kind, kindOf } from './truth.ts';
import { openWorld } from './world.ts';

/** A pod that is there. */
export interface Actor {
  readonly plan: Required<PodPlan>;
  readonly container: Container;
  readonly station: Station;
  /** REST's */
  readonly endpoint: string;
}

export interface RunningFlow {
  readonly plan: FlowPlan;
  readonly flow: Flow;
}

export class Scene {
  readonly lab: Lab;
  readonly #requests: Requests;
  readonly #actors = new Map<string, Actor>();
  /** what is put, by `namespace:policy` */
  readonly #policies = new Map<string, Spec>();
  readonly #namespaces = new Map<string, Labels>();
  /** changed since its pod was attached */
  readonly #labels = new Map<string, Labels>();
  readonly #ports = new Map<string, readonly NamedPort[]>();
  readonly #asked = new Set<'own' | 'peer'>();
  readonly #flows = new Map<string, RunningFlow>();
  #subnet = '';
  #world: Station | undefined;
  #flowPort = 8000;

  private constructor(lab: Lab) {
    this.lab = lab;
    this.#requests = new Requests(lab);
  }

  /** Builds all of it. @throws Error; what was built is taken down first */
  static async open(options: Pick<LabOptions, 'backend' | 'signal' | 'onProgress'>): Promise<Scene> {
    const scene = new Scene(await startLab({ ...options, nodes: 2 }));
    try {
      await scene.#furnish();
      return scene;
    } catch (error) {
      await scene.close();
      throw error;
    }
  }

  get actors(): ReadonlyMap<string, Actor> {
    return this.#actors;
  }

  get flows(): ReadonlyMap<string, RunningFlow> {
    return this.#flows;
  }

  /** Policies that are put, by `namespace:policy`. */
  get policies(): ReadonlyMap<string, Spec> {
    return this.#policies;
  }

  /** Labels of every namespace there is. */
  get namespaces(): ReadonlyMap<string, Labels> {
    return this.#namespaces;
  }

  /** Who asks for the peering. */
  get asked(): ReadonlySet<'own' | 'peer'> {
    return this.#asked;
  }

  labelsOf(name: string): Labels {
    return this.#labels.get(name) ?? this.#actor(name).plan.labels;
  }

  portsOf(name: string): readonly NamedPort[] {
    return this.#ports.get(name) ?? this.#actor(name).plan.ports;
  }

  get stations(): readonly Station[] {
    const pods = [...this.#actors.values()].map(({ station }) => station);
    return this.#world === undefined ? pods : [...pods, this.#world];
  }

  get places(): Places {
    return { ip: (name) => this.addressOf(name), subnet: this.#subnet };
  }

  /** @throws Error if no pod, node or outside host has this name */
  addressOf(name: string): string {
    const node = /^node\/(\d)$/.exec(name)?.[1];
    if (node !== undefined) return this.lab.host(`node${node}`).underlay;
    const address = OUTSIDE_ADDRESSES[name] ?? this.#actors.get(name)?.container.ip;
    if (address === undefined) throw new Error(`nothing is called ${name}`);
    return address;
  }

  /** Names that can be called, of these kinds. */
  names(kinds: readonly Kind[]): readonly string[] {
    const all = [...this.#actors.keys(), ...Object.keys(OUTSIDE_ADDRESSES), 'node/1', 'node/2'];
    return all.filter((name) => kinds.includes(kindOf(name)));
  }

  /** Resolves once it is in force. @throws Error if it is refused, or not enforced in time */
  async apply(action: Action): Promise<void> {
    switch (action.kind) {
      case 'put': {
        const { namespace, policy, spec } = action;
        return await this.#putPolicy(`${namespace}:${policy}`, typeof spec === 'function' ? spec(this.places) : spec);
      }
      case 'drop':
        return await this.#dropPolicy(`${action.namespace}:${action.policy}`);
      case 'label':
        return await this.#label(action.pod, action.labels);
      case 'ports':
        return await this.#namePorts(action.pod, action.ports);
      case 'label-namespace':
        return await this.#labelNamespace(action.namespace, action.labels);
      case 'drop-namespace':
        return await this.#dropNamespace(action.namespace);
      case 'attach':
        return await this.#attach(this.#complete(action.pod));
      case 'detach':
        return await this.#detach(action.pod);
      case 'peer':
        await Promise.all(action.asks.map((side) => this.#ask(side)));
        return;
      case 'unpeer':
        return await this.#takeBack(action.takesBack);
      case 'flow':
        return await this.#openFlow(action.flow);
    }
  }

  async #putPolicy(where: string, spec: Spec): Promise<void> {
    // Even one that fails may have been stored.
    this.#policies.set(where, spec);
    await this.#requests.putPolicy(where, spec);
  }

  /** As it was at the start, whatever has been done. */
  async reset(): Promise<void> {
    for (const { flow } of this.#flows.values()) flow.close();
    this.#flows.clear();
    await Promise.all([...this.#policies.keys()].map((where) => this.#dropPolicy(where)));
    await Promise.all([...this.#asked].map((side) => this.#takeBack(side)));
    const planned = new Map(PODS.map((plan) => [plan.name, plan]));
    const isAsPlanned = (name: string) => {
      const plan = this.#actors.get(name)?.plan;
      return plan === planned.get(name);
    };
    await Promise.all([...this.#actors.keys()].filter((name) => !isAsPlanned(name)).map((name) => this.#detach(name)));
    await Promise.all(PODS.filter(({ name }) => !this.#actors.has(name)).map((plan) => this.#attach(plan)));
    await Promise.all([
      ...[...this.#labels.keys()].map((name) => this.#label(name, planned.get(name)?.labels ?? {})),
      ...[...this.#ports.keys()].map((name) => this.#namePorts(name, planned.get(name)?.ports ?? [])),
    ]);
    this.#labels.clear();
    this.#ports.clear();
    await Promise.all([...this.#namespaces.keys()].map((name) => this.#resetNamespace(name)));
    // A kernel counts a pod's flows at each new one: with thousands of earlier cases' still there, that is what a packet costs.
    for (const { netns } of this.lab.hosts) forgetFlows(netns);
  }

  async close(): Promise<void> {
    for (const { flow } of this.#flows.values()) flow.close();
    for (const station of this.stations) station.close();
    await this.lab.close();
  }

  async #furnish(): Promise<void> {
    const namesOf = (tenant: string) =>
      NAMESPACES.filter((namespace) => namespace.tenant === tenant).map(({ name }) => name);
    await Promise.all(
      TENANTS.map(async (name) => {
        const { status, body } = await this.lab.rest('POST', '/v1/tenants', { name, namespaces: namesOf(name) });
        if (status !== 201) throw new Error(`POST /v1/tenants answered ${status}: ${JSON.stringify(body)}`);
        if (name === TENANT) this.#subnet = (body.subnets as string[])[0] ?? '';
      }),
    );
    await Promise.all(NAMESPACES.map(({ name, labels }) => this.#labelNamespace(name, labels)));
    for (const plan of PODS) await this.#attach(plan);
    this.#world = await openWorld(this.lab);
  }

  async #attach(plan: Required<PodPlan>): Promise<void> {
    const { name, host, labels, ports } = plan;
    const [namespace = '', pod = ''] = name.split('/');
    const container = await this.lab.attach(host, { name: pod, namespace, labels, ports });
    const station = await Station.open(name, this.lab.prober(container), [container.ip]);
    this.#actors.set(name, { plan, container, station, endpoint: await this.#endpointOf(container, namespace) });
  }

  async #detach(name: string): Promise<void> {
    const { station, container } = this.#actor(name);
    this.#actors.delete(name);
    station.close();
    await this.lab.detach(container);
    this.#labels.delete(name);
    this.#ports.delete(name);
  }

  /** REST lists it soon after ADD, not with it. */
  async #endpointOf(container: Container, namespace: string): Promise<string> {
    const path = `/v1/tenants/${tenantOf(namespace)}/endpoints?limit=1000&namespace=${namespace}`;
    const look = async () => {
      const { body } = await this.lab.rest<{ items: { id: string; containerId: string }[] }>('GET', path);
      return body.items.find(({ containerId }) => containerId === container.id)?.id;
    };
    return await waitFor(look, { what: `REST lists ${namespace}/${container.name}`, everyMs: 5 });
  }

  async #label(name: string, labels: Labels): Promise<void> {
    this.#labels.set(name, labels);
    await this.#requests.setLabels(this.#actor(name), labels);
  }

  async #namePorts(name: string, ports: readonly NamedPort[]): Promise<void> {
    this.#ports.set(name, ports);
    await this.#requests.setPorts(this.#actor(name), ports);
  }

  async #labelNamespace(namespace: string, labels: Labels): Promise<void> {
    this.#namespaces.set(namespace, labels);
    await this.#requests.putNamespace(namespace, labels);
  }

  async #dropNamespace(namespace: string): Promise<void> {
    await this.#requests.deleteNamespace(namespace);
    this.#namespaces.delete(namespace);
  }

  async #resetNamespace(name: string): Promise<void> {
    const known = NAMESPACES.find((namespace) => namespace.name === name);
    if (known === undefined) return await this.#dropNamespace(name);
    if (this.#namespaces.get(name) !== known.labels) await this.#labelNamespace(name, known.labels);
  }

  async #dropPolicy(where: string): Promise<void> {
    await this.#requests.deletePolicy(where);
    this.#policies.delete(where);
  }

  async #ask(side: 'own' | 'peer'): Promise<void> {
    this.#asked.add(side);
    await this.#requests.putPeering(side);
  }

  async #takeBack(side: 'own' | 'peer'): Promise<void> {
    await this.#requests.deletePeering(side);
    this.#asked.delete(side);
  }

  async #openFlow(plan: FlowPlan): Promise<void> {
    const { name, from, to, protocol } = plan;
    const flow = await Flow.start(protocol, {
      from: this.lab.prober(this.#actor(from).container),
      to: this.lab.prober(this.#actor(to).container),
      address: this.addressOf(to),
      port: this.#flowPort++,
    });
    this.#flows.set(name, { plan, flow });
  }

  #actor(name: string): Actor {
    const found = this.#actors.get(name);
    if (found === undefined) throw new Error(`no pod is called ${name}`);
    return found;
  }

  #complete(pod: PodPlan): Required<PodPlan> {
    const planned = PODS.find(({ name }) => name === pod.name);
    return { host: 'node1', labels: {}, ports: [], ...planned, ...pod };
  }
}
