/**
 * Watches over etcd: any number of them on one stream, each resumed after a break exactly where its own last event was, so
 * that every event arrives once. It never decides what to do about lost history; it reports it.
 *
 * Two faults of etcd before 3.4.25 / 3.5.8 shape it. A progress REQUEST may be answered before events that are on their way,
 * so only the periodic notifications are used, which keep order. And compacting at revision R drops a deletion made at R
 * itself, so a watch that has history to catch up with starts AT the last revision seen: if etcd still has that one, it has
 * all that follow. It is first asked for from the revision after, because one that turns out to have nothing to catch up
 * with is then live at once; etcd looks after the others every 100 ms only.
 */
import { Backoff } from './backoff.ts';
import { BatchQueue } from './batch-queue.ts';
import { toEntry } from './etcd-kv.ts';
import type { EtcdRpc, WatchResponse, WatchStream } from './etcd-rpc.ts';
import { Compacted, type Connection, type Revision, rangeEnd, type WatchBatch, type WatchEvent } from './store.ts';

/** Pause before a watch that etcd refused is asked for again, milliseconds. */
const RECREATE_MS = 1000;

/** Told when watching stops and when it goes on, not about every try between. */
export interface WatchLog {
  info(fields: object, message: string): void;
  warn(fields: { readonly reason: string; readonly prefix?: string }, message: string): void;
}

export interface EtcdWatcherOptions {
  readonly rpc: EtcdRpc;
  /** put before every key */
  readonly prefix: string;
  readonly log: WatchLog;
  /** a stream that has not confirmed a watch after this many milliseconds is given up */
  readonly confirmationMs: number;
  readonly onConnection: (now: Connection) => void;
}

interface Watch {
  /** on the stream; another each time it is asked for */
  id: number;
  /** as etcd knows it */
  readonly prefix: string;
  readonly queue: BatchQueue;
  /** everything up to here has been queued */
  seen: Revision;
  /** what etcd was asked to start from */
  start: Revision;
  /** events of a response of which more fragments are to come */
  partial: WatchEvent[];
  /** runs out when etcd does not confirm the watch, or when a refused one is to be tried again */
  timer: NodeJS.Timeout | undefined;
}

/** All of a store's watches and the stream they share, open while there is at least one. */
export class EtcdWatcher {
  readonly #rpc: EtcdRpc;
  readonly #prefix: string;
  readonly #log: WatchLog;
  readonly #confirmationMs: number;
  readonly #watches = new Set<Watch>();
  /** by the id on the stream */
  readonly #byId = new Map<number, Watch>();
  readonly #backoff = new Backoff();
  readonly #closed = new AbortController();
  readonly #onConnection: (now: Connection) => void;
  #nextId = 1;
  #stream: WatchStream | undefined;
  #opening = false;
  #broken = false;

  constructor({ rpc, prefix, log, confirmationMs, onConnection }: EtcdWatcherOptions) {
    this.#rpc = rpc;
    this.#prefix = prefix;
    this.#log = log;
    this.#confirmationMs = confirmationMs;
    this.#onConnection = onConnection;
  }

