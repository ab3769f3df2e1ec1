/**
 * Looks after this node's blocks: makes sure they still are its own, gives back those of tenants that are being deleted or have had
 * nothing here for a while. Claiming and handing out is blocks.ts's.
 */
import { blocks } from '../../../controller/model/kinds/block.ts';
import { tenants } from '../../../controller/model/kinds/tenant.ts';
import { noteStoreError } from '../../../controller/store/findings.ts';
import type { AgentContext } from '../context.ts';
import { quarantine } from '../endpoints/quarantine.ts';
import { undo } from '../verbs/del.ts';

/** How often blocks are looked through for unused ones, and how long a tenant must have had nothing here. */
const INTERVAL_MS = 10_000;
const IDLE_MS = 60_000;
/** What problems of it are about. */
const ABOUT = 'blocks';

export class BlockUpkeep {
  readonly #context: AgentContext;
  readonly #idleSince = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #confirming: Promise<void> | undefined;
  #toConfirm = false;
  /** may there be endpoints outside this node's blocks? A former life may have been cut short while it cut them off */
  #hasStrays = true;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#tick(), INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Tenants with an endpoint or a block here. */
  tenants(): Set<string> {
    const { journal } = this.#context;
    const tenants = new Set<string>();
    for (const { endpoint } of journal.endpoints.values()) tenants.add(endpoint.tenant);
    for (const { tenant } of journal.blocks.values()) tenants.add(tenant);
    return tenants;
  }

  /** Also those that only were asked about: an ADD that was refused leaves its tenant followed, and nothing else. */
  #followed(): Set<string> {
    return new Set([...this.tenants(), ...this.#context.view.needed()]);
  }

  /** @param changed keys of the store; without, any may have changed */
  heard(changed?: readonly string[]): void {
    const isOurs = (key: string) => {
      const prefix = blocks.place(key)?.prefix;
      return prefix !== undefined && this.#context.journal.blocks.has(prefix);
    };
    if (changed === undefined || changed.some(isOurs)) void this.confirm();
    if (changed === undefined || changed.some((key) => tenants.place(key) !== undefined)) this.giveBackOfDeleted();
  }

  /** Quarantines what has an address that is another node's by now; the store being away, at its next sign of life. */
  confirm(): Promise<void> {
    this.#toConfirm = true;
    this.#confirming ??= (async () => {
      // What is learned while this runs is looked at too.
      for (; this.#toConfirm; await this.#confirmOnce()) this.#toConfirm = false;
      this.#confirming = undefined;
    })();
    return this.#confirming;
  }

  /**
   * The same by what the store says itself: in another history of it, what was heard of it says nothing.
   * @throws Unavailable, IndeterminateCommit
   */
  async reclaim(): Promise<void> {
    await this.#confirmAll({ anew: true });
  }

  async #confirmOnce(): Promise<void> {
    const { book, log } = this.#context;
    try {
      await this.#confirmAll();
    } catch (error) {
      if (noteStoreError(book, ABOUT, error))
        log.warn({ op: 'blocks', err: error }, 'cannot tell yet whether all blocks are still this node’s');
    }
  }

  async #confirmAll(options?: { readonly anew: boolean }): Promise<void> {
    const { blocks, journal, locks, book, log } = this.#context;
    for (const { tenant, prefix } of await blocks.confirm(options)) {
      log.error({ op: 'blocks', tenant, block: prefix }, 'no longer this node’s');
      this.#hasStrays = true;
    }
    book.solved('store_refused', ABOUT);
    if (!this.#hasStrays) return;
    for (const [id, { endpoint, phase }] of [...journal.endpoints]) {
      if (phase === 'quarantined' || endpoint.ips.every((ip) => blocks.covers(ip))) continue;
      await locks.run(id, async () => {
        const isReady = journal.endpoints.get(id)?.phase === 'ready';
        await (isReady ? quarantine : undo)(id, this.#context);
      });
    }
    this.#hasStrays = false;
  }

  /**
   * A tenant that is being deleted waits for these: at once, and again when a container that was in the way is gone. One that had
   * nothing here may be gone at once.
   */
  giveBackOfDeleted(): void {
    const { snapshot, view } = this.#context;
    const here = this.tenants();
    for (const name of this.#followed()) {
      const tenant = snapshot.tenant(name);
      if (tenant?.phase === 'deleting') void this.#giveBackOf(name);
      else if (tenant === undefined && !here.has(name)) view.forget(name);
    }
  }

  async #tick(): Promise<void> {
    await this.confirm();
    this.giveBackOfDeleted();
    const busy = new Set([...this.#context.journal.endpoints.values()].map(({ endpoint }) => endpoint.tenant));
    for (const tenant of this.#followed()) {
      if (busy.has(tenant)) {
        this.#idleSince.delete(tenant);
        continue;
      }
      const since = this.#idleSince.get(tenant) ?? Date.now();
      this.#idleSince.set(tenant, since);
      if (Date.now() - since >= IDLE_MS) await this.#giveBackOf(tenant);
    }
  }

  async #giveBackOf(tenant: string): Promise<void> {
    const { blocks, view, book, log } = this.#context;
    const about = `${ABOUT} of ${tenant}`;
    try {
      for (const block of [...blocks.owned(tenant)]) await blocks.giveBack(block);
      book.solved('store_refused', about);
      if (!this.tenants().has(tenant)) view.forget(tenant);
    } catch (error) {
      if (noteStoreError(book, about, error, tenant))
        log.debug({ op: 'blocks', tenant, err: error }, 'cannot give blocks back yet');
    }
  }
}
