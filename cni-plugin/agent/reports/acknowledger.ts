/**
 * Tells the store what this node enforces: of each tenant it follows, the revision of each kind of record up to which everything is in
 * the kernel. One write at a time, each with the latest: a lone change is told at once, a stream of them ever more seldom. It decides
 * nothing, and no other part of the agent waits for it.
 */
import type { Logger } from 'pino';
import { rangeOf } from '../../../controller/model/kinds/all.ts';
import { type Enforced, type EnforcedRevisions, enforcedBy } from '../../../controller/model/kinds/enforced.ts';
import type { Acknowledged } from '../../../controller/model/kinds/kind.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { noteStoreError } from '../../../controller/store/findings.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Revision, Store } from '../../../controller/store/store.ts';

export interface AcknowledgerOptions {
  readonly store: Store;
  readonly node: string;
  /** id of the history that the store is in */
  readonly history: () => string;
  readonly book: ProblemBook;
  readonly log: Logger;
  /** after a write that failed, 500 unless given */
  readonly retryMs?: number;
}

/** Between two writes: doubled after one that many changes fell into, halved after others. */
const PAUSE_MS = { least: 4, most: 20 } as const;
/** More changes than one write of a caller that waits for each makes, with its records of several kinds. */
const FEW_CHANGES = 3;

/** What a problem of it is about. */
const ABOUT = 'acknowledgement';
const NONE: ReadonlySet<string> = new Set();

/** Which records a followed prefix is about: of one tenant, or (a gateway's) of all. */
interface Subject {
  readonly tenant: string | undefined;
  readonly kind: Acknowledged;
}

export class Acknowledger {
  readonly #options: AcknowledgerOptions;
  /** heard of, by prefix; in the kernel after the next pass */
  readonly #seen = new Map<string, Revision | undefined>();
  readonly #enforced = new Map<string, Revision>();
  /** tenants whose changes are not in the kernel */
  #apart: readonly string[] = [];
  #at = new Date().toISOString();
  #dirty = false;
  #ready = false;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #pauseMs: number = PAUSE_MS.least;
  /** not told yet */
  #changes = 0;

  constructor(options: AcknowledgerOptions) {
    this.#options = options;
  }

  /** The snapshot holds everything under a followed prefix up to this revision; undefined: it is followed no more. */
  seen(prefix: string, revision: Revision | undefined): void {
    if (subjectOf(prefix) !== undefined) this.#seen.set(prefix, revision);
  }

  /**
   * The kernel holds what the snapshot says.
   * @param but tenants of which it refuses something: what changed of theirs waits until it does not
   */
  applied(but: ReadonlySet<string> = NONE): void {
    for (const [prefix, revision] of this.#seen) {
      const tenant = subjectOf(prefix)?.tenant;
      if (revision !== undefined && tenant !== undefined && but.has(tenant)) continue;
      this.#seen.delete(prefix);
      if (this.#enforced.get(prefix) === revision) continue;
      if (revision === undefined) this.#enforced.delete(prefix);
      else this.#enforced.set(prefix, revision);
      this.#dirty = true;
    }
    const apart = [...but].sort();
    if (apart.join() !== this.#apart.join()) this.#dirty = true;
    this.#apart = apart;
    if (!this.#dirty) return;
    this.#at = new Date().toISOString();
    this.#changes++;
    this.#write();
  }

  /** The store is in another history: nothing that was seen is of it, and nothing is told until the node is registered in it. */
  void(): void {
    this.#ready = false;
    this.#seen.clear();
    this.#enforced.clear();
  }

  /** The node's record is in the store (again): only then may it be told what the node enforces. */
  registered(): void {
    this.#ready = true;
    this.#dirty = true;
    this.#write();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
  }

  #write(): void {
    if (!this.#ready || this.#closed || this.#writing !== undefined || this.#timer !== undefined) return;
    this.#writing = this.#put().then((isDone) => {
      this.#writing = undefined;
      if (this.#closed) return;
      const wake = () => {
        this.#timer = undefined;
        const isBusy = this.#changes > FEW_CHANGES;
        this.#pauseMs = isBusy
          ? Math.min(2 * this.#pauseMs, PAUSE_MS.most)
          : Math.max(this.#pauseMs / 2, PAUSE_MS.least);
        if (this.#dirty) this.#write();
      };
      this.#timer = setTimeout(wake, isDone ? this.#pauseMs : (this.#options.retryMs ?? 500));
    });
  }

  /** @returns false when the store did not take it */
  async #put(): Promise<boolean> {
    const { store, node, book, log } = this.#options;
    this.#dirty = false;
    this.#changes = 0;
    try {
      const value = enforcedBy.format(this.#record());
      // A node that was forgotten says nothing more until it is registered again.
      const guard = { kind: 'present', key: keys.node(node) } as const;
      const { committed } = await store.commit([guard], [{ kind: 'put', key: keys.enforced(node), value }]);
      this.#ready = committed;
      book.solved('store_refused', ABOUT);
      return true;
    } catch (error) {
      if (noteStoreError(book, ABOUT, error)) log.debug({ op: 'acknowledge', err: error }, 'store away');
      this.#dirty = true;
      return false;
    }
  }

  #record(): Enforced {
    const tenants = new Map<string, Partial<Record<Acknowledged, Revision>>>();
    let all: Partial<Record<Acknowledged, Revision>> | undefined;
    for (const [prefix, revision] of this.#enforced) {
      const subject = subjectOf(prefix);
      if (subject === undefined) continue;
      if (subject.tenant === undefined) {
        all ??= {};
        all[subject.kind] = revision;
      } else {
        const known = tenants.get(subject.tenant) ?? {};
        known[subject.kind] = revision;
        tenants.set(subject.tenant, known);
      }
    }
    // Of one that follows all tenants those of a tenant are what it has besides.
    const told = [...tenants].filter(([, revisions]) => all !== undefined || isWhole(revisions));
    const record = { at: this.#at, history: this.#options.history(), tenants: Object.fromEntries(told) };
    if (all === undefined || !isWhole(all)) return record;
    return this.#apart.length === 0 ? { ...record, all } : { ...record, allBut: { tenants: this.#apart, ...all } };
  }
}

function isWhole(revisions: Partial<Record<Acknowledged, Revision>>): revisions is EnforcedRevisions {
  return revisions.tenant !== undefined && revisions.namespaces !== undefined && revisions.peerings !== undefined;
}

function subjectOf(prefix: string): Subject | undefined {
  const range = rangeOf(prefix);
  return range?.acknowledgedAs && { tenant: range.tenant, kind: range.acknowledgedAs };
}