  /** See {@link Store.watch}. */
  async *watch(prefix: string, after: Revision, signal: AbortSignal): AsyncGenerator<WatchBatch, void, undefined> {
    if (signal.aborted || this.#closed.signal.aborted) return;
    const watch: Watch = {
      id: 0,
      prefix: this.#prefix + prefix,
      queue: new BatchQueue(),
      seen: after,
      start: after,
      partial: [],
      timer: undefined,
    };
    this.#watches.add(watch);
    if (this.#stream) this.#create(watch, watch.seen + 1, this.#stream);
    else void this.#open();
    try {
      yield* watch.queue.drain(signal);
    } finally {
      this.#remove(watch);
    }
  }

  close(): void {
    this.#closed.abort();
    for (const watch of [...this.#watches]) {
      watch.queue.end();
      this.#remove(watch);
    }
  }

  #remove(watch: Watch): void {
    clearTimeout(watch.timer);
    const wasCreated = this.#byId.delete(watch.id);
    if (!this.#watches.delete(watch) || !this.#stream) return;
    if (this.#watches.size === 0) {
      this.#stream.close();
      this.#stream = undefined;
    } else if (wasCreated) {
      this.#stream.send({ cancel_request: { watch_id: watch.id } });
    }
  }

  /** Opens the stream and puts every watch on it; after a break it waits first. */
  async #open(previous?: Error): Promise<void> {
    if (this.#opening || this.#stream) return;
    this.#opening = true;
    if (previous) {
      if (!this.#broken) this.#log.warn({ reason: previous.message }, 'the watch stream broke');
      this.#broken = true;
      await this.#backoff.wait(this.#closed.signal);
    }
    this.#opening = false;
    if (this.#watches.size === 0) return;
    const stream = this.#rpc.openWatch({
      response: (response) => this.#receive(response),
      ended: (error) => this.#broke(stream, error),
    });
    this.#stream = stream;
    for (const watch of this.#watches) this.#create(watch, watch.seen + 1, stream);
  }

  #broke(stream: WatchStream, error: Error): void {
    if (this.#stream !== stream) return;
    stream.close();
    this.#stream = undefined;
    this.#byId.clear();
    for (const watch of this.#watches) clearTimeout(watch.timer);
    this.#onConnection('lost');
    void this.#open(error);
  }

  #create(watch: Watch, start: Revision, stream: WatchStream): void {
    this.#byId.delete(watch.id);
    watch.id = this.#nextId++;
    this.#byId.set(watch.id, watch);
    watch.start = start;
    watch.partial = [];
    clearTimeout(watch.timer);
    watch.timer = setTimeout(
      () => this.#broke(stream, new Error(`etcd did not confirm a watch within ${this.#confirmationMs} ms`)),
      this.#confirmationMs,
    );
    stream.send({
      create_request: {
        watch_id: watch.id,
        key: Buffer.from(watch.prefix),
        range_end: Buffer.from(rangeEnd(watch.prefix)),
        start_revision: Math.max(1, start),
        progress_notify: true,
        fragment: true,
      },
    });
  }

  #receive(response: WatchResponse): void {
    const watch = this.#byId.get(Number(response.watch_id));
    if (response.canceled) this.#cancelled(response, watch);
    else if (watch && response.created) this.#confirmed(watch, Number(response.header.revision));
    else if (watch) this.#deliver(watch, response);
  }

  /** @param revision etcd's own when it made the watch */
  #confirmed(watch: Watch, revision: Revision): void {
    clearTimeout(watch.timer);
    this.#backoff.reset();
    if (this.#stream && revision > watch.seen && watch.start > watch.seen) {
      this.#stream.send({ cancel_request: { watch_id: watch.id } });
      this.#create(watch, watch.seen, this.#stream);
    }
    if (!this.#broken) return;
    this.#broken = false;
    this.#log.info({}, 'watching again');
    this.#onConnection('back');
  }

  /** Not by us, if the watch is still ours: its history is gone, or etcd refuses it, which a later try may find changed. */
  #cancelled(response: WatchResponse, watch: Watch | undefined): void {
    const stream = this.#stream;
    const compactRevision = Number(response.compact_revision);
    if (watch) clearTimeout(watch.timer);
    if (watch && compactRevision > 0) {
      watch.queue.end(new Compacted(compactRevision));
    } else if (watch && stream) {
      this.#log.warn({ reason: response.cancel_reason, prefix: watch.prefix }, 'etcd cancelled a watch');
      watch.timer = setTimeout(() => this.#create(watch, watch.seen, stream), RECREATE_MS);
    } else if (stream && response.cancel_reason !== '') {
      this.#broke(stream, new Error(`etcd cancelled a watch that it does not name: ${response.cancel_reason}`));
    }
  }

  #deliver(watch: Watch, response: WatchResponse): void {
    for (const event of response.events) {
      // What was seen comes again at every start, and from some etcd versions also between.
      if (Number(event.kv.mod_revision) > watch.seen) watch.partial.push(toEvent(event, this.#prefix));
    }
    if (response.fragment) return;
    const events = watch.partial;
    watch.partial = [];
    const last = events.at(-1);
    // Without events it is a progress notification, which speaks of the revision in its header.
    const revision = last ? revisionOf(last) : Number(response.header.revision);
    if (!last && (response.events.length > 0 || revision <= watch.seen)) return;
    watch.seen = revision;
    watch.queue.push({ revision, events });
  }
}

function toEvent(event: WatchResponse['events'][number], prefix: string): WatchEvent {
  const entry = toEntry(event.kv, prefix);
  return event.type === 'Put'
    ? { kind: 'put', entry }
    : { kind: 'delete', key: entry.key, modRevision: entry.modRevision };
}

function revisionOf(event: WatchEvent): Revision {
  return event.kind === 'put' ? event.entry.modRevision : event.modRevision;
}
