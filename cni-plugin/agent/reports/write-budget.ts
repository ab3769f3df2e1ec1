/**
 * How much this node may write of what it sees of tenants' packets: a share of what the whole cluster may. Containers cause what is
 * seen, etcd keeps every value until it compacts, so neither how much is refused nor how many nodes refuse it may say how much is
 * written. Pure.
 */

/** Of all nodes together, in bytes a second: 15 MiB between two compactions that are 15 minutes apart. */
const CLUSTER_BYTES_PER_SECOND = 16 * 1024;
/** What a node that has been silent may write at once: a caller who begins to listen is answered without delay. */
const BURST_BYTES = 8 * 1024;

/** Bytes that come by themselves, with time; what is spent beyond what is there has to come before anything is spent again. */
export class WriteBudget {
  #left = BURST_BYTES;
  #atMs: number;

  /** @param nowMs of any clock that never goes back */
  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /**
   * @param nodes of the cluster
   * @returns how long to wait until something may be written; 0: now
   */
  waitMs(nowMs: number, nodes: number): number {
    const bytesPerMs = CLUSTER_BYTES_PER_SECOND / Math.max(1, nodes) / 1000;
    this.#left = Math.min(BURST_BYTES, this.#left + (nowMs - this.#atMs) * bytesPerMs);
    this.#atMs = nowMs;
    return this.#left > 0 ? 0 : Math.ceil(-this.#left / bytesPerMs) + 1;
  }

  spend(bytes: number): void {
    this.#left -= bytes;
  }
}
