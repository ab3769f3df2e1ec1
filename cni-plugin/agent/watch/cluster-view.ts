/**
 * Follows in the store what this node needs, and nothing more, into the snapshot: the cluster, its nodes, the system overlay, each
 * tenant with something here and those it has asked to peer with (a gateway: every tenant). Keeps a copy on disk to start from while
 * the store is away.
 */

import type { Logger } from 'pino';
import { Unavailable } from '../../../controller/errors.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { SYSTEM_TENANT } from '../../../controller/model/records.ts';
import type { Remembered } from '../../../controller/store/evidence.ts';
import { follow } from '../../../controller/store/follow.ts';
import { keys } from '../../../controller/store/keys.ts';
import { pause } from '../../../controller/store/pause.ts';
import type { Entry, Revision, Store, WatchBatch } from '../../../controller/store/store.ts';
import { copyPath, writeCopy } from './cluster-copy.ts';
import type { SnapshotReplica } from './replica.ts';
import { ViewTroubles } from './view-troubles.ts';

export interface ClusterViewOptions {
  readonly store: Store;
  /** to be kept with the copy */
  readonly remembered: () => Remembered;
  /** written by this alone, and by reads of single records */
  readonly replica: SnapshotReplica;
  readonly stateDir: string;
  /** prefixes of which the copy of the life before has all, if there is one that can be read */
  readonly copied: readonly string[] | undefined;
  readonly log: Logger;
  /** of what cannot be read or followed */
  readonly book: ProblemBook;
  /** gateways and manage nodes follow every tenant */
  readonly allTenants: boolean;
  /** called after each change of the snapshot, with the keys it is about; without when it can be any */
  readonly onChange: (keys?: readonly string[]) => void;
  /** everything under a prefix up to this revision is in the snapshot; undefined: the prefix is followed no more */
  readonly onSeen: (prefix: string, revision: Revision | undefined) => void;
}

interface Following {
  readonly abort: AbortController;
  readonly loaded: Promise<void>;
}

/** Writing the copy takes the longer the more it holds. */
const CACHE_DELAY_MS = { least: 500, perEntry: 0.5 } as const;

