/** How full etcd is and what it refuses, by its maintenance calls and metrics; and its history's end, which is compaction. */
import { Unavailable } from '../errors.ts';
import { throwUnavailable } from './etcd-kv.ts';
import { type EtcdRpc, type MemberStatus, RpcError } from './etcd-rpc.ts';
import type { MemberState, StoreKeeper, StoreState } from './keeper.ts';
import type { Revision } from './store.ts';

/** How long a member has for its metrics, milliseconds. */
const METRICS_MS = 2_000;
/** @see etcd, server/etcdserver/metrics.go */
const QUOTA = /^etcd_server_quota_backend_bytes (\S+)$/m;

export class EtcdKeeper implements StoreKeeper {
  readonly #rpc: EtcdRpc & { close(): void };
  /** a member's quota changes with its process alone */
  readonly #quotas = new Map<string, number>();

  constructor(rpc: EtcdRpc & { close(): void }) {
    this.#rpc = rpc;
  }

  async look(): Promise<StoreState> {
    const answers = await this.#rpc.status();
    if (answers.length === 0) throw new Unavailable('etcd', 'etcd is away: no member tells its state');
    const members = await Promise.all(answers.map((answer) => this.#member(answer)));
    const alarms = new Set(
      answers.flatMap(({ errors }) => errors.flatMap((text) => /alarm:(\w+)/.exec(text)?.[1] ?? [])),
    );
    const revision = Math.max(...answers.map(({ header }) => Number(header.revision)));
    return { revision, members, alarms: [...alarms].sort() };
  }

  async isCompacted(revision: Revision): Promise<boolean> {
    try {
      await this.#rpc.range({ key: Buffer.from('/'), revision });
      return false;
    } catch (error) {
      if (error instanceof RpcError && error.failure === 'compacted') return true;
      return throwUnavailable(error);
    }
  }

  async compact(revision: Revision): Promise<void> {
    await this.#rpc.compact(revision).catch(throwUnavailable);
  }

  close(): void {
    this.#rpc.close();
  }

  async #member({ endpoint, dbSize, dbSizeInUse }: MemberStatus): Promise<MemberState> {
    const quotaBytes = this.#quotas.get(endpoint) ?? (await readQuota(endpoint));
    if (quotaBytes !== undefined) this.#quotas.set(endpoint, quotaBytes);
    return { endpoint, fileBytes: Number(dbSize), usedBytes: Number(dbSizeInUse), quotaBytes };
  }
}

/** @returns undefined where the member does not say: how full it is can then be told in bytes alone */
async function readQuota(endpoint: string): Promise<number | undefined> {
  try {
    const answer = await fetch(`${endpoint}/metrics`, { signal: AbortSignal.timeout(METRICS_MS) });
    const bytes = Number(QUOTA.exec(await answer.text())?.[1]);
    return bytes > 0 ? bytes : undefined;
  } catch (error) {
    // Its metrics may be elsewhere (--listen-metrics-urls), or it has just gone: asked again at the next look.
    if (error instanceof Error) return undefined;
    throw error;
  }
}
