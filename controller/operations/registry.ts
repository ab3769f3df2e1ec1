/**
 * What one controller process holds to carry out requests: the store, the cluster it serves, the local views, a clock and dice. It
 * starts and stops them, and survives a store that is away at any time; the operations themselves are functions over it.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type SetDeadline, setDeadline } from '../enforcement/deadline.ts';
import { Enforcement } from '../enforcement/enforcement.ts';
import { Unavailable } from '../errors.ts';
import type { ClusterOptions } from '../model/cluster.ts';
import { clusters } from '../model/kinds/cluster.ts';
import { BIRTH } from '../model/kinds/history.ts';
import { type Subject, subjects } from '../model/kinds/wanted.ts';
import { type Problem, ProblemBook } from '../model/problems.ts';
import type { ClusterConfig } from '../model/records.ts';
import { Backoff } from '../store/backoff.ts';
import { followingProblems, noteStoreError } from '../store/findings.ts';
import { HistoryKeeper } from '../store/history-keeper.ts';
import { ensureHistory } from '../store/history-records.ts';
import type { HistoryStore } from '../store/history-store.ts';
import type { StoreState } from '../store/keeper.ts';
import { keys } from '../store/keys.ts';
import type { ConnectedStore } from '../store/store.ts';
import { ensureCluster } from './bootstrap.ts';
import { Census } from './census.ts';
import { ClaimsView } from './claims-view.ts';
import { DenialFeeds } from './denial-feeds.ts';
import { Noticed } from './noticed.ts';
import { findRecord } from './stored.ts';
import { Turns } from './turns.ts';
import { Wanted } from './wanted.ts';

/** Whether the store answers is known within this many milliseconds: those who ask wait no longer either. */
const READY_MS = 1000;

export interface RegistryOptions {
  /** this controller's, among those of the cluster */
  readonly name: string;
  readonly store: ConnectedStore;
  readonly cluster: ClusterOptions;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly random?: () => number;
  readonly now?: () => Date;
  readonly newId?: () => string;
  /** the machine's own timers unless given */
  readonly setDeadline?: SetDeadline;
}

