/**
 * A lease in etcd and the loop that keeps it alive. It counts from the moment a keepalive was sent, not answered, so that it
 * is given up here before etcd can give it to somebody else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { throwUnavailable } from './etcd-kv.ts';
import { type EtcdRpc, RpcError } from './etcd-rpc.ts';
import type { Lease } from './store.ts';

/** A lease is trusted for this part of its time to live after the last answered keepalive was sent. */
const TRUSTED_PART = 0.8;

/** Keepalives are this part of the time to live apart: three may fail before trust ends. */
const KEEPALIVE_PART = 0.2;

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

  /** @throws Unavailable when etcd does not grant it; one it granted without our hearing expires by itself */
  static async grant(rpc: EtcdRpc, ttlSeconds: number): Promise<EtcdLease> {
    const sentAt = performance.now();
    const granted = await rpc.grantLease(ttlSeconds).catch(throwUnavailable);
    return new EtcdLease(rpc, granted, sentAt);
  }

  private constructor(rpc: EtcdRpc, granted: { id: string; ttlSeconds: number }, sentAt: number) {
    this.#rpc = rpc;
    this.id = granted.id;
    this.ttlSeconds = granted.ttlSeconds;
    this.lost = new Promise((resolve) => {
      this.#ended.signal.addEventListener('abort', () => resolve());
    });
    this.#trustFrom(sentAt);
    void this.#keepAlive();
  }

  async close(): Promise<void> {
    this.#end();
    await this.#rpc.revokeLease(this.id).catch(() => undefined); // then it expires
  }

  async #keepAlive(): Promise<void> {
    const signal = this.#ended.signal;
    let pauseMs = this.ttlSeconds * 1000 * KEEPALIVE_PART;
    for (;;) {
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = (await this.#renew()) ? this.ttlSeconds * 1000 * KEEPALIVE_PART : RETRY_MS;
    }
  }

  async #renew(): Promise<boolean> {
    const sentAt = performance.now();
    try {
      const ttlSeconds = await this.#rpc.keepAlive(this.id);
      if (this.#ended.signal.aborted) return false;
      if (ttlSeconds > 0) this.#trustFrom(sentAt);
      else this.#end();
      return ttlSeconds > 0;
    } catch (error) {
      if (error instanceof RpcError && error.failure === 'lease-gone') this.#end();
      return false;
    }
  }

  #trustFrom(sentAt: number): void {
    clearTimeout(this.#expiry);
    const untilMs = sentAt + this.ttlSeconds * 1000 * TRUSTED_PART - performance.now();
    if (untilMs <= 0) this.#end();
    else this.#expiry = setTimeout(() => this.#end(), untilMs);
  }

  #end(): void {
    clearTimeout(this.#expiry);
    this.#ended.abort();
  }
}
