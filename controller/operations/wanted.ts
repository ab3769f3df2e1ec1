/**
 * Asks nodes, through the store, to tell what they see of tenants' packets, for as long as a caller wants to know: they write none of
 * it otherwise. One key for each subject of this controller's, all under one lease, so that what is asked ends with the controller.
 */
import { randomUUID } from 'node:crypto';
import { type SetDeadline, setDeadline } from '../enforcement/deadline.ts';
import { Unavailable } from '../errors.ts';
import { liveNodes } from '../model/kinds/node.ts';
import { type Subject, tellerOf, toldUnder, wanted } from '../model/kinds/wanted.ts';
import { Backoff } from '../store/backoff.ts';
import { keys } from '../store/keys.ts';
import { Compacted, IndeterminateCommit, type Lease, type Revision, type Store } from '../store/store.ts';

export interface WantedOptions {
  readonly store: Store;
  readonly log: { error(fields: object, message: string): void };
  /** nodes that have something to tell of a subject, and are perhaps alive */
  readonly nodesOf: (subject: Subject) => readonly string[] | undefined;
  /** how long nodes have for their first answer, in milliseconds; 1 s */
  readonly patienceMs?: number;
  /** the machine's own timers unless given */
  readonly setDeadline?: SetDeadline;
  /** how long a subject stays wanted after its last caller, in milliseconds; 3 minutes, longer than any scrape is apart */
  readonly lingerMs?: number;
}

/** What one caller wants. */
export interface Hold {
  /** Resolves once all nodes concerned that are alive have told what they have, or their time is up. @throws Unavailable */
  readonly answered: Promise<void>;
  /** The caller wants it no longer. Idempotent. */
  release(): void;
}

interface Asked {
  readonly answered: Promise<void>;
  callers: number;
  linger: NodeJS.Timeout | undefined;
}

const PATIENCE_MS = 1_000;
const LINGER_MS = 180_000;
const LEASE_SECONDS = 10;

export class Wanted {
  readonly #options: WantedOptions;
  readonly #asker = randomUUID();
  readonly #closing = new AbortController();
  readonly #asked = new Map<Subject, Asked>();
  /** of our key, by subject: one that was put anew meanwhile must not be deleted */
  readonly #revisions = new Map<Subject, Revision>();
  #lease: Promise<Lease> | undefined;

  constructor(options: WantedOptions) {
    this.#options = options;
  }

  /** @param subject one of keys.ts's */
  hold(subject: Subject): Hold {
    const asked = this.#asked.get(subject) ?? this.#ask(subject);
    asked.callers++;
    clearTimeout(asked.linger);
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      asked.callers--;
      if (asked.callers > 0 || this.#asked.get(subject) !== asked || this.#closing.signal.aborted) return;
      asked.linger = setTimeout(() => void this.#drop(subject), this.#options.lingerMs ?? LINGER_MS).unref();
    };
    return { answered: asked.answered, release };
  }

  /** Wants nothing any more; nodes learn of it with the end of the lease. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const { linger } of this.#asked.values()) clearTimeout(linger);
    this.#asked.clear();
    await this.#endLease();
  }

  #ask(subject: Subject): Asked {
    const answered = this.#put(subject).then((revision) => this.#untilAnswered(subject, revision));
    const asked: Asked = { answered, callers: 0, linger: undefined };
    this.#asked.set(subject, asked);
    // The next caller asks anew.
    answered.catch(() => {
      if (this.#asked.get(subject) === asked) this.#asked.delete(subject);
    });
    return asked;
  }

  /** @throws Unavailable */
  async #put(subject: Subject): Promise<Revision> {
    if (this.#closing.signal.aborted) throw new Unavailable('controller', 'the controller is closing');
    const { store } = this.#options;
    const key = keys.wantedBy(subject, this.#asker);
    try {
      const lease = await this.#leased();
      const { revision } = await store.commit([], [{ kind: 'put', key, value: wanted.format({}), lease }]);
      this.#revisions.set(subject, revision);
      return revision;
    } catch (cause) {
      if (!(cause instanceof IndeterminateCommit)) throw cause;
      throw new Unavailable('store', 'nodes could not be asked', { cause });
    }
  }

  #leased(): Promise<Lease> {
    if (this.#lease !== undefined) return this.#lease;
    const lease = this.#options.store.lease(LEASE_SECONDS);
    this.#lease = lease;
    lease.then(
      ({ lost }) => lost.then(() => this.#askAgain(lease)),
      () => {
        if (this.#lease === lease) this.#lease = undefined;
      },
    );
    return lease;
  }

  /** The lease was lost, and all that was asked with it. */
  async #askAgain(lost: Promise<Lease>): Promise<void> {
    if (this.#lease !== lost) return;
    this.#lease = undefined;
    const { signal } = this.#closing;
    const backoff = new Backoff();
    const left = new Set(this.#asked.keys());
    while (left.size > 0 && !signal.aborted) {
      try {
        for (const subject of left) {
          if (this.#asked.has(subject)) await this.#put(subject);
          left.delete(subject);
        }
      } catch (error) {
        if (!(error instanceof Unavailable))
          this.#options.log.error({ op: 'wanted', err: error }, 'nodes could not be asked again');
        await backoff.wait(signal);
      }
    }
  }

  async #drop(subject: Subject): Promise<void> {
    this.#asked.delete(subject);
    if (this.#asked.size === 0) return await this.#endLease();
    const key = keys.wantedBy(subject, this.#asker);
    const modRevision = this.#revisions.get(subject);
    if (modRevision === undefined) return;
    const backoff = new Backoff();
    const { signal } = this.#closing;
    // Until a caller asks anew, or the lease ends it.
    while (this.#asked.size > 0 && !this.#asked.has(subject) && !signal.aborted) {
      try {
        await this.#options.store.commit([{ kind: 'unchanged', key, modRevision }], [{ kind: 'delete', key }]);
        return;
      } catch (error) {
        if (!(error instanceof Unavailable || error instanceof IndeterminateCommit)) throw error;
        await backoff.wait(signal);
      }
    }
  }

  async #endLease(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    // One that was never granted is none.
    await (await lease?.catch(() => undefined))?.close();
  }

  async #untilAnswered(subject: Subject, revision: Revision): Promise<void> {
    const { store, nodesOf, patienceMs = PATIENCE_MS } = this.#options;
    const { entries } = await store.list(keys.liveNodes);
    const live = entries.flatMap(({ key }) => liveNodes.place(key)?.node ?? []);
    const concerned = nodesOf(subject);
    const silent = new Set(concerned === undefined ? live : live.filter((node) => concerned.includes(node)));
    if (silent.size === 0) return;
    const patience = (this.#options.setDeadline ?? setDeadline)(patienceMs);
    const signal = AbortSignal.any([this.#closing.signal, patience.signal]);
    try {
      for await (const { events } of store.watch(toldUnder(subject), revision, signal)) {
        for (const event of events) if (event.kind === 'put') silent.delete(tellerOf(event.entry.key) ?? '');
        if (silent.size === 0) return;
      }
    } catch (error) {
      // What they said is in the store all the same.
      if (!(error instanceof Compacted)) throw error;
    } finally {
      patience.cancel();
    }
  }
}
