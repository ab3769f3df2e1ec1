/**
 * The part of etcd's v3 API that the store uses, as messages and one narrow interface: what etcd-store.ts implements with a
 * client library and the KV, watch and lease code builds on. Names and number-as-text fields are the protocol's own
 * (etcd, api/etcdserverpb/rpc.proto). Types and errors only.
 */

/** How much can be known when a call fails. */
export type RpcFailure =
  /** nothing reached etcd: certainly not done */
  | 'not-sent'
  /** not sent because etcd, though connected, answers nothing just now: certainly not done */
  | 'withheld'
  /** sent, or perhaps sent, and the connection is gone: may have been done */
  | 'unanswered'
  /** sent, and no answer in time though connected: may have been done, or be done yet */
  | 'slow'
  /** etcd said no: not done, and the same call will fail again until an operator acts */
  | 'refused'
  /** etcd is too busy or has no leader: not done, may work later */
  | 'busy'
  /** the backend's quota is used up; not done */
  | 'no-space'
  /** the lease named has expired; not done */
  | 'lease-gone'
  /** the revision asked for has been compacted away */
  | 'compacted'
  /** the answer is larger than we accept */
  | 'too-large';

/** A call to etcd that failed. */
export class RpcError extends Error {
  readonly failure: RpcFailure;
  constructor(failure: RpcFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

export interface Header {
  readonly revision: string;
  readonly cluster_id: string;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
}

/** Without `range_end` the range is the one key; `limit` 0 is none; `revision` 0 is the newest. */
export interface RangeRequest {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
}

export interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

/** With `range_end` the comparison must hold for every key there is in the range, so an empty one always passes. */
export interface Compare {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly target: 'Create' | 'Mod';
  readonly result: 'Equal' | 'NotEqual';
  readonly create_revision?: number;
  readonly mod_revision?: number;
}

export type RequestOp =
  | { readonly request_put: { readonly key: Buffer; readonly value: Buffer; readonly lease: string } }
  | { readonly request_delete_range: { readonly key: Buffer; readonly range_end?: Buffer } };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: Header;
  readonly succeeded: boolean;
}

export interface WatchCreateRequest {
  readonly watch_id: number;
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly start_revision: number;
  readonly progress_notify: boolean;
  readonly fragment: boolean;
}

export type WatchRequest =
  | { readonly create_request: WatchCreateRequest }
  | { readonly cancel_request: { readonly watch_id: number } };

export interface WatchResponse {
  readonly header: Header;
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  /** more of the same revisions follows in the next response of this watch */
  readonly fragment: boolean;
  readonly events: readonly { readonly type: 'Put' | 'Delete'; readonly kv: KeyValue }[];
}

/** What one member says of its database; sizes in bytes. */
export interface MemberStatus {
  readonly endpoint: string;
  readonly header: Header;
  readonly dbSize: string;
  readonly dbSizeInUse: string;
  /** such as `memberID:1 alarm:NOSPACE` */
  readonly errors: readonly string[];
}

/** One Watch call; it carries any number of watches. */
export interface WatchStream {
  /** May be called at once; it waits for the connection. */
  send(request: WatchRequest): void;
  /** Hangs up; nothing is reported afterwards. */
  close(): void;
}

export interface WatchStreamListener {
  response(response: WatchResponse): void;
  /** Called once, however the stream ended, never from within another call. */
  ended(error: Error): void;
}

/**
 * Calls reject with {@link RpcError}, at the latest when their time is over: the store's own for all of them, or `timeoutMs` where
 * that is shorter. All but `txn` are asked again at another endpoint when one does not answer: repeating them does no harm.
 */
export interface EtcdRpc {
  range(request: RangeRequest, timeoutMs?: number): Promise<RangeResponse>;
  /** Asks again at another endpoint only when nothing was sent to the first. */
  txn(request: TxnRequest, timeoutMs?: number): Promise<TxnResponse>;
  /** One that was granted without our hearing of it expires by itself. */
  grantLease(ttlSeconds: number, timeoutMs?: number): Promise<{ readonly id: string; readonly ttlSeconds: number }>;
  revokeLease(id: string, timeoutMs?: number): Promise<void>;
  /** One keepalive; the lease's new time to live, 0 or less when it has expired. */
  keepAlive(id: string, timeoutMs: number): Promise<number>;
  /** Of every endpoint that answers. */
  status(timeoutMs?: number): Promise<readonly MemberStatus[]>;
  /** Repeating it does no harm: what is compacted already is no error. */
  compact(revision: number): Promise<void>;
  openWatch(listener: WatchStreamListener): WatchStream;
}
