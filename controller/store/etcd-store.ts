/**
 * The store over etcd. The only file that imports the etcd3 package, and of that only the connection and the raw calls: its
 * watch, retry, circuit breaker, lease and election helpers lose events or repeat writes, so all of that is our own, above
 * {@link EtcdRpc}. Each endpoint has a client; which of them is asked is etcd-endpoints.ts's.
 */
import { Etcd3, type IOptions } from 'etcd3';
import type { Logger } from 'pino';
import { DEFAULT_TIMEOUT_MS, EtcdEndpoints } from './etcd-endpoints.ts';
import { toRpcError } from './etcd-failure.ts';
import { EtcdKeeper } from './etcd-keeper.ts';
import { EtcdKv } from './etcd-kv.ts';
import { EtcdLease } from './etcd-lease.ts';
import {
  type EtcdRpc,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  RpcError,
  type TxnRequest,
  type TxnResponse,
  type WatchStream,
  type WatchStreamListener,
} from './etcd-rpc.ts';
import { EtcdWatcher, type EtcdWatcherOptions } from './etcd-watch.ts';
import type { StoreKeeper } from './keeper.ts';
import { keys, STORE_PREFIX } from './keys.ts';
import type {
  CallOptions,
  CommitResult,
  ConnectedStore,
  Connection,
  Found,
  GetOptions,
  Guard,
  Lease,
  Listing,
  ListOptions,
  Revision,
  WatchBatch,
  Write,
} from './store.ts';

/** Pings and new watches are waited for this part of a call's time, milliseconds: with 5 s, 3 s; never less than that. */
const CONFIRMATION = { least: 3000, part: 0.6 } as const;

/**
 * Pings find a connection that is dead without a word within 13 s. Only while calls are open (watches always are): etcd
 * closes connections that ping without. Reconnecting must be quick; the library's default grows to two minutes.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 64 * 1024 ** 2,
  'grpc.max_send_message_length': 4 * 1024 ** 2,
};

export interface EtcdStoreOptions {
  /** such as `http://127.0.0.1:2379`; all of one cluster, and all `https://` if one is */
  readonly endpoints: readonly string[];
  /** put before every key */
  readonly prefix?: string;
  /** PEM; a client certificate's common name is its role in etcd */
  readonly credentials?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  /** a call is answered, or given up, within this many milliseconds; 5000 unless given */
  readonly timeoutMs?: number;
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
}

/** Opens the store; nothing is sent until it is used, so a store whose etcd is down opens too. */
export function openEtcdStore(options: EtcdStoreOptions): ConnectedStore {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, prefix = STORE_PREFIX, logger: log = { info() {}, warn() {} } } = options;
  const confirmationMs = Math.max(CONFIRMATION.least, timeoutMs * CONFIRMATION.part);
  const connection = new EtcdConnection(options, timeoutMs, confirmationMs);
  return new EtcdStore(connection, { prefix, log, confirmationMs });
}

/** Its calls have connections of their own. */
export function openEtcdKeeper({ endpoints, timeoutMs = DEFAULT_TIMEOUT_MS }: EtcdStoreOptions): StoreKeeper {
  return new EtcdKeeper(new EtcdConnection({ endpoints }, timeoutMs, CONFIRMATION.least));
}

class EtcdStore implements ConnectedStore {
  readonly #connection: EtcdConnection;
  readonly #kv: EtcdKv;
  readonly #watcher: EtcdWatcher;
  readonly #leases = new Set<Lease>();
  readonly #listeners: ((now: Connection) => void)[] = [];