export class ClusterView {
  readonly #options: ClusterViewOptions;
  readonly #following = new Map<string, Following>();
  /** tenants followed for their own sake, not as a tenant's peers */
  readonly #needed = new Set<string>();
  /** tenants that callers wait to be shown */
  readonly #asking = new Map<object, string>();
  /** prefixes of which all has been seen, now or when the copy was made */
  readonly #seen = new Set<string>();
  readonly #troubles: ViewTroubles;
  #cacheTimer: NodeJS.Timeout | undefined;
  #inSync = false;
  #onceBorn: (() => void) | undefined;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    this.#troubles = new ViewTroubles(options.book, options.log, () => {
      if (this.#inSync) options.onChange([]);
    });
  }

  /** A prefix whose changes do not arrive here, if there is one: nothing may be called enforced meanwhile. */
  get trouble(): string | undefined {
    return this.#troubles.deafTo;
  }

  /** Has everything every node needs been seen, at the store or in the copy of it? */
  get inSync(): boolean {
    return this.#inSync;
  }

  /**
   * Follows the base and these tenants. Resolves when all of it has been seen; after `patienceMs` without the store, with the copy on
   * disk if there is one.
   */
  async start(tenants: Iterable<string>, patienceMs = 2_000): Promise<void> {
    for (const tenant of tenants) this.#needed.add(tenant);
    const loaded = this.#followAll();
    const timer = new AbortController();
    const first = await Promise.race([loaded.then(() => 'store' as const), after(patienceMs, timer.signal)]);
    timer.abort();
    if (first !== 'store' && !this.#readCache()) await loaded;
    // A cluster is born when its first controller starts, which may be after this node.
    if (this.#options.replica.snapshot.cluster === undefined) {
      this.#options.log.info({ op: 'start' }, 'waiting for the cluster’s first controller');
      await new Promise<void>((resolve) => {
        this.#onceBorn = resolve;
      });
    }
    this.#inSync = true;
    this.#options.onChange();
  }

  /**
   * Makes sure a tenant is followed and all of it has been seen: without its policies it is unknown what is forbidden.
   * @throws Unavailable when the store does not show it in time and it was not known before
   */
  async need(tenant: string, patienceMs = 2_000): Promise<void> {
    this.#needed.add(tenant);
    if (this.#isKnown(tenant)) return;
    const asking = {};
    this.#asking.set(asking, tenant);
    const loaded = this.#followAll();
    const timer = new AbortController();
    const first = await Promise.race([loaded.then(() => 'store' as const), after(patienceMs, timer.signal)]);
    timer.abort();
    this.#asking.delete(asking);
    if (first !== 'store' && !this.#isKnown(tenant))
      throw new Unavailable('store', `the store does not answer, and tenant ${tenant} is not known here yet`);
  }

  #isKnown(tenant: string): boolean {
    const { allTenants, replica } = this.#options;
    const own = allTenants ? [keys.tenants, keys.allNamespaces, keys.allPeerings] : tenantKeys(tenant);
    const all = [...own, keys.policies(tenant), keys.endpoints(tenant)];
    return replica.snapshot.tenant(tenant) !== undefined && all.every((prefix) => this.#seen.has(prefix));
  }

  /** Tenants followed for their own sake. */
  needed(): Iterable<string> {
    return this.#needed;
  }

  /** The tenant has nothing here any more. While a caller is still asking for it, it stays. */
  forget(tenant: string): void {
    const isAskedFor = [...this.#asking.values()].includes(tenant);
    if (isAskedFor || !this.#needed.delete(tenant)) return;
    this.#dropUnwanted();
    this.#options.onChange();
  }

  close(): void {
    for (const { abort } of this.#following.values()) abort.abort();
    clearTimeout(this.#cacheTimer);
    if (this.#inSync) this.#writeCache();
  }

  /** Resolves when all has been seen that is wanted now, and what that in turn makes wanted. */
  async #followAll(): Promise<void> {
    for (let wanted = this.#wanted(); ; ) {
      await Promise.all([...wanted].map((prefix) => this.#follow(prefix)));
      const before = wanted;
      wanted = this.#wanted();
      if ([...wanted].every((prefix) => before.has(prefix))) return;
    }
  }

  #wanted(): ReadonlySet<string> {
    const { allTenants, replica } = this.#options;
    const base = [keys.cluster, keys.nodes];
    const reached = new Set(this.#needed);
    for (const tenant of this.#needed) for (const peer of replica.snapshot.askedBy(tenant)) reached.add(peer);
    // Who endpoints are matters where policies are: where there is something of the tenant that has them.
    const policies = [...this.#needed].map(keys.policies);
    const endpoints = [...reached].map(keys.endpoints);
    const tenants = allTenants
      ? [keys.tenants, keys.allBlocks, keys.allNamespaces, keys.allPeerings]
      : [SYSTEM_TENANT, ...reached].flatMap(tenantKeys);
    return new Set([...base, ...tenants, ...policies, ...endpoints]);
  }

  #dropUnwanted(): void {
    const wanted = this.#wanted();
    for (const [prefix, { abort }] of [...this.#following]) {
      if (wanted.has(prefix)) continue;
      abort.abort();
      this.#following.delete(prefix);
      this.#troubles.recovered(prefix);
      this.#seen.delete(prefix);
      this.#options.onSeen(prefix, undefined);
      this.#options.replica.drop(prefix);
    }
  }

  #follow(prefix: string): Promise<void> {
    const known = this.#following.get(prefix);
    if (known !== undefined) return known.loaded;
    const { store, replica } = this.#options;
    const abort = new AbortController();
    const loaded = new Promise<void>((resolve) => {
      const sink = {
        snapshot: (entries: readonly Entry[], revision: Revision) => {
          replica.replace(prefix, entries, revision, !this.#inSync);
          this.#seen.add(prefix);
          this.#heard(prefix, revision);
          resolve();
        },
        events: (batch: WatchBatch) => this.#heard(prefix, batch.revision, replica.apply(prefix, batch, !this.#inSync)),
      };
      // Followed no more: no caller has to wait for it.
      abort.signal.addEventListener('abort', () => resolve());
      void follow(store, prefix, sink, abort.signal, this.#troubles);
    });
    this.#following.set(prefix, { abort, loaded });
    return loaded;
  }

  /** @param keys that changed; without, any under the prefix may have */
  #heard(prefix: string, revision: Revision, changed?: readonly string[]): void {
    const { onSeen, remembered } = this.#options;
    const { history } = remembered();
    if (prefix.startsWith(keys.allPeerings)) {
      // Which tenants may talk has changed, and with that which to follow; it has been seen once they have been.
      this.#dropUnwanted();
      void this.#followAll().then(() => {
        // In another history of the store the revision is another's.
        if (!this.#following.has(prefix) || remembered().history !== history) return;
        onSeen(prefix, revision);
        if (this.#inSync) this.#options.onChange([]);
      });
    } else onSeen(prefix, revision);
    if (changed?.length !== 0) this.#changed(changed);
  }

  #changed(changed?: readonly string[]): void {
    this.#troubles.noteUnreadable(this.#options.replica.snapshot);
    if (this.#options.replica.snapshot.cluster !== undefined) this.#onceBorn?.();
    if (this.#inSync) this.#options.onChange(changed);
    this.#cacheTimer ??= setTimeout(
      () => {
        this.#cacheTimer = undefined;
        if (this.#inSync) this.#writeCache();
      },
      CACHE_DELAY_MS.least + CACHE_DELAY_MS.perEntry * this.#options.replica.size,
    );
  }

  #writeCache(): void {
    const { remembered, stateDir, replica, log } = this.#options;
    writeCopy(stateDir, { seen: [...this.#seen], entries: replica.entries(), history: remembered() }, log);
  }

  /** @returns whether there is a copy of all that this node needs: half of it could lack what forbids */
  #readCache(): boolean {
    const { stateDir, log, replica, copied } = this.#options;
    if (copied === undefined) return false;
    replica.takeCopied();
    const seen = new Set([...copied, ...this.#seen]);
    if (replica.snapshot.cluster === undefined || [...this.#wanted()].some((prefix) => !seen.has(prefix))) return false;
    for (const prefix of seen) this.#seen.add(prefix);
    const fields = { op: 'start', path: copyPath(stateDir) };
    log.warn(fields, 'the store does not answer: starting from the last known state');
    return true;
  }
}

function tenantKeys(tenant: string): string[] {
  return [keys.tenant(tenant), keys.namespaces(tenant), keys.peerings(tenant), keys.blocks(tenant)];
}

const after = (ms: number, signal: AbortSignal) => pause(ms, signal).then(() => 'late' as const);
