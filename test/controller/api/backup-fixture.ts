/** What tests of backups share: a cluster worth one, its file, and files that say something else. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { recoveries } from '../../../controller/model/kinds/history.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Guard, Store, Write } from '../../../controller/store/store.ts';
import { type Answer, dump, putBlock, putEndpoint, putNode, startApp, type TestApp, until } from './fixture.ts';

export const RESTORE = '/v1/cluster/restore';
export const ALLOW_ALL = { podSelector: {}, ingress: [{}] };

/** Counts what each commit holds, and can be cut off. */
export class CountingStore extends MemoryStore {
  readonly sizes: number[] = [];
  commitsLeft = Number.POSITIVE_INFINITY;

  override async commit(guards: readonly Guard[], writes: readonly Write[]) {
    if (this.commitsLeft-- <= 0) this.failNext('unavailable');
    this.sizes.push(guards.length + writes.length);
    return await super.commit(guards, writes);
  }
}

/** A cluster of two tenants that peer, with a policy each, and a node that holds something. @param raw what is below the application */
export async function setUp(raw = new MemoryStore()) {
  const app = await startApp({ store: raw });
  const { call, store } = app;
  for (const [name, subnet] of [
    ['blue', '10.128.4.0/22'],
    ['red', '10.128.8.0/22'],
  ] as const) {
    const tenant = { name, namespaces: [`${name}-web`], subnets: [subnet] };
    expect((await call('POST', '/v1/tenants', tenant)).status).toBe(201);
    expect((await call('PUT', policyPath(name, 'first'), ALLOW_ALL)).status).toBe(201);
  }
  expect((await call('PUT', '/v1/tenants/blue/peerings/red')).status).toBe(201);
  await putNode(store, 'node1');
  await putBlock(store, 'blue', '10.128.4.0/27');
  await putEndpoint(store);
  return { ...app, raw };
}

export const policyPath = (tenant: string, name: string) =>
  `/v1/tenants/${tenant}/namespaces/${tenant}-web/policies/${name}`;

export async function backUp({ call }: Pick<TestApp, 'call'>): Promise<string> {
  const { status, body, headers } = await call('GET', '/v1/cluster/backup');
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('application/x-ndjson');
  const { text } = body as { text?: string };
  return text ?? '';
}

/** Restores while a leader would wait for nodes; it ends the recovery. */
export async function restore(
  { call, deadlines }: Pick<TestApp, 'call' | 'deadlines'>,
  raw: Store,
  file: string,
): Promise<Answer> {
  const done = call('PUT', RESTORE, file, { 'content-type': 'application/x-ndjson' });
  await endRecovery(raw, done);
  const answer = await done;
  expect(deadlines.running).toEqual([]);
  return answer;
}

/** What the leader does once all nodes hold again what they held. Does nothing where the restore is refused. */
export async function endRecovery(raw: Store, restoring: Promise<unknown>): Promise<void> {
  let isOver = false;
  void restoring.finally(() => (isOver = true));
  await until(
    'nodes are waited for, or the restore is refused',
    async () => isOver || (await phaseOf(raw)) === 'claiming',
  );
  if (!isOver) await raw.commit([], [{ kind: 'delete', key: keys.recovery }]);
}

export async function phaseOf(raw: Store): Promise<string | undefined> {
  const { entry } = await raw.get(keys.recovery);
  return entry && recoveries.find(entry)?.phase;
}

/** Of the kinds that a restore makes what they were. */
export async function configured(store: Store): Promise<Readonly<Record<string, string>>> {
  const all = Object.entries(await dump(store));
  const kinds = /^(cluster$|tenants\/|claims\/|namespaces\/|policies\/|peerings\/)/;
  return Object.fromEntries(all.filter(([key]) => kinds.test(key)));
}

/** The file with other records, and the hash that fits them. */
export function rewritten(file: string, change: (lines: string[]) => string[]): string {
  const body = change(file.trimEnd().split('\n').slice(0, -1))
    .map((line) => `${line}\n`)
    .join('');
  return `${body}${JSON.stringify({ sha256: createHash('sha256').update(body).digest('hex') })}\n`;
}

export const record = (key: string, value: object) => JSON.stringify({ key, value: JSON.stringify(value) });
/** With a record more behind the head. */
export const with1 = (file: string, line: string) =>
  rewritten(file, ([head = '', ...rest]) => counted([head, line, ...rest], 1));
export const counted = (lines: string[], more: number) => [
  ...lines.slice(0, -1),
  (lines.at(-1) ?? '').replace(/"count":(\d+)/, (_, count) => `"count":${Number(count) + more}`),
];
