/**
 * One agent put together: the parts, the order in which they start and stop, and the answers to CNI requests. The edges (flags, log,
 * signals) are main.ts's.
 *
 *   store ─► cluster-view ─► snapshot ─┐
 *   CNI socket ─► verbs ─► journal ────┴─► desired ─► reconcile ─► dataplane ─► kernel
 */
import type { Logger } from 'pino';
import { InvalidInput } from '../../controller/errors.ts';
import { BIRTH } from '../../controller/model/kinds/history.ts';
import { followingProblems } from '../../controller/store/findings.ts';
import { HistoryKeeper } from '../../controller/store/history-keeper.ts';
import type { ConnectedStore } from '../../controller/store/store.ts';
import type { Dataplane } from '../../dataplane/dataplane.ts';
import { POD_LINK_PREFIX, podLinkName } from '../../dataplane/ownership.ts';
import { type AgentRequest, type AgentResponse, CNI_ERROR } from '../agent-protocol.ts';
import { BlockUpkeep } from './addresses/block-upkeep.ts';
import { Blocks } from './addresses/blocks.ts';
import type { AgentContext } from './context.ts';
import { Desired } from './desired/desired.ts';
import { type NodeFacts, overlayMtu, reachesAllTenants } from './desired/node-facts.ts';
import type { Journal } from './endpoints/journal.ts';
import { Leaving } from './endpoints/leaving.ts';
import { tellOfQuarantine } from './endpoints/quarantine.ts';
import { rememberChanges } from './endpoints/relabelling.ts';
import { cniError } from './errors.ts';
import { KeyedLock } from './keyed-lock.ts';
import { type TableFill, TableWatch } from './machine/table-watch.ts';
import { AfterPass } from './reconcile/after-pass.ts';
import { Reconciler } from './reconcile/loop.ts';
import { Sweeper } from './reconcile/sweeper.ts';
import { Acknowledger } from './reports/acknowledger.ts';
import { loggedBook, ProblemTeller } from './reports/problem-teller.ts';
import { Publisher } from './reports/publisher.ts';
import { stayRegistered } from './reports/registration.ts';
import { Sightings } from './reports/sightings.ts';
import { parseEndpointRequest } from './socket/request.ts';
import { add } from './verbs/add.ts';
import { check } from './verbs/check.ts';
import { del, undo } from './verbs/del.ts';
import { gc } from './verbs/gc.ts';
import { statusOf } from './verbs/status.ts';
import { readCopy } from './watch/cluster-copy.ts';
import { ClusterView } from './watch/cluster-view.ts';
import { SnapshotReplica } from './watch/replica.ts';
import { Snapshot } from './watch/snapshot.ts';

export interface AgentOptions {
  readonly facts: NodeFacts;
  /** looks at the underlay again after a change of links */
  readonly readFacts: () => NodeFacts;
  /** how full the kernel's table of connections is; undefined: it does not say */
  readonly readTable: () => TableFill | undefined;
  readonly version: string;
  /** stays open: it is the opener's */
  readonly store: ConnectedStore;
  readonly dataplane: Dataplane;
  readonly journal: Journal;
  readonly stateDir: string;
  readonly log: Logger;
  /** another machine is alive under our name; its underlay address. The agent keeps what it has and registers nothing. */
  readonly onNameTaken?: (underlay: string) => void;
}