export class Registry {
  readonly name: string;
  readonly store: HistoryStore;
  readonly claims: ClaimsView;
  readonly census: Census;
  readonly enforcement: Enforcement;
  readonly denials: DenialFeeds;
  readonly wanted: Wanted;
  /** what is wrong, as far as this controller finds it */
  readonly book: ProblemBook;
  /** records that requests could not read */
  readonly noticed: Noticed;
  /** of creations that are counted against a quota, by tenant */
  readonly turns = new Turns();
  /** unique; tells this very attempt at a write from all others */
  readonly newId: () => string;
  readonly now: () => Date;
  /** of everything that a request waits for */
  readonly setDeadline: SetDeadline;
  readonly #options: RegistryOptions;
  readonly #closing = new AbortController();
  #following: Promise<unknown> = Promise.resolve();
  #cluster: ClusterConfig | undefined;
  #storeState: StoreState | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.name = options.name;
    this.newId = options.newId ?? randomUUID;
    this.now = options.now ?? (() => new Date());
    this.setDeadline = options.setDeadline ?? setDeadline;
    const { name, log } = options;
    this.book = new ProblemBook({
      now: () => this.now().toISOString(),
      onChange: (...change) => logProblem(log, ...change),
    });
    const { book } = this;
    const store = new HistoryKeeper({ store: options.store, name, log, watcher: followingProblems(book) });
    this.store = store;
    this.noticed = new Noticed(store, book);
    this.claims = new ClaimsView(store, this.noticed, options.random ?? Math.random);
    this.census = new Census(store, book);
    const endpointNodes = (tenant: string) => this.census.nodesOf(tenant);
    const history = () => store.history ?? BIRTH;
    this.enforcement = new Enforcement({ store, history, book, endpointNodes, setDeadline: this.setDeadline });
    const nodesOf = (subject: Subject) => {
      const tenant = subjects.tenantOf(subject);
      return tenant === undefined ? undefined : endpointNodes(tenant);
    };
    this.wanted = new Wanted({ store, log, nodesOf, setDeadline: this.setDeadline });
    this.denials = new DenialFeeds({ store, wanted: this.wanted, book, log });
  }

  /**
   * Finds or makes the cluster, waiting for the store as long as it takes, and follows it from then on.
   * @returns when everything has been seen once; false when closed before that
   * @throws InvalidInput when the options contradict the cluster; RecordError
   */
  async start(): Promise<boolean> {
    const { signal } = this.#closing;
    const { store } = this;
    const { cluster: options, log } = this.#options;
    const found = await this.persist(async () => {
      const cluster = await ensureCluster(store, options, this.now());
      await ensureHistory(store, this.name);
      return cluster;
    });
    if (found === undefined) return false;
    const { cluster, born, overruled } = found;
    if (born) log.info({ op: 'bootstrap', ...cluster }, 'a new cluster is born');
    if (overruled.length > 0)
      log.warn({ op: 'bootstrap', overruled }, 'differs from the flags; change it with PATCH /v1/cluster');
    store.onHistory(() => {
      this.claims.void();
      // A backup may have brought another configuration into a cluster without tenants.
      void this.#readClusterAgain();
    });
    const onUnavailable = ({ message }: Unavailable) => this.#warn(message);
    const watcher = followingProblems(this.book);
    this.#following = Promise.all([
      this.claims.follow(signal, watcher, onUnavailable),
      this.census.follow(signal, watcher),
    ]);
    await Promise.race([Promise.all([this.claims.synced, this.census.synced]), this.#following]);
    if (!signal.aborted) this.#cluster = cluster;
    return !signal.aborted;
  }

  /** Does something again and again while the store is away; undefined when closed before it could be done. */
  async persist<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#closing;
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        this.#warn(error.message);
        await backoff.wait(signal);
      }
    }
    return undefined;
  }

  /** Resolves once closed: until then views are kept up, and what keeps them from it is a problem. */
  async followed(): Promise<void> {
    await this.#following;
  }

  /** What of the configuration can never change. @throws Unavailable before it is known and the claims have been seen */
  cluster(): ClusterConfig {
    if (this.#cluster === undefined)
      throw new Unavailable('store', 'the controller has not read the cluster yet: its store does not answer');
    return this.#cluster;
  }

  /** What the store said of itself last; undefined: nothing is known. */
  get storeState(): StoreState | undefined {
    return this.#storeState;
  }

  noteStoreState(state: StoreState | undefined): void {
    this.#storeState = state;
  }

  /** Resolves if requests can be served now. @throws Unavailable */
  async checkReady(): Promise<void> {
    this.cluster();
    const full = this.book.find(({ kind }) => kind === 'store_full');
    if (full !== undefined) throw new Unavailable('store', `the store takes no writes: ${full.text}`);
    await this.store.get(keys.cluster, { timeoutMs: READY_MS });
  }

  /** Ends the following; the store given stays open, it is its opener's. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.enforcement.close(), this.denials.close(), this.#following.catch(() => undefined)]);
    await this.wanted.close();
    await this.store.close();
  }

  async #readClusterAgain(): Promise<void> {
    try {
      const found = await this.persist(() => findRecord(this.store, clusters, keys.cluster));
      if (found !== undefined) this.#cluster = found.record;
      this.book.solved('store_refused', keys.cluster);
    } catch (error) {
      noteStoreError(this.book, keys.cluster, error);
    }
  }

  #warn(reason: string): void {
    this.#options.log.warn({ op: 'store', reason }, 'the store does not answer; trying again');
  }
}

/** Once when it begins, and once when it is over. */
function logProblem(
  log: RegistryOptions['log'],
  { kind, about, tenant, text }: Problem,
  change: 'begun' | 'changed' | 'ended',
): void {
  const fields = { op: 'problem', kind, about, tenant, reason: text };
  if (change === 'ended') log.info(fields, 'problem is over');
  else log.error(fields, 'problem');
}
