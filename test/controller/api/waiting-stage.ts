/** A cluster of three nodes whose agents' words are put in by hand: what tests of wait=enforced stand on. */
import { expect } from 'vitest';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Enforced, EnforcedRevisions, NodeRole } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Store } from '../../../controller/store/store.ts';
import { type Answer, putBlock, putNode, startApp, type TestApp, until } from './fixture.ts';

export const AT = '2026-11-24T11:00:00.000Z';
export const WAIT = 'wait=enforced&timeout=20s';
/** Over once nothing more happens by itself: see Deadlines. */
export const BRIEFLY = 'wait=enforced&timeout=30ms';

interface Status {
  readonly revision: number;
  readonly enforced: boolean;
  readonly nodes: { readonly node: string; readonly enforcedAt?: string; readonly latencyMs?: number }[];
  readonly lagging?: string[];
}

export const statusOf = ({ body }: Answer) => body.status as Status;

/** Blue has a block on node1, red one on node2; node3 has nothing. */
export async function start() {
  const memory = new MemoryStore();
  const app = await startApp({ store: memory });
  for (const name of ['blue', 'red']) expect((await app.call('POST', '/v1/tenants', { name })).status).toBe(201);
  for (const node of ['node1', 'node2', 'node3']) await putNode(memory, node);
  await putBlock(memory, 'blue', '10.128.8.0/27', 'node1');
  await putBlock(memory, 'red', '10.129.8.0/27', 'node2');
  return { ...app, memory };
}

export const upTo = (revision: number): EnforcedRevisions => ({
  tenant: revision,
  namespaces: revision,
  peerings: revision,
});

/** What an agent says it enforces, of each tenant. */
export async function say(store: Store, node: string, said: Partial<Enforced> = {}): Promise<void> {
  const record: Enforced = { at: AT, history: BIRTH, tenants: {}, ...said };
  await store.commit([], [{ kind: 'put', key: keys.enforced(node), value: formatRecord(record) }]);
}

export async function revisionNow(store: Store): Promise<number> {
  return (await store.get(keys.cluster)).revision;
}

/** Resolves when the write is in the store; the answer to it may take its time. */
export async function written(store: Store, key: string, before: number): Promise<number> {
  let revision = 0;
  await until(`${key} is written`, async () => {
    const { entry } = await store.get(key);
    revision = entry?.modRevision ?? 0;
    return revision > before;
  });
  return revision;
}

/** Has the answer come yet? */
export function track(answer: Promise<Answer>): { answer: Promise<Answer>; readonly isThere: () => boolean } {
  let isThere = false;
  void answer.then(() => {
    isThere = true;
  });
  return { answer, isThere: () => isThere };
}

export async function addOverseer(store: Store, name: string, role: NodeRole): Promise<void> {
  await putNode(store, name);
  const { entry } = await store.get(keys.node(name));
  const record = { ...JSON.parse(entry?.value ?? '{}'), roles: [role] };
  await store.commit([], [{ kind: 'put', key: keys.node(name), value: JSON.stringify(record) }]);
}

export async function patch({ call }: TestApp, query: string, tenant = 'blue'): Promise<Answer> {
  return await call('PATCH', `/v1/tenants/${tenant}?${query}`, { labels: { plan: 'gold' } });
}