  constructor(connection: EtcdConnection, options: Omit<EtcdWatcherOptions, 'rpc' | 'onConnection'>) {
    this.#connection = connection;
    this.#kv = new EtcdKv(connection, options.prefix);
    const onConnection = (now: Connection) => {
      for (const listener of this.#listeners) listener(now);
    };
    this.#watcher = new EtcdWatcher({ ...options, rpc: connection, onConnection });
  }

  onConnection(listener: (now: Connection) => void): void {
    this.#listeners.push(listener);
  }

  get(key: string, options?: GetOptions): Promise<Found> {
    return this.#kv.get(key, options);
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.#kv.list(prefix, options);
  }

  commit(guards: readonly Guard[], writes: readonly Write[], options?: CallOptions): Promise<CommitResult> {
    return this.#kv.commit(guards, writes, options);
  }

  watch(prefix: string, after: Revision, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return this.#watcher.watch(prefix, after, signal);
  }

  async lease(ttlSeconds: number): Promise<Lease> {
    const lease = await EtcdLease.grant(this.#connection, ttlSeconds);
    this.#leases.add(lease);
    void lease.lost.then(() => this.#leases.delete(lease));
    return lease;
  }

  async close(): Promise<void> {
    this.#watcher.close();
    await Promise.all([...this.#leases].map((lease) => lease.close()));
    this.#connection.close();
  }
}

type GrpcOptions = NonNullable<Parameters<Etcd3['kv']['range']>[1]>;
/** A call to one endpoint's client. */
type Call<T> = (client: Etcd3, options: GrpcOptions) => Promise<T>;

/** etcd's raw calls by way of etcd3, at whichever endpoint answers. */
class EtcdConnection implements EtcdRpc {
  readonly #clients: readonly Etcd3[];
  readonly #endpoints: EtcdEndpoints;
  readonly #urls: readonly string[];

  constructor({ endpoints, credentials }: EtcdStoreOptions, timeoutMs: number, pingTimeoutMs: number) {
    this.#urls = endpoints;
    this.#clients = endpoints.map((endpoint) => new Etcd3(clientOptions(endpoint, credentials, pingTimeoutMs)));
    const probe = { key: Buffer.from(STORE_PREFIX + keys.cluster), count_only: true };
    this.#endpoints = new EtcdEndpoints(
      endpoints,
      timeoutMs,
      this.#asker(({ kv }, options) => kv.range(probe, options)),
    );
  }

  range(request: RangeRequest, timeoutMs?: number): Promise<RangeResponse> {
    return this.#repeat(timeoutMs, ({ kv }, options) => kv.range(request, options));
  }

  txn({ compare, success }: TxnRequest, timeoutMs?: number): Promise<TxnResponse> {
    const request = { compare: [...compare], success: [...success] };
    const ask = this.#asker(({ kv }, options) => kv.txn(request, options));
    return this.#endpoints.ask({ ask, repeatable: false, timeoutMs });
  }

  async grantLease(
    ttlSeconds: number,
    timeoutMs?: number,
  ): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    const granted = await this.#repeat(timeoutMs, ({ leaseClient }, options) =>
      leaseClient.leaseGrant({ TTL: Math.ceil(ttlSeconds) }, options),
    );
    return { id: granted.ID, ttlSeconds: Number(granted.TTL) };
  }

  async revokeLease(id: string, timeoutMs?: number): Promise<void> {
    await this.#repeat(timeoutMs, ({ leaseClient }, options) => leaseClient.leaseRevoke({ ID: id }, options));
  }

  /** A stream for one question and one answer: so each answer belongs to a known question, at whichever endpoint. */
  keepAlive(id: string, timeoutMs: number): Promise<number> {
    return this.#repeat(timeoutMs, async ({ leaseClient }, options) => {
      const stream = await leaseClient.leaseKeepAlive(options);
      return await new Promise<number>((resolve, reject) => {
        stream.on('data', ({ TTL }) => resolve(Number(TTL)));
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('the keepalive stream ended')));
        stream.write({ ID: id });
        stream.end();
      });
    });
  }

  async status(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<readonly MemberStatus[]> {
    const asked = this.#clients.map(async ({ maintenance }, index) => {
      const status = (await maintenance.status({ deadline: Date.now() + timeoutMs })) as unknown as MemberStatus;
      return { ...status, endpoint: this.#urls[index] ?? '' };
    });
    const answers = await Promise.allSettled(asked);
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  }

  async compact(revision: number): Promise<void> {
    try {
      await this.#repeat(undefined, ({ kv }, options) => kv.compact({ revision }, options));
    } catch (error) {
      if (!(error instanceof RpcError && error.failure === 'compacted')) throw error;
    }
  }

  openWatch(listener: WatchStreamListener): WatchStream {
    const endpoint = this.#endpoints.current;
    let open = true;
    const end = (error: Error): void => {
      if (!open) return;
      open = false;
      this.#endpoints.leave(endpoint);
      listener.ended(toRpcError(error));
    };
    const opening = this.#client(endpoint).watchClient.watch();
    opening.then((stream) => {
      stream.on('data', (response) => open && listener.response(response));
      stream.on('error', end);
      stream.on('end', () => end(new Error('etcd ended the watch stream')));
    }, end);
    const use = (action: (stream: Awaited<typeof opening>) => void): void => void opening.then(action, () => undefined);
    return {
      send: (request) => use((stream) => open && stream.write(request)),
      close: () => {
        open = false;
        use((stream) => {
          stream.end(); // or etcd3 would take the cancellation for a failure, and drop the connection of all other calls
          stream.cancel();
        });
      },
    };
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  #repeat<T>(timeoutMs: number | undefined, call: Call<T>): Promise<T> {
    return this.#endpoints.ask({ ask: this.#asker(call), repeatable: true, timeoutMs });
  }

  #asker<T>(call: Call<T>): (endpoint: number, timeoutMs: number) => Promise<T> {
    return (endpoint, timeoutMs) => call(this.#client(endpoint), { deadline: Date.now() + timeoutMs });
  }

  #client(endpoint: number): Etcd3 {
    const client = this.#clients[endpoint];
    if (!client) throw new RangeError(`no endpoint ${endpoint}`);
    return client;
  }
}

function clientOptions(
  endpoint: string,
  credentials: EtcdStoreOptions['credentials'],
  pingTimeoutMs: number,
): IOptions {
  // Calls go straight through: the library's own policies repeat writes and shut out everybody after one failure. Errors are
  // turned into ours here already, for at most of its own it would drop the connection, and all watches with it.
  const passThrough = {
    execute: async (call: (context: object) => unknown) => {
      try {
        return await call({});
      } catch (error) {
        throw toRpcError(error);
      }
    },
  };
  const policy = passThrough as unknown as NonNullable<NonNullable<IOptions['faultHandling']>['global']>;
  return {
    hosts: endpoint,
    grpcOptions: { ...CHANNEL_OPTIONS, 'grpc.keepalive_timeout_ms': pingTimeoutMs },
    faultHandling: { global: policy, host: () => policy },
    defaultCallOptions: { interceptors: [requireLeader] },
    ...(credentials && {
      credentials: {
        rootCertificate: credentials.ca,
        ...(credentials.key && { privateKey: credentials.key }),
        ...(credentials.cert && { certChain: credentials.cert }),
      },
    }),
  };
}

type Interceptor = NonNullable<GrpcOptions['interceptors']>[number];

/** Makes a member that is cut off from its cluster say so, instead of keeping a watch open that hears nothing. */
const requireLeader: Interceptor = (options, nextCall) => {
  const call = nextCall(options);
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    metadata.set('hasleader', 'true');
    start(metadata, listener);
  };
  return call as ReturnType<Interceptor>;
};