export class Agent {
  readonly #context: AgentContext;
  readonly #options: AgentOptions;
  readonly #abort = new AbortController();
  readonly #store: HistoryKeeper;
  /** aborted when the store is in another history */
  #inHistory = new AbortController();
  #facts: NodeFacts;
  #monitor: { close(): void } | undefined;
  #registration: Promise<void> | undefined;
  readonly #upkeep: BlockUpkeep;
  readonly #acknowledger: Acknowledger;
  readonly #sweeper: Sweeper;
  readonly #sightings: Sightings;
  readonly #problems: ProblemTeller;
  readonly #afterPass: AfterPass;
  readonly #table: TableWatch;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#facts = options.facts;
    const { journal, dataplane, log, stateDir } = options;
    const { name, roles } = options.facts;
    const snapshot: Snapshot = new Snapshot((key) => desired.touch(key));
    const desired = new Desired(snapshot, options.facts);
    journal.followBlocks((block, isOurs) =>
      isOurs ? desired.setOwnBlock(block) : desired.removeOwnBlock(block.prefix),
    );
    const book = loggedBook(log, () => this.#problems.tell());
    const copy = readCopy(stateDir, log);
    const remembered = copy?.history;
    const replica = new SnapshotReplica(snapshot, copy);
    const store = new HistoryKeeper({ store: options.store, name, log, watcher: followingProblems(book), remembered });
    this.#store = store;
    store.onHistory(() => {
      this.#acknowledger.void();
      replica.void();
      this.#context.blocks.doubt();
      this.#inHistory.abort();
      this.#inHistory = new AbortController();
    });
    const nodes = () => snapshot.nodes.size;
    this.#problems = new ProblemTeller({ store, node: name, book, nodes, log });
    this.#acknowledger = new Acknowledger({ store, node: name, history: () => store.history ?? BIRTH, book, log });
    const reconciler = new Reconciler({
      desired: () => (this.#context.view.inSync ? desired.update() : undefined),
      observe: (wanted) => dataplane.observe(wanted),
      apply: (changes, wanted) => dataplane.apply(changes, wanted),
      onPass: (pass) => this.#afterPass.judge(pass),
    });
    const view = new ClusterView({
      store,
      replica,
      ...{ stateDir, copied: copy?.seen, remembered: () => store.remembered },
      log,
      book,
      allTenants: reachesAllTenants(roles),
      onChange: (changed) => this.#onClusterChange(changed),
      onSeen: (prefix, revision) => this.#acknowledger.seen(prefix, revision),
    });
    this.#context = {
      facts: () => this.#facts,
      store,
      snapshot,
      view,
      journal,
      blocks: new Blocks({
        ...{ node: name, store, journal, replica },
        mayAdopt: () => dataplane.podLinks().every((link) => journal.endpoints.has(link.slice(POD_LINK_PREFIX.length))),
      }),
      publisher: new Publisher({ store, journal, book, log, known: (tenant) => snapshot.tenants.get(tenant) }),
      reconciler,
      dataplane,
      desired,
      locks: new KeyedLock(),
      leaving: new Leaving(() => this.#upkeep.giveBackOfDeleted()),
      book,
      log,
    };
    this.#upkeep = new BlockUpkeep(this.#context);
    this.#sweeper = new Sweeper(desired, reconciler);
    this.#sightings = Sightings.of(this.#context, name);
    const after = { acknowledger: this.#acknowledger, sweeper: this.#sweeper, book };
    this.#afterPass = new AfterPass({ context: this.#context, ...after });
    this.#table = new TableWatch({ read: options.readTable, desired, reconciler, book });
  }

  /** Undoes what a crash left half-way, catches up with the cluster, then keeps the kernel right until closed. */
  async start(): Promise<void> {
    const { journal, desired, dataplane, view, publisher, reconciler, log } = this.#context;
    const links = new Set(dataplane.podLinks());
    for (const [id, { phase, endpoint }] of journal.endpoints) {
      if (phase === 'ready' && links.has(podLinkName(id))) desired.setEndpoint(endpoint);
    }
    for (const [id, local] of [...journal.endpoints]) {
      const { phase, endpoint } = local;
      if (phase === 'ready') continue;
      if (phase === 'quarantined') {
        tellOfQuarantine(local, this.#context);
        continue;
      }
      const verb = phase === 'wiring' ? 'ADD' : 'DEL';
      log.warn(
        { op: 'start', tenant: endpoint.tenant, endpoint: id },
        `clearing away what is left of ${verb}, cut short`,
      );
      await undo(id, this.#context);
    }
    this.#monitor = dataplane.monitor((what) => this.#onForeignChange(what), [this.#facts.underlay.link]);
    await view.start(this.#upkeep.tenants());
    await this.#upkeep.confirm();
    await reconciler.settle();
    this.#registration = stayRegistered(
      {
        store: this.#context.store,
        snapshot: this.#context.snapshot,
        book: this.#context.book,
        log,
        node: () => ({
          name: this.#facts.name,
          underlay: this.#facts.underlay.address,
          underlaySubnet: this.#facts.underlay.subnet,
          underlayMac: this.#facts.underlay.mac,
          roles: this.#facts.roles,
          version: this.#options.version,
        }),
        needsSystemAddress: reachesAllTenants(this.#facts.roles),
        over: () => this.#inHistory.signal,
        reclaim: () => this.#upkeep.reclaim(),
        onRegistered: () => {
          publisher.recover(this.#facts.name);
          this.#acknowledger.registered();
          this.#problems.tell(true);
        },
        onNameTaken: (underlay) => this.#options.onNameTaken?.(underlay),
      },
      this.#abort.signal,
    );
    this.#upkeep.start();
    this.#sightings.start();
    this.#table.start();
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
      if (request.command !== 'STATUS') this.#upkeep.giveBackOfDeleted();
    }
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#context.leaving.settled();
    this.#table.close();
    this.#upkeep.close();
    this.#sweeper.close();
    await this.#sightings.close();
    await this.#problems.close();
    this.#monitor?.close();
    this.#context.view.close();
    this.#context.reconciler.close();
    await this.#registration;
    await this.#acknowledger.close();
    await this.#context.publisher.close();
    await this.#store.close();
    await this.#context.journal.close();
    this.#context.dataplane.close();
  }

  async #answer(request: AgentRequest, signal: AbortSignal): Promise<AgentResponse> {
    switch (request.command) {
      case 'ADD': {
        const result = await add(parseEndpointRequest(request), request.config.name, this.#context, signal);
        return { ok: true, result };
      }
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
        return statusOf(request, this.#context);
    }
  }

  /** @param changed keys of the store; without, any may have changed */
  #onClusterChange(changed?: readonly string[]): void {
    this.#context.reconciler.request();
    this.#upkeep.heard(changed);
    void rememberChanges(this.#context, changed);
  }

  #onForeignChange(what: string): void {
    const { log, reconciler, desired } = this.#context;
    log.debug({ op: 'monitor', what }, 'something changed: reading the kernel back');
    this.#facts = this.#look();
    desired.setFacts(this.#facts);
    reconciler.distrust();
  }

  /** The underlay as it is, or as it was while it has no address: a lease that is renewed is no reason to change anything. */
  #look(): NodeFacts {
    const { log } = this.#context;
    try {
      const facts = this.#options.readFacts();
      if (overlayMtu(facts) !== overlayMtu(this.#facts))
        log.info({ op: 'mtu', mtu: overlayMtu(facts) }, 'the underlay’s MTU changed: following');
      return facts;
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      log.warn({ op: 'underlay', err: error }, 'the underlay is not there: keeping what is');
      return this.#facts;
    }
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
