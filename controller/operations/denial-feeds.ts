/**
 * Tells listeners what nodes refuse of a tenant's packets, as agents write it while they are asked. However many listen to one
 * tenant, its keys are followed once, from the first that comes until the last has gone; a tenant without listeners costs nothing.
 */
import { Unavailable } from '../errors.ts';
import {
  compareDenials,
  computeNews,
  computeNewsAfter,
  type DenialFilter,
  matchesDenial,
  numberDenials,
  type Position,
} from '../model/denials.ts';
import { type Denials, denials } from '../model/kinds/denials.ts';
import { subjects } from '../model/kinds/wanted.ts';
import type { ProblemBook } from '../model/problems.ts';
import { followingProblems } from '../store/findings.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { Replica } from '../store/replica.ts';
import type { Entry, Revision, Store, WatchBatch } from '../store/store.ts';
import { DenialSubscription } from './denial-subscription.ts';
import type { Hold, Wanted } from './wanted.ts';

interface FeedOptions {
  readonly store: Store;
  readonly wanted: Wanted;
  readonly log: { error(fields: object, message: string): void };
  readonly book: ProblemBook;
}

export class DenialFeeds {
  readonly #options: FeedOptions;
  readonly #feeds = new Map<string, Feed>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** tenants that have a subscription */
  get tenants(): readonly string[] {
    return [...this.#feeds.keys()];
  }

  /**
   * Hears of everything refused from when this resolves on, and first of what is known and not before `filter.sinceMs`, if given.
   * @param after how far the listener has come by an earlier connection: it hears of what came since
   * @param signal aborts when the listener has gone: the subscription is closed
   * @throws Unavailable when closed before the store has said what there is
   */
  async subscribe(
    tenant: string,
    filter: DenialFilter,
    signal: AbortSignal,
    after?: Position,
  ): Promise<DenialSubscription> {
    const feed = this.#open(tenant);
    const isWanted = (denial: Parameters<typeof matchesDenial>[2]) => matchesDenial(tenant, filter, denial);
    const subscription = new DenialSubscription(isWanted, () => this.#leave(tenant, feed, subscription));
    feed.join(subscription);
    signal.addEventListener('abort', () => subscription.close(), { once: true });
    if (signal.aborted) subscription.close();
    try {
      await Promise.race([Promise.all([feed.synced, feed.hold.answered]), feed.ended]);
    } catch (error) {
      subscription.close();
      throw error;
    }
    if (!feed.isSynced) {
      subscription.close();
      throw new Unavailable('store', 'denials cannot be streamed now');
    }
    feed.begin(subscription, filter.sinceMs, after);
    return subscription;
  }

  /** Ends every subscription, and the following. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const feed of this.#feeds.values()) feed.end();
    await Promise.all(this.#running);
  }

  #open(tenant: string): Feed {
    if (this.#closed) throw new Unavailable('controller', 'the controller is closing');
    const known = this.#feeds.get(tenant);
    if (known !== undefined) return known;
    const feed = new Feed(tenant, this.#options.wanted.hold(subjects.denials(tenant)), this.#options.book);
    // Told to those who subscribe, if there are any left by then.
    feed.hold.answered.catch(() => undefined);
    this.#feeds.set(tenant, feed);
    const running = this.#run(tenant, feed);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
    return feed;
  }

  async #run(tenant: string, feed: Feed): Promise<void> {
    const { store, book, log } = this.#options;
    try {
      await feed.follow(store, followingProblems(book));
    } catch (error) {
      log.error({ op: 'denials', tenant, err: error }, 'what nodes refuse can no longer be followed');
    } finally {
      if (this.#feeds.get(tenant) === feed) this.#feeds.delete(tenant);
      feed.end();
      feed.hold.release();
    }
  }

  #leave(tenant: string, feed: Feed, subscription: DenialSubscription): void {
    if (!feed.leave(subscription)) return;
    if (this.#feeds.get(tenant) === feed) this.#feeds.delete(tenant);
    feed.end();
  }
}

/** One tenant's denials, followed. */
class Feed {
  readonly #tenant: string;
  /** that nodes tell */
  readonly hold: Hold;
  readonly #stopping = new AbortController();
  /** of each node, also of those forgotten: one that is written again must not be told twice */
  readonly #latest = new Map<string, Denials>();
  readonly #subscriptions = new Set<DenialSubscription>();
  /** those that have been told what there is, and so hear what comes */
  readonly #begun = new Set<DenialSubscription>();
  readonly #said: Replica<Denials>;
  /** of the tenant's record: another of the same name is another tenant */
  #incarnation: Revision | undefined;
  readonly ended: Promise<void>;
  #resolveEnded: () => void = () => {};

  constructor(tenant: string, hold: Hold, book: ProblemBook) {
    this.#tenant = tenant;
    this.hold = hold;
    this.#said = new Replica({
      book,
      read: (entry) => denials.read(entry),
      onChange: (key, now) => now && this.#learn(key, now),
    });
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Resolves when all that nodes had said has been seen. */
  get synced(): Promise<void> {
    return this.#said.synced;
  }

  get isSynced(): boolean {
    return this.#said.isSynced;
  }

  join(subscription: DenialSubscription): void {
    this.#subscriptions.add(subscription);
  }

  /** @returns whether no subscription is left */
  leave(subscription: DenialSubscription): boolean {
    this.#begun.delete(subscription);
    return this.#subscriptions.delete(subscription) && this.#subscriptions.size === 0;
  }

  /** From now on it hears what comes; first, of what there is, what is not older than that, or what it has not come to yet. */
  begin(subscription: DenialSubscription, sinceMs: number | undefined, after: Position | undefined): void {
    if (!this.#subscriptions.has(subscription)) return;
    this.#begun.add(subscription);
    if (after !== undefined) {
      this.#goOn(subscription, after);
      return;
    }
    const toldFirst = sinceMs === undefined ? [] : [...this.#latest];
    // Of what it is told now it has taken nothing yet.
    const starts = [...this.#latest].map(([node, { sequence, denials }]): [string, number] => [
      node,
      sinceMs === undefined ? sequence : sequence - denials.length,
    ]);
    subscription.startAt(new Map(starts));
    const known = toldFirst.flatMap(([node, said]) => numberDenials(node, said));
    for (const denial of known.sort(compareDenials)) subscription.offer({ kind: 'denial', denial });
  }

  #goOn(subscription: DenialSubscription, after: Position): void {
    subscription.startAt(after);
    const news = [...this.#latest].map(([node, said]) => computeNewsAfter(node, after, said));
    const missed = news.reduce((sum, each) => sum + each.missed, 0);
    if (missed > 0) subscription.offer({ kind: 'skipped', count: missed });
    const fresh = news.flatMap((each) => each.fresh);
    for (const denial of fresh.sort(compareDenials)) subscription.offer({ kind: 'denial', denial });
  }

  /** Until it is ended; both watches, or neither. */
  async follow(store: Store, watcher: FollowWatcher): Promise<void> {
    const { signal } = this.#stopping;
    const parts = [
      this.#said.follow(store, keys.denials(this.#tenant), signal, watcher),
      follow(store, keys.tenant(this.#tenant), this.#tenantSink(), signal, watcher),
    ];
    try {
      await Promise.all(parts);
    } finally {
      this.#stopping.abort();
      await Promise.allSettled(parts);
    }
  }

  /** @param gone the tenant is */
  end(gone = false): void {
    this.#stopping.abort();
    for (const subscription of [...this.#subscriptions]) subscription.end(gone);
    this.#resolveEnded();
  }

  /** The first listing is what was before there was a subscription; a later one has what a break of the watch kept from us. */
  #learn(key: string, said: Denials): void {
    const tell = this.#said.isSynced;
    const node = denials.place(key)?.node ?? key;
    const before = this.#latest.get(node);
    this.#latest.set(node, said);
    if (!tell) return;
    const { fresh, missed } = computeNews(node, before, said);
    for (const subscription of this.#begun) {
      if (missed > 0) subscription.offer({ kind: 'skipped', count: missed });
      for (const denial of fresh) subscription.offer({ kind: 'denial', denial });
    }
  }

  #tenantSink() {
    const key = keys.tenant(this.#tenant);
    const see = (entry: Entry | undefined) => {
      this.#incarnation ??= entry?.createRevision;
      if (entry === undefined || entry.createRevision !== this.#incarnation) this.end(true);
    };
    return {
      snapshot: (entries: readonly Entry[]) => see(entries.find((entry) => entry.key === key)),
      events: ({ events }: WatchBatch) => {
        for (const event of events)
          if (event.kind === 'put' && event.entry.key === key) see(event.entry);
          else if (event.kind === 'delete' && event.key === key) see(undefined);
      },
    };
  }
}
