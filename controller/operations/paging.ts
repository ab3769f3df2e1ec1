/**
 * Lists by pages, in key order. A page is read at one revision, the next one at a later: what is written in between may be in
 * neither or in one, never in both.
 */
import type { Entry, Revision, Store } from '../store/store.ts';

export interface PageRequest {
  readonly limit: number;
  /** key after which the page begins */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** key after which the next page begins; absent on the last one */
  readonly next?: string;
  readonly revision: Revision;
}

/** Entries read at once while looking for those that a filter wants. */
const SCAN = 1000;

/** @param select turns an entry into an item, undefined: leaves it out @throws Unavailable */
export async function listPage<T>(
  store: Store,
  prefix: string,
  { limit, after }: PageRequest,
  select: (entry: Entry) => T | undefined,
  { filtered = false } = {},
): Promise<Page<T>> {
  const items: T[] = [];
  let from = after;
  for (;;) {
    const options = { limit: filtered ? SCAN : limit, ...(from === undefined ? {} : { after: from }) };
    const { entries, more, revision } = await store.list(prefix, options);
    for (const [index, entry] of entries.entries()) {
      from = entry.key;
      const item = select(entry);
      if (item !== undefined) items.push(item);
      const isLast = !more && index === entries.length - 1;
      if (items.length === limit) return { items, revision, ...(isLast ? {} : { next: from }) };
    }
    if (!more) return { items, revision };
  }
}
