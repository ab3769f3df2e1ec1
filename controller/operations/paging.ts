/**
 * Lists by pages, in key order. A page is read at one revision, the next one at a later: what is written in between may be in
 * neither or in one, never in both. A record that cannot be read is left out, and the page says so.
 */
import { type Reader, Unreadable } from '../model/kinds/kind.ts';
import type { Revision, Store } from '../store/store.ts';
import type { Noticed } from './noticed.ts';
import type { Stored } from './stored.ts';

export interface PageRequest {
  readonly limit: number;
  /** key after which the page begins */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** left out: they lie on this page and cannot be read */
  readonly unreadable: readonly Unreadable[];
  /** key after which the next page begins; absent on the last one */
  readonly next?: string;
  readonly revision: Revision;
}

/** Where lists are read, and where it is noted what cannot be. */
export interface Source {
  readonly store: Store;
  readonly noticed: Noticed;
}

/** Entries read at once while looking for those that a filter wants. */
const SCAN = 1000;

/** @param isWanted absent: all are @throws Unavailable */
export async function listPage<R>(
  source: Source,
  kind: Reader<R>,
  prefix: string,
  { limit, after }: PageRequest,
  isWanted?: (record: R) => boolean,
): Promise<Page<Stored<R>>> {
  const items: Stored<R>[] = [];
  const unreadable: Unreadable[] = [];
  let from = after;
  for (;;) {
    const options = { limit: isWanted ? SCAN : limit, ...(from === undefined ? {} : { after: from }) };
    const { entries, more, revision } = await source.store.list(prefix, options);
    for (const [index, entry] of entries.entries()) {
      from = entry.key;
      const record = kind.read(entry);
      source.noticed.note(entry.key, record);
      if (record instanceof Unreadable) unreadable.push(record);
      else if (isWanted?.(record) !== false) items.push({ record, revision: entry.modRevision });
      const isLast = !more && index === entries.length - 1;
      if (items.length === limit) return { items, unreadable, revision, ...(isLast ? {} : { next: from }) };
    }
    if (!more) return { items, unreadable, revision };
  }
}
