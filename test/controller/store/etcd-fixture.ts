/** A real etcd for a test file, and what only its administrator can do. Missing binaries fail the test; they never skip it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedEtcd, startEmbeddedEtcd } from '../../../controller/embedded-etcd.ts';

/** For hooks that start one: it takes half a second, and much more on a busy machine. */
export const ETCD_START_MS = 60_000;

/** An etcd with an empty data directory; `remove` ends it and deletes that. */
export async function startTestEtcd(
  options: { readonly quotaBytes?: number } = {},
): Promise<EmbeddedEtcd & { remove(): Promise<void> }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tenet-etcd-'));
  const etcd = await startEmbeddedEtcd({ dataDir, clientPort: 0, unsafeNoFsync: true, ...options });
  return {
    etcdUrl: etcd.etcdUrl,
    get pid() {
      return etcd.pid;
    },
    close: () => etcd.close(),
    remove: async () => {
      await etcd.close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

/** The process id now; fails between a crash and the restart. */
export function pidOf({ pid }: EmbeddedEtcd): number {
  if (pid === undefined) throw new Error('etcd is not running');
  return pid;
}

/** Calls etcd's JSON gateway, such as `kv/compaction`. */
export async function callEtcd(etcd: EmbeddedEtcd, path: string, body: object): Promise<unknown> {
  const answer = await fetch(`${etcd.etcdUrl}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return await answer.json();
}

export async function compactEtcd(etcd: EmbeddedEtcd, revision: number): Promise<void> {
  await callEtcd(etcd, 'kv/compaction', { revision: String(revision), physical: true });
}
