/**
 * What a write changed, as far as nodes have to learn of it, and whether a node says that it has. Decides only; reads nothing.
 */
import { type Enforced, type EnforcedRevisions, enforcedBy } from '../model/kinds/enforced.ts';
import { type Acknowledged, Unreadable } from '../model/kinds/kind.ts';
import type { Entry, Revision } from '../store/store.ts';

/** Records that nodes acknowledge apart from each other. */
export type Kind = Acknowledged;

export interface Change {
  /** whose records were written */
  readonly tenant: string;
  readonly kinds: readonly Kind[];
  /** the commit's */
  readonly revision: Revision;
  /** tenants whose nodes are concerned, besides gateways and manage nodes where they follow such records */
  readonly holders: readonly string[];
  /** so are nodes of those that the tenant has a peering in force with, whose policies may select what was written */
  readonly withPeers?: true;
}

/** The same with the history that it happened in. */
export interface PlacedChange extends Change {
  /** of the store's histories the one that the revision is of; what nodes said in another is void */
  readonly history: string;
}

/** Do gateways and manage nodes follow the records that a change is about? What one of them enforces is only that of tenants it holds. */
export function concernsOverseers({ kinds }: Change): boolean {
  return kinds.some((kind) => kind !== 'policies' && kind !== 'endpoints');
}

/** What a node said last. */
export class Acknowledgement {
  /** when this controller learned of it, on its own monotonic clock */
  readonly learnedMs: number;
  readonly #entry: Entry;
  readonly #onRead: (found: Enforced | Unreadable) => void;
  #found: Enforced | Unreadable | undefined;

  /** @param onRead told what it says, once that has been read */
  constructor(entry: Entry, learnedMs: number, onRead: (found: Enforced | Unreadable) => void) {
    this.#entry = entry;
    this.learnedMs = learnedMs;
    this.#onRead = onRead;
  }

  /** Which node said it. */
  get node(): string {
    return enforcedBy.place(this.#entry.key)?.node ?? this.#entry.key;
  }

  /** Was it read from this very record? In another history of the store, another one can have its revision. */
  isOf({ modRevision, value }: Entry): boolean {
    return this.#entry.modRevision === modRevision && this.#entry.value === value;
  }

  /** It has been read, and that failed. */
  get isUnreadable(): boolean {
    return this.#found instanceof Unreadable;
  }

  /** Parsed at the first call: most are never read. */
  read(): Enforced | Unreadable {
    if (this.#found === undefined) {
      this.#found = enforcedBy.read(this.#entry);
      this.#onRead(this.#found);
    }
    return this.#found;
  }

  /** Undefined if it cannot be read. */
  get record(): Enforced | undefined {
    const found = this.read();
    return found instanceof Unreadable ? undefined : found;
  }

  /** Does it say that the change is in the kernel, all of it? */
  covers({ tenant, kinds, revision, history }: PlacedChange): boolean {
    const { record } = this;
    if (record?.history !== history) return false;
    const others = record?.allBut?.tenants.includes(tenant) === false ? record.allBut : undefined;
    const reached = [record?.all, others, this.#of(tenant)];
    return kinds.every((kind) => reached.some((revisions) => Number(revisions?.[kind]) >= revision));
  }

  /** Does it say anything of what the change is about? */
  speaksOf({ tenant, kinds }: Change): boolean {
    const known = [this.record?.all, this.record?.allBut, this.#of(tenant)];
    return kinds.every((kind) => known.some((revisions) => revisions?.[kind] !== undefined));
  }

  #of(tenant: string): Partial<EnforcedRevisions> | undefined {
    const tenants = this.record?.tenants ?? {};
    return Object.hasOwn(tenants, tenant) ? tenants[tenant] : undefined;
  }
}
