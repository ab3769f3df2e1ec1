/**
 * A lease in etcd and the loop that keeps it alive. It counts from the moment a keepalive was sent, not answered, so that it
 * is given up here before etcd can give it to another client.
 */
import { throwUnavailable } from './etcd-kv.ts';
import { type EtcdRpc, RpcError } from './etcd-rpc.ts';
import type { Lease } from './store.ts';

/** A lease is trusted for this part of its time to live after the last answered keepalive was sent. */
const TRUSTED_PART = 0.8;

/** Keepalives are this part of the time to live apart: three may fail before trust ends. */
const KEEPALIVE_PART = 0.2;

/** How long closing a lease waits for etcd, milliseconds. */
const REVOKE_MS = 1000;

/** Pause after a keepalive that failed, milliseconds. */
const RETRY_MS = 100;

/** A {@link Lease} held in etcd. */
export class EtcdLease implements Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly lost: Promise<void>;
  readonly #rpc: EtcdRpc;
  readonly #ended = new AbortController();
  #expiry: NodeJS.Timeout | undefined;
  #sentMs = Number.NEGATIVE_INFINITY;

  /** @throws Unavailable when etcd does not grant it; one it granted without our hearing expires by itself */
  static async grant(rpc: EtcdRpc, ttlSeconds: number): Promise<EtcdLease> {
    const sentMs = performance.now();
    // Later it would not be trusted any more.
    const granted = await rpc.grantLease(ttlSeconds, ttlSeconds * 1000 * TRUSTED_PART).catch(throwUnavailable);
    return new EtcdLease(rpc, granted, sentMs);
  }

  private constructor(rpc: EtcdRpc, granted: { id: string; ttlSeconds: number }, sentMs: number) {
    this.#rpc = rpc;
    this.id = granted.id;
    this.ttlSeconds = granted.ttlSeconds;
    this.lost = new Promise((resolve) => {
      this.#ended.signal.addEventListener('abort', () => resolve());
    });
    this.#trustFrom(sentMs);
    void this.#keepAlive();
  }

  async close(): Promise<void> {
    this.#end();
    await this.#rpc.revokeLease(this.id, REVOKE_MS).catch(() => undefined); // then it expires
  }

  /** A keepalive without an answer holds up none: the next one is sent in its turn, maybe to another endpoint, and either may count. */
  async #keepAlive(): Promise<void> {
    const signal = this.#ended.signal;
    const apartMs = this.ttlSeconds * 1000 * KEEPALIVE_PART;
    for (let pauseMs = apartMs; ; ) {
      if (pauseMs > 0) await pause(pauseMs, signal);
      if (signal.aborted) return;
      const waiting = new AbortController();
      const silence = pause(apartMs, AbortSignal.any([signal, waiting.signal]));
      const isRenewed = await Promise.race([this.#renew(), silence]);
      waiting.abort();
      pauseMs = isRenewed === undefined ? 0 : isRenewed ? apartMs : RETRY_MS;
    }
  }

  async #renew(): Promise<boolean> {
    const sentMs = performance.now();
    try {
      const ttlSeconds = await this.#rpc.keepAlive(this.id, this.#trustedUntilMs() - sentMs);
      if (this.#ended.signal.aborted) return false;
      if (ttlSeconds > 0) this.#trustFrom(sentMs);
      else this.#end();
      return ttlSeconds > 0;
    } catch (error) {
      if (error instanceof RpcError && error.failure === 'lease-gone') this.#end();
      return false;
    }
  }

  #trustFrom(sentMs: number): void {
    if (sentMs < this.#sentMs) return;
    this.#sentMs = sentMs;
    clearTimeout(this.#expiry);
    const leftMs = this.#trustedUntilMs() - performance.now();
    if (leftMs <= 0) this.#end();
    else this.#expiry = setTimeout(() => this.#end(), leftMs);
  }

  #trustedUntilMs(): number {
    return this.#sentMs + this.ttlSeconds * 1000 * TRUSTED_PART;
  }

  #end(): void {
    clearTimeout(this.#expiry);
    this.#ended.abort();
  }
}

/** Ends early when `signal` aborts. By the global timer, which tests turn by hand. */
function pause(ms: number, signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve(undefined);
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
