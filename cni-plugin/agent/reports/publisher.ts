/**
 * Tells the store which endpoints run here, and which are gone, as soon as it listens; never holds up a container for long while
 * it does not. What is owed survives a restart in the journal.
 */
import type { Logger } from 'pino';
import { Conflict, Unavailable } from '../../../controller/errors.ts';
import { type Endpoint, endpoints } from '../../../controller/model/kinds/endpoint.ts';
import { type Tenant, tenants } from '../../../controller/model/kinds/tenant.ts';
import type { Finding, ProblemBook } from '../../../controller/model/problems.ts';
import { keys } from '../../../controller/store/keys.ts';
import {
  type CallOptions,
  type Entry,
  IndeterminateCommit,
  isAway,
  type Revision,
  type Store,
} from '../../../controller/store/store.ts';
import type { Journal } from '../endpoints/journal.ts';
import type { KnownTenant } from '../watch/snapshot.ts';

/** How long each call may take that a container waits for, milliseconds; then it is done later. */
const PATIENCE: CallOptions = { timeoutMs: 1000 };

/** What problems of it are about, before the tenant's name. */
const ABOUT = 'endpoints of';

export interface PublisherOptions {
  readonly store: Store;
  readonly journal: Journal;
  readonly book: ProblemBook;
  readonly log: Logger;
  /** what this node last heard of a tenant: where that is the latest, publishing is one call of the store instead of two */
  readonly known?: (tenant: string) => KnownTenant | undefined;
  readonly retryMs?: number;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #unpublished = new Map<string, Endpoint>();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> = Promise.resolve();
  /** the endpoint that is being published just now, and whether it has gone since */
  #current: { readonly id: string; isGone: boolean } | undefined;
  #closed = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Publishes an endpoint; when the store is away that is done later.
   * @returns whether the store has it now
   * @throws Conflict when the tenant is gone or being deleted
   */
  async publish(endpoint: Endpoint): Promise<boolean> {
    try {
      await this.#put(endpoint, PATIENCE);
      return true;
    } catch (error) {
      if (!(error instanceof Unavailable || error instanceof IndeterminateCommit)) throw error;
      this.#unpublished.set(endpoint.id, endpoint);
      this.#retryLater();
      return false;
    }
  }

  /** The endpoint is gone (and the journal says so): take its record out of the store, now or later. Resolves at once when it cannot. */
  async unpublish(id: string): Promise<void> {
    this.#unpublished.delete(id);
    if (this.#current?.id === id) this.#current.isGone = true;
    const tenant = this.#options.journal.owed.get(id);
    if (tenant === undefined) return;
    try {
      await this.#remove(id, tenant);
    } catch (error) {
      if (!(error instanceof Unavailable || error instanceof IndeterminateCommit)) throw error;
      this.#retryLater();
    }
  }

  /** At start, and whenever the node was taken for dead: the store may have missed or lost anything. */
  recover(node: string): void {
    for (const { endpoint, phase } of this.#options.journal.endpoints.values()) {
      if (phase === 'ready' && endpoint.node === node) this.#unpublished.set(endpoint.id, endpoint);
    }
    this.#retryLater(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#working;
  }

  async #put(endpoint: Endpoint, options?: CallOptions): Promise<void> {
    const { store, known } = this.#options;
    const heard = known?.(endpoint.tenant);
    if (heard !== undefined && whyNot(endpoint, heard.tenant) === undefined) {
      if (await this.#create(endpoint, heard.modRevision, options)) return;
    }
    const tenantKey = keys.tenant(endpoint.tenant);
    for (;;) {
      const { entry } = await store.get(tenantKey, options);
      const refusal = whyNot(endpoint, entry && tenants.get(entry));
      if (entry === undefined || refusal !== undefined) throw refusal;
      if (await this.#create(endpoint, entry.modRevision, options)) return;
    }
  }

  /** @returns false when the tenant's record is of another revision by now */
  async #create(endpoint: Endpoint, tenantRevision: Revision, options?: CallOptions): Promise<boolean> {
    const { store } = this.#options;
    const key = keys.endpoint(endpoint.tenant, endpoint.node, endpoint.id);
    const unchanged = { kind: 'unchanged', key: keys.tenant(endpoint.tenant), modRevision: tenantRevision } as const;
    const write = { kind: 'put', key, value: endpoints.format(endpoint) } as const;
    const { committed } = await store.commit([unchanged, { kind: 'absent', key }], [write], options);
    if (committed) return true;
    const { entry } = await store.get(key, options);
    if (entry === undefined) return false;
    // Its labels may have been changed through REST since: then it stays. One of an earlier container of this id does not.
    if (isRecordOf(endpoint, entry)) return true;
    const replaced = { kind: 'unchanged', key, modRevision: entry.modRevision } as const;
    return (await store.commit([unchanged, replaced], [write], options)).committed;
  }

  async #remove(id: string, tenant: string): Promise<void> {
    const { store, journal } = this.#options;
    await store.commit([], [{ kind: 'delete', key: keys.endpoint(tenant, journal.node, id) }]);
    await journal.record({ op: 'unpublished', id });
  }

