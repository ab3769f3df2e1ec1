/**
 * What this node has heard of the store, entry by entry: the one that writes the snapshot, and what the copy on disk holds. Watches write
 * into it, and so do single reads, which count only where they are newer than what the watches have brought.
 */
import { keys } from '../../../controller/store/keys.ts';
import type { Entry, Revision, Store, WatchBatch } from '../../../controller/store/store.ts';
import { type ClusterCopy, entriesByKey } from './cluster-copy.ts';
import type { Snapshot } from './snapshot.ts';

export class SnapshotReplica {
  readonly snapshot: Snapshot;
  /** what the copy on disk holds once written */
  readonly #entries = new Map<string, Entry>();
  /** the copy of the life before, by key */
  readonly #copied: ReadonlyMap<string, Entry>;
  /** up to which revision everything under a prefix has been heard, in the history that it was listed in */
  readonly #heard = new Map<string, Revision>();

  constructor(snapshot: Snapshot, copy?: Pick<ClusterCopy, 'entries'>) {
    this.snapshot = snapshot;
    this.#copied = entriesByKey(copy);
  }

  get size(): number {
    return this.#entries.size;
  }

  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  /** All there is under a prefix that is followed; an entry beside it is passed over. @param mayUseCopy of what cannot be read */
  replace(prefix: string, entries: readonly Entry[], revision: Revision, mayUseCopy: boolean): void {
    this.#put(prefix, entries, mayUseCopy);
    this.#heard.set(prefix, revision);
  }

  /** What came after. @returns keys that changed */
  apply(prefix: string, { events, revision }: WatchBatch, mayUseCopy: boolean): readonly string[] {
    const changed: string[] = [];
    for (const event of events) {
      const key = event.kind === 'put' ? event.entry.key : event.key;
      if (!isUnder(prefix, key)) continue;
      changed.push(key);
      this.snapshot.apply(event);
      if (event.kind === 'put') this.#remember(event.entry, this.#entries.get(key), mayUseCopy);
      else this.#entries.delete(key);
    }
    this.#heard.set(prefix, revision);
    return changed;
  }

  /** The prefix is followed no more: what lies under it is not known. */
  drop(prefix: string): void {
    this.#heard.delete(prefix);
    this.#put(prefix, [], false);
  }

  /** The store is in another history: its revisions are not those that were heard. */
  void(): void {
    this.#heard.clear();
  }

  /** The tenant's record as the store has it now, where a caller knows that the snapshot may lag behind. @throws Unavailable */
  async lookAtTenant(store: Pick<Store, 'get'>, tenant: string): Promise<void> {
    const key = keys.tenant(tenant);
    const { entry, revision } = await store.get(key);
    for (const [prefix, heard] of this.#heard) if (isUnder(prefix, key) && heard >= revision) return;
    if (entry === undefined) this.snapshot.remove(key);
    else this.snapshot.put(entry);
  }

  /** What the life before had and is not known yet. */
  takeCopied(): void {
    for (const [key, entry] of this.#copied) {
      if (this.#entries.has(key)) continue;
      this.#entries.set(key, entry);
      this.snapshot.put(entry);
    }
  }

  #put(prefix: string, entries: readonly Entry[], mayUseCopy: boolean): void {
    const own = entries.filter(({ key }) => isUnder(prefix, key));
    const before = new Map([...this.#entries].filter(([key]) => isUnder(prefix, key)));
    for (const key of before.keys()) this.#entries.delete(key);
    if (prefix.endsWith('/')) this.snapshot.replace(prefix, own);
    else if (own[0] === undefined) this.snapshot.remove(prefix);
    else this.snapshot.put(own[0]);
    for (const entry of own) this.#remember(entry, before.get(entry.key), mayUseCopy);
  }

  /** What the copy has to hold: of an object that cannot be read now, what is in force, be that from the life before. */
  #remember(entry: Entry, before: Entry | undefined, mayUseCopy: boolean): void {
    const { snapshot } = this;
    this.#entries.set(entry.key, entry);
    if (!snapshot.unreadable.has(entry.key)) return;
    const good = before ?? (mayUseCopy ? this.#copied.get(entry.key) : undefined);
    if (good?.createRevision !== entry.createRevision) return;
    if (!snapshot.has(entry)) for (const each of [good, entry]) snapshot.put(each);
    this.#entries.set(entry.key, good);
  }
}

/** A prefix without a slash at its end is one key. */
function isUnder(prefix: string, key: string): boolean {
  return prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix;
}
