/**
 * The store over etcd. The only file that imports the etcd3 package, and of that only the connection and the raw calls: its
 * watch, retry, circuit breaker, lease and election helpers lose events or repeat writes, so all of that is our own, above
 * {@link EtcdRpc}. Each endpoint has a client; calls stay with one until it fails.
 */
import { Etcd3, type IOptions } from 'etcd3';
import type { Logger } from 'pino';
import { toRpcError } from './etcd-failure.ts';
import { EtcdKv, type Listing } from './etcd-kv.ts';
import { EtcdLease } from './etcd-lease.ts';
import type {
  EtcdRpc,
  RangeRequest,
  RangeResponse,
  RpcFailure,
  TxnRequest,
  TxnResponse,
  WatchStream,
  WatchStreamListener,
} from './etcd-rpc.ts';
import { EtcdWatcher } from './etcd-watch.ts';
import { STORE_PREFIX } from './keys.ts';
import type { CommitResult, Entry, Guard, Lease, ListOptions, Revision, Store, WatchBatch, Write } from './store.ts';

/** Every unary call is answered, or given up, within this many milliseconds. */
const CALL_DEADLINE_MS = 1000;

const MEBIBYTE = 1024 * 1024;

/**
 * Pings find a connection that is dead without a word within 13 s. Only while calls are open (watches always are): etcd
 * closes connections that ping without. Reconnecting must be quick; the library's default grows to two minutes.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 64 * MEBIBYTE,
  'grpc.max_send_message_length': 4 * MEBIBYTE,
};

export interface EtcdStoreOptions {
  /** such as `http://127.0.0.1:2379`; all of one cluster, and all `https://` if one is */
  readonly endpoints: readonly string[];
  /** put before every key */
  readonly prefix?: string;
  /** PEM; a client certificate's common name is its role in etcd */
  readonly credentials?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
}

/** Opens the store; nothing is sent until it is used, so a store whose etcd is down opens too. */
export function openEtcdStore(options: EtcdStoreOptions): Store {
  return new EtcdStore(
    new EtcdConnection(options),
    options.prefix ?? STORE_PREFIX,
    options.logger ?? { info() {}, warn() {} },
  );
}

class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #kv: EtcdKv;
  readonly #watcher: EtcdWatcher;
  readonly #leases = new Set<Lease>();

  constructor(connection: EtcdConnection, prefix: string, logger: Pick<Logger, 'info' | 'warn'>) {
    this.#connection = connection;
    this.#kv = new EtcdKv(connection, prefix);
    this.#watcher = new EtcdWatcher(connection, prefix, logger);
  }

  get(key: string): Promise<{ readonly entry: Entry | undefined; readonly revision: Revision }> {
    return this.#kv.get(key);
  }

  list(prefix: string, options?: ListOptions): Promise<Listing> {
    return this.#kv.list(prefix, options);
  }

  commit(guards: readonly Guard[], writes: readonly Write[]): Promise<CommitResult> {
    return this.#kv.commit(guards, writes);
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

type CallOptions = NonNullable<Parameters<Etcd3['kv']['range']>[1]>;

/** etcd's raw calls by way of etcd3, at whichever endpoint answers. */
class EtcdConnection implements EtcdRpc {
  readonly #clients: readonly Etcd3[];
  #current = 0;

  constructor({ endpoints, credentials }: EtcdStoreOptions) {
    if (endpoints.length === 0) throw new RangeError('no etcd endpoint is given');
    this.#clients = endpoints.map((endpoint) => new Etcd3(clientOptions(endpoint, credentials)));
    this.#current = Math.floor(Math.random() * endpoints.length);
  }

  range(request: RangeRequest): Promise<RangeResponse> {
    return this.#call(['not-sent', 'unanswered', 'busy'], ({ kv }, options) => kv.range(request, options));
  }

  txn({ compare, success }: TxnRequest): Promise<TxnResponse> {
    const request = { compare: [...compare], success: [...success] };
    return this.#call(['not-sent'], ({ kv }, options) => kv.txn(request, options));
  }

  async grantLease(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    const granted = await this.#call(['not-sent'], ({ leaseClient }, options) =>
      leaseClient.leaseGrant({ TTL: Math.ceil(ttlSeconds) }, options),
    );
    return { id: granted.ID, ttlSeconds: Number(granted.TTL) };
  }

  async revokeLease(id: string): Promise<void> {
    await this.#call(['not-sent', 'unanswered'], ({ leaseClient }, options) =>
      leaseClient.leaseRevoke({ ID: id }, options),
    );
  }

  /** A stream for one question and one answer: so each answer belongs to a known question, at whichever endpoint. */
  keepAlive(id: string): Promise<number> {
    return this.#call(['not-sent'], async ({ leaseClient }, options) => {
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

  openWatch(listener: WatchStreamListener): WatchStream {
    const endpoint = this.#current;
    let open = true;
    const end = (error: Error): void => {
      if (!open) return;
      open = false;
      this.#leave(endpoint);
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

  /** Calls the current endpoint, and the next ones after a failure of one of the kinds named. */
  async #call<T>(again: readonly RpcFailure[], call: (client: Etcd3, options: CallOptions) => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    for (let tries = 1; ; tries++) {
      const endpoint = this.#current;
      try {
        return await call(this.#client(endpoint), { deadline: Date.now() + CALL_DEADLINE_MS });
      } catch (cause) {
        const error = toRpcError(cause);
        if (['not-sent', 'unanswered', 'busy'].includes(error.failure)) this.#leave(endpoint);
        const elapsedMs = performance.now() - startedAt;
        const elsewhere = tries < this.#clients.length && elapsedMs < 2 * CALL_DEADLINE_MS;
        // Another call's failure makes etcd3 close the channel under calls that wait for it; a new one is opened on demand.
        const onceMore =
          error.failure === 'not-sent' && tries <= this.#clients.length && elapsedMs < CALL_DEADLINE_MS / 2;
        if (!again.includes(error.failure) || !(elsewhere || onceMore)) throw error;
      }
    }
  }

  #client(endpoint: number): Etcd3 {
    const client = this.#clients[endpoint];
    if (!client) throw new RangeError(`no endpoint ${endpoint}`);
    return client;
  }

  /** Later calls go to the next endpoint, unless somebody has already moved on. */
  #leave(endpoint: number): void {
    if (this.#current === endpoint) this.#current = (endpoint + 1) % this.#clients.length;
  }
}

function clientOptions(endpoint: string, credentials: EtcdStoreOptions['credentials']): IOptions {
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
    grpcOptions: CHANNEL_OPTIONS,
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

type Interceptor = NonNullable<CallOptions['interceptors']>[number];

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