  #retryLater(delayMs = this.#options.retryMs ?? 500): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // One after the other: two at once would undo each other's work.
      this.#working = this.#working.then(() => this.#work());
    }, delayMs);
  }

  async #work(): Promise<void> {
    const { journal, book, log } = this.#options;
    const refused = new Map<string, Finding>();
    /** What one tenant is refused holds up no other. */
    const attempt = async (tenant: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        if (isAway(error)) throw error;
        const text = error instanceof Error ? error.message : String(error);
        refused.set(tenant, { about: `${ABOUT} ${tenant}`, text, tenant });
      }
    };
    try {
      for (const [id, tenant] of [...journal.owed]) await attempt(tenant, () => this.#remove(id, tenant));
      for (const endpoint of [...this.#unpublished.values()]) {
        const isLeft = this.#unpublished.has(endpoint.id);
        if (isLeft) await attempt(endpoint.tenant, () => this.#publishLate(endpoint));
      }
      book.replace('store_refused', refused.values(), ABOUT);
      if (refused.size > 0) this.#retryLater();
    } catch (error) {
      log.debug({ op: 'publish', err: error }, 'store away');
      this.#retryLater();
    }
  }

  async #publishLate(endpoint: Endpoint): Promise<void> {
    const current = { id: endpoint.id, isGone: false };
    this.#current = current;
    try {
      await this.#put(endpoint);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      const fields = { op: 'publish', endpoint: endpoint.id, tenant: endpoint.tenant, err: error };
      this.#options.log.error(fields, 'endpoint has no tenant');
    } finally {
      this.#current = undefined;
    }
    this.#unpublished.delete(endpoint.id);
    // Its record may have been removed before this put it there.
    if (current.isGone) await this.#remove(endpoint.id, endpoint.tenant);
  }
}

/** One that cannot be read belongs to no container, and is written anew. */
function isRecordOf({ createdAt }: Endpoint, entry: Entry): boolean {
  return endpoints.find(entry)?.createdAt === createdAt;
}

/** Why a tenant cannot have this endpoint. */
function whyNot(endpoint: Endpoint, tenant: Tenant | undefined): Conflict | undefined {
  if (tenant === undefined || tenant.phase === 'deleting') {
    const message = `tenant ${endpoint.tenant} is ${tenant === undefined ? 'gone' : 'being deleted'}`;
    return new Conflict(message, { field: 'tenant' });
  }
  if (tenant.namespaces.includes(endpoint.namespace)) return undefined;
  return new Conflict(`tenant ${tenant.name} has no namespace ${endpoint.namespace} any more`, { field: 'namespace' });
}
