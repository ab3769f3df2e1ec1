/**
 * One agent put together: the parts, the order in which they start and stop, and the answers to CNI requests. The edges (flags, log,
 * signals) are main.ts's.
 *
 *   store ─► cluster-view ─► snapshot ─┐
 *   CNI socket ─► verbs ─► journal ────┴─► desired ─► reconcile ─► dataplane ─► kernel
 */
import type { Logger } from 'pino';
import type { Store } from '../../controller/store/store.ts';
import type { Dataplane } from '../../dataplane/dataplane.ts';
import { ERRNO, isErrno } from '../../dataplane/errors.ts';
import { POD_LINK_PREFIX, podLinkName } from '../../dataplane/ownership.ts';
import type { Item, NodeState, RuleSetItem } from '../../dataplane/state.ts';
import { type AgentRequest, type AgentResponse, CNI_ERROR } from '../agent-protocol.ts';
import { Blocks } from './blocks.ts';
import { ClusterView } from './cluster-view.ts';
import { type AgentContext, KeyedLock } from './context.ts';
import { computeDesired } from './desired/desired.ts';
import { type NodeFacts, overlayMtu, reachesAllTenants } from './desired/node-facts.ts';
import { systemAddressOf } from './desired/overlays.ts';
import { cniError } from './errors.ts';
import type { Journal } from './journal.ts';
import { Publisher } from './publisher.ts';
import { type Pass, Reconciler } from './reconcile/loop.ts';
import { stayRegistered } from './registration.ts';
import { parseEndpointRequest } from './request.ts';
import { add } from './verbs/add.ts';
import { check } from './verbs/check.ts';
import { del, undo } from './verbs/del.ts';
import { gc } from './verbs/gc.ts';
import { Snapshot } from './watch/snapshot.ts';

export interface AgentOptions {
  readonly facts: NodeFacts;
  /** looks at the underlay again after a change of links */
  readonly readFacts: () => NodeFacts;
  readonly version: string;
  readonly store: Store;
  readonly dataplane: Dataplane;
  readonly journal: Journal;
  readonly stateDir: string;
  readonly log: Logger;
  /** another machine is alive under our name; its underlay address. The agent keeps what it has and registers nothing. */
  readonly onNameTaken?: (underlay: string) => void;
}

/** How often blocks are looked through for ones nobody needs, and how long a tenant must have had nothing here. */
const UPKEEP_INTERVAL_MS = 10_000;
const IDLE_MS = 60_000;

