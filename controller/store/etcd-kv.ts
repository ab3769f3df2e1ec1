/**
 * Reads and guarded writes over etcd's KV service: guards become comparisons, failures become the store's errors. It never
 * repeats a write, and calls one failed only when etcd cannot have carried it out.
 */
import { Unavailable } from '../errors.ts';
import { checkCommit } from './commit-rules.ts';
import {
  type Compare,
  type EtcdRpc,
  type KeyValue,
  type RangeResponse,
  type RequestOp,
  RpcError,
  type RpcFailure,
} from './etcd-rpc.ts';
import {
  type CallOptions,
  type CommitResult,
  Compacted,
  type Entry,
  type Found,
  type GetOptions,
  type Guard,
  IndeterminateCommit,
  type Listing,
  type ListOptions,
  type Revision,
  rangeEnd,
  StoreRefusal,
  type Write,
} from './store.ts';

/** Keys of one internal page of a list. */
const PAGE_KEYS = 5000;

/** Times a list starts over because its revision was compacted while it was being read. */
const LIST_TRIES = 3;

/** What waiting does not mend. */
const REFUSALS: readonly RpcFailure[] = ['refused', 'no-space', 'too-large'];

/** A page that is to be read next: the keys in [from, to). */
interface Page {
  readonly from: string;
  readonly to: string;
  readonly limit: number;
  /** 0: the newest */
  readonly revision: Revision;
}

/** The store's `get`, `list` and `commit`. */
export class EtcdKv {
  readonly #rpc: EtcdRpc;
  readonly #prefix: string;
  /** `prefix` is put before every key on the way out, and taken off on the way in */
  constructor(rpc: EtcdRpc, prefix: string) {
    this.#rpc = rpc;
    this.#prefix = prefix;
  }

  async get(key: string, { timeoutMs, at = 0 }: GetOptions = {}): Promise<Found> {
    const { kvs, header } = await this.#rpc
      .range({ key: this.#encode(key), revision: at }, timeoutMs)
      .catch((error: unknown) => {
        if (error instanceof RpcError && error.failure === 'compacted') throw new Compacted(at);
        return throwUnavailable(error);
      });
    const entry = kvs[0] && toEntry(kvs[0], this.#prefix);
    return { entry, revision: Number(header.revision), cluster: header.cluster_id };
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#listOnce(prefix, options);
      } catch (error) {
        const compacted = error instanceof RpcError && error.failure === 'compacted';
        if (compacted && options.at !== undefined) throw new Compacted(options.at);
        if (!compacted || tries === LIST_TRIES) return throwUnavailable(error);
      }
    }
  }

  async commit(
    guards: readonly Guard[],
    writes: readonly Write[],
    { timeoutMs }: CallOptions = {},
  ): Promise<CommitResult> {
    checkCommit(guards, writes);
    const compare = guards.map((guard) => this.#compareFor(guard));
    const success = writes.map((write) => this.#requestFor(write));
    const answer = await this.#rpc.txn({ compare, success }, timeoutMs).catch(throwCommitError);
    return { committed: answer.succeeded, revision: Number(answer.header.revision) };
  }

  /** Reads by pages so that neither an answer nor the time to make it grows without bound; all at `at`, or the first one's revision. */
  async #listOnce(prefix: string, { limit = 0, after = '', at = 0 }: ListOptions): Promise<Listing> {
    const wanted = limit || Number.POSITIVE_INFINITY;
    const to = rangeEnd(this.#prefix + prefix);
    // The smallest key after `after` is `after` and a zero byte.
    let from = this.#prefix + (after < prefix ? prefix : `${after}\0`);
    let revision = 0;
    let pageKeys = PAGE_KEYS;
    const entries: Entry[] = [];
    for (;;) {
      const answer = await this.#readPage({
        from,
        to,
        limit: Math.min(pageKeys, wanted - entries.length),
        revision: at || revision,
      });
      if (answer === 'too-large') {
        pageKeys = Math.ceil(pageKeys / 4);
        continue;
      }
      for (const found of answer.kvs) entries.push(toEntry(found, this.#prefix));
      revision ||= Number(answer.header.revision);
      const last = answer.kvs.at(-1);
      if (!answer.more || !last || entries.length >= wanted) return { entries, revision, more: answer.more };
      from = `${last.key}\0`;
    }
  }

  /** @throws RpcError */
  async #readPage({ from, to, limit, revision }: Page): Promise<RangeResponse | 'too-large'> {
    try {
      return await this.#rpc.range({ key: Buffer.from(from), range_end: Buffer.from(to), limit, revision });
    } catch (error) {
      if (error instanceof RpcError && error.failure === 'too-large' && limit > 1) return 'too-large';
      throw error;
    }
  }

  #compareFor(guard: Guard): Compare {
    switch (guard.kind) {
      case 'absent':
        return { key: this.#encode(guard.key), target: 'Create', result: 'Equal', create_revision: 0 };
      case 'present':
        return { key: this.#encode(guard.key), target: 'Create', result: 'NotEqual', create_revision: 0 };
      case 'unchanged':
        return { key: this.#encode(guard.key), target: 'Mod', result: 'Equal', mod_revision: guard.modRevision };
      case 'sameIncarnation': {
        const create_revision = guard.createRevision;
        return { key: this.#encode(guard.key), target: 'Create', result: 'Equal', create_revision };
      }
      case 'emptyRange': {
        const range_end = this.#encode(guard.to);
        return { key: this.#encode(guard.from), range_end, target: 'Create', result: 'Equal', create_revision: 0 };
      }
    }
  }

  #requestFor(write: Write): RequestOp {
    switch (write.kind) {
      case 'put': {
        const lease = write.lease?.id ?? '0';
        return { request_put: { key: this.#encode(write.key), value: Buffer.from(write.value), lease } };
      }
      case 'delete':
        return { request_delete_range: { key: this.#encode(write.key) } };
      case 'deleteRange':
        return { request_delete_range: { key: this.#encode(write.from), range_end: this.#encode(write.to) } };
    }
  }

  #encode(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }
}

/** @param prefix the store's, taken off the key */
export function toEntry(found: KeyValue, prefix: string): Entry {
  return {
    key: found.key.toString().slice(prefix.length),
    value: found.value.toString(),
    createRevision: Number(found.create_revision),
    modRevision: Number(found.mod_revision),
  };
}

/** For calls that change nothing, or whose repetition does no harm: no answer is no answer. */
export function throwUnavailable(error: unknown): never {
  if (!(error instanceof RpcError)) throw error;
  const Kind = REFUSALS.includes(error.failure) ? StoreRefusal : Unavailable;
  throw new Kind('etcd', explain(error), { cause: error });
}

function throwCommitError(error: unknown): never {
  if (error instanceof RpcError && (error.failure === 'unanswered' || error.failure === 'slow'))
    throw new IndeterminateCommit(explain(error), { cause: error });
  return throwUnavailable(error);
}

/** Slow is an etcd that is connected and does not answer in time, away one to which there is no connection. */
function explain(error: RpcError): string {
  switch (error.failure) {
    case 'not-sent':
    case 'unanswered':
      return `etcd is away: ${error.message}`;
    case 'slow':
    case 'withheld':
      return `etcd is slow: ${error.message}`;
    case 'no-space':
      return `etcd's database space is used up: compact its history, defragment every member, then disarm the alarm (${error.message})`;
    case 'lease-gone':
      return `the lease has expired: ${error.message}`;
    default:
      return `etcd: ${error.message}`;
  }
}