export class Agent {
  readonly #context: AgentContext;
  readonly #options: AgentOptions;
  readonly #abort = new AbortController();
  #facts: NodeFacts;
  #monitor: { close(): void } | undefined;
  #registration: Promise<void> | undefined;
  #upkeep: NodeJS.Timeout | undefined;
  readonly #idleSince = new Map<string, number>();
  #confirming: Promise<void> | undefined;
  /** may there be endpoints outside this node's blocks? A former life may have been cut short while it took them down */
  #hasStrays = true;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#facts = options.facts;
    const { store, journal, dataplane, log, stateDir } = options;
    const snapshot = new Snapshot();
    const wired = new Set<string>();
    const reconciler = new Reconciler({
      desired: () => (this.#context.view.inSync ? this.#desired() : undefined),
      observe: (desired) => dataplane.observe(ruleSetOf(desired)),
      apply: (changes, desired) => dataplane.apply(changes, desired),
      onPass: (pass) => this.#afterPass(pass),
    });
    const view = new ClusterView({
      store,
      snapshot,
      stateDir,
      log,
      allTenants: reachesAllTenants(options.facts.roles),
      onChange: () => this.#onClusterChange(),
    });
    this.#context = {
      facts: () => this.#facts,
      store,
      snapshot,
      view,
      journal,
      blocks: new Blocks({
        node: options.facts.name,
        store,
        journal,
        snapshot,
        mayAdopt: () => dataplane.podLinks().every((link) => journal.endpoints.has(link.slice(POD_LINK_PREFIX.length))),
      }),
      publisher: new Publisher({ store, journal, log }),
      reconciler,
      dataplane,
      wired,
      locks: new KeyedLock(),
      log,
    };
  }

  /** Undoes what a crash left half-way, catches up with the cluster, then keeps the kernel right until closed. */
  async start(): Promise<void> {
    const { journal, wired, dataplane, view, publisher, reconciler, log } = this.#context;
    const links = new Set(dataplane.podLinks());
    for (const [id, { phase }] of journal.endpoints) {
      if (phase === 'ready' && links.has(podLinkName(id))) wired.add(id);
    }
    for (const [id, { phase, endpoint }] of [...journal.endpoints]) {
      if (phase !== 'wiring') continue;
      log.warn({ op: 'start', tenant: endpoint.tenant, endpoint: id }, 'undoing an ADD that was cut short');
      await undo(id, this.#context);
    }
    this.#monitor = dataplane.monitor((what) => this.#onForeignChange(what), [this.#facts.underlay.link]);
    await view.start(this.#localTenants());
    await this.#confirmBlocks();
    await reconciler.settle();
    publisher.recover(this.#facts.name);
    this.#registration = stayRegistered(
      {
        store: this.#options.store,
        snapshot: this.#context.snapshot,
        log,
        node: () => ({
          name: this.#facts.name,
          underlay: this.#facts.underlay.address,
          underlayMac: this.#facts.underlay.mac,
          roles: this.#facts.roles,
          version: this.#options.version,
        }),
        needsSystemAddress: reachesAllTenants(this.#facts.roles),
        onChange: () => reconciler.request(),
        onNameTaken: (underlay) => this.#options.onNameTaken?.(underlay),
      },
      this.#abort.signal,
    );
    this.#upkeep = setInterval(() => void this.#giveBackBlocks(), UPKEEP_INTERVAL_MS);
  }

  async handle(request: AgentRequest, signal: AbortSignal): Promise<AgentResponse> {
    const started = performance.now();
    const { log } = this.#context;
    const fields = { op: request.command, containerId: request.containerId, ifname: request.ifname };
    try {
      const response = await this.#answer(request, signal);
      // Runtimes and labs ask for the status all the time.
      const level = request.command === 'STATUS' ? 'debug' : 'info';
      log[level]({ ...fields, ms: round(performance.now() - started) }, 'done');
      return response;
    } catch (error) {
      const refusal = cniError(error);
      const level = refusal.code === CNI_ERROR.internal ? 'error' : request.command === 'STATUS' ? 'debug' : 'warn';
      log[level]({ ...fields, code: refusal.code, err: error, ms: round(performance.now() - started) }, 'refused');
      return { ok: false, error: refusal };
    } finally {
      if (request.command !== 'STATUS') this.#giveBackBlocksOfDeleted();
    }
  }

  async close(): Promise<void> {
    this.#abort.abort();
    clearInterval(this.#upkeep);
    this.#monitor?.close();
    this.#context.view.close();
    this.#context.reconciler.close();
    await this.#registration;
    await this.#context.publisher.close();
    await this.#context.journal.close();
    this.#context.dataplane.close();
  }

  async #answer(request: AgentRequest, signal: AbortSignal): Promise<AgentResponse> {
    switch (request.command) {
      case 'ADD':
        return { ok: true, result: await add(parseEndpointRequest(request), this.#context, signal) };
      case 'DEL':
        await del(parseEndpointRequest(request), this.#context);
        return { ok: true };
      case 'CHECK':
        await check(parseEndpointRequest(request), request.config.prevResult, this.#context);
        return { ok: true };
      case 'GC':
        await gc(request.config, this.#context);
        return { ok: true };
      case 'STATUS':
        return this.#status();
    }
  }

  /** Ready to attach, and on a gateway to reach what others attached. */
  #status(): AgentResponse {
    const { view, snapshot } = this.#context;
    const notYet = (msg: string) => ({ ok: false, error: { code: CNI_ERROR.pluginNotAvailable, msg } }) as const;
    if (!view.inSync) return notYet('the agent has not yet seen the cluster’s state');
    if (reachesAllTenants(this.#facts.roles) && systemAddressOf(snapshot, this.#facts.name) === undefined) {
      return notYet('the node has no address in the system overlay yet');
    }
    return { ok: true };
  }

  #desired() {
    const { journal, wired, snapshot } = this.#context;
    const endpoints = [];
    for (const id of wired) {
      const local = journal.endpoints.get(id);
      if (local !== undefined) endpoints.push(local.endpoint);
    }
    return computeDesired(snapshot, this.#facts, { endpoints, blocks: journal.blocks.values() });
  }

  #localTenants(): Set<string> {
    const { journal } = this.#context;
    const tenants = new Set<string>();
    for (const { endpoint } of journal.endpoints.values()) tenants.add(endpoint.tenant);
    for (const { tenant } of journal.blocks.values()) tenants.add(tenant);
    return tenants;
  }

  #onClusterChange(): void {
    this.#context.reconciler.request();
    void this.#confirmBlocks();
    this.#giveBackBlocksOfDeleted();
  }

  #onForeignChange(what: string): void {
    const { log, reconciler } = this.#context;
    log.debug({ op: 'monitor', what }, 'something changed: reading the kernel back');
    const facts = this.#options.readFacts();
    if (overlayMtu(facts) !== overlayMtu(this.#facts))
      log.info({ op: 'mtu', mtu: overlayMtu(facts) }, 'the underlay’s MTU changed: following');
    this.#facts = facts;
    reconciler.distrust();
  }

  #afterPass(pass: Pass): void {
    const { log, wired } = this.#context;
    for (const change of pass.changes) if (change.op === 'replace') this.#followMtu(change.item, change.previous);
    const fields = { op: 'apply', changes: pass.changes.length, resync: pass.resync, ms: round(pass.durationMs) };
    if (pass.error !== undefined)
      log.error({ ...fields, err: pass.error }, 'the kernel refused the rules; trying again');
    for (const [key, error] of pass.failures) {
      // A pod link that is gone took its container's interface along: nothing to repair until DEL.
      const id = /^link tnp([0-9a-f]{12})$/.exec(key)?.[1];
      if (id !== undefined && isErrno(error, ERRNO.ENODEV)) {
        log.warn({ op: 'apply', endpoint: id }, 'the container’s link is gone');
        wired.delete(id);
      } else log.warn({ op: 'apply', item: key, err: error }, 'not applied; trying again');
    }
    if (pass.error === undefined && pass.failures.size === 0) log.debug(fields, 'applied');
  }

  /** A container's own end of the link has the MTU of the host's end. */
  #followMtu(link: Item, previous: Item): void {
    if (link.kind !== 'podLink' || previous.kind !== 'podLink' || link.mtu === previous.mtu) return;
    const { journal, dataplane } = this.#context;
    const local = journal.endpoints.get(link.name.slice(POD_LINK_PREFIX.length));
    if (local !== undefined) dataplane.setPodMtu(local.netns, local.endpoint.ifname, link.mtu);
  }

  /** Takes down what has an address that is another node's by now; the store being away, at its next sign of life. */
  #confirmBlocks(): Promise<void> {
    this.#confirming ??= this.#confirmOnce().finally(() => {
      this.#confirming = undefined;
    });
    return this.#confirming;
  }

  async #confirmOnce(): Promise<void> {
    const { blocks, journal, locks, log } = this.#context;
    try {
      for (const { tenant, prefix } of await blocks.confirm()) {
        log.error({ op: 'blocks', tenant, block: prefix }, 'no longer this node’s: it was taken for dead');
        this.#hasStrays = true;
      }
      if (!this.#hasStrays) return;
      for (const [id, { endpoint }] of [...journal.endpoints]) {
        if (endpoint.ips.every((ip) => blocks.covers(ip))) continue;
        log.error({ op: 'blocks', tenant: endpoint.tenant, endpoint: id }, 'detaching: its address is another node’s');
        await locks.run(id, () => undo(id, this.#context));
      }
      this.#hasStrays = false;
    } catch (error) {
      log.warn({ op: 'blocks', err: error }, 'cannot tell yet whether all blocks are still this node’s');
    }
  }

  /** A tenant that is being deleted waits for these: at once, and again when a container that was in the way is gone. */
  #giveBackBlocksOfDeleted(): void {
    for (const tenant of this.#localTenants()) {
      if (this.#context.snapshot.tenant(tenant)?.phase === 'deleting') void this.#giveBackBlocksOf(tenant);
    }
  }

  async #giveBackBlocks(): Promise<void> {
    await this.#confirmBlocks();
    this.#giveBackBlocksOfDeleted();
    const busy = new Set([...this.#context.journal.endpoints.values()].map(({ endpoint }) => endpoint.tenant));
    for (const tenant of this.#localTenants()) {
      if (busy.has(tenant)) {
        this.#idleSince.delete(tenant);
        continue;
      }
      const since = this.#idleSince.get(tenant) ?? Date.now();
      this.#idleSince.set(tenant, since);
      if (Date.now() - since >= IDLE_MS) await this.#giveBackBlocksOf(tenant);
    }
  }

  async #giveBackBlocksOf(tenant: string): Promise<void> {
    const { blocks, view, log } = this.#context;
    try {
      for (const block of [...blocks.owned(tenant)]) await blocks.giveBack(block);
      if (!this.#localTenants().has(tenant)) view.forget(tenant);
    } catch (error) {
      log.debug({ op: 'blocks', tenant, err: error }, 'cannot give blocks back yet');
    }
  }
}

function ruleSetOf(desired: NodeState): RuleSetItem | undefined {
  const item = desired.get('rules');
  return item?.kind === 'ruleSet' ? item : undefined;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
