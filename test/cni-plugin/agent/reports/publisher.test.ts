/** What the store is told of endpoints, and what it refuses to be told. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Journal } from '../../../../cni-plugin/agent/endpoints/journal.ts';
import { Publisher } from '../../../../cni-plugin/agent/reports/publisher.ts';
import { Conflict } from '../../../../controller/errors.ts';
import { endpoints } from '../../../../controller/model/kinds/endpoint.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import type { Tenant } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import type { Store } from '../../../../controller/store/store.ts';
import { endpoint, problemBook, tenant } from '../builders.ts';

const red = tenant('red', 42, { namespaces: ['red', 'web'] });
const pod = endpoint('aaaaaaaaaaaa', red, '10.170.0.1', { namespace: 'web' });

let dir: string;
let store: MemoryStore;
let journal: Journal;
let publisher: Publisher;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-publisher-'));
  store = new MemoryStore();
  journal = Journal.open(dir, 'node1');
  publisher = new Publisher({ store, journal, book: problemBook(), log: pino({ level: 'silent' }), retryMs: 5 });
});
afterEach(async () => {
  await publisher.close();
  await journal.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

async function setTenant(changed: Tenant): Promise<void> {
  await store.commit([], [{ kind: 'put', key: keys.tenant(changed.name), value: formatRecord(changed) }]);
}

/** The store, but for how it answers a get. */
function storeWith(get: Store['get']): Store {
  return {
    get,
    list: (prefix, options) => store.list(prefix, options),
    commit: (guards, writes) => store.commit(guards, writes),
    watch: (prefix, after, until) => store.watch(prefix, after, until),
    lease: (ttlSeconds) => store.lease(ttlSeconds),
    close: async () => undefined,
  };
}

const stored = async () => (await store.list('endpoints/')).entries.map(({ key }) => key);

it('publishes under the node, once', async () => {
  await setTenant(red);
  expect(await publisher.publish(pod)).toBe(true);
  expect(await publisher.publish(pod)).toBe(true);
  expect(await stored()).toEqual(['endpoints/red/node1/aaaaaaaaaaaa']);
});

it('lets labels stand that were changed through REST, but not the record of an earlier container of the same id', async () => {
  await setTenant(red);
  const key = keys.endpoint('red', 'node1', pod.id);
  const relabelled = { ...pod, labels: { app: 'quarantined' } };
  const put = (record: object) => store.commit([], [{ kind: 'put', key, value: formatRecord(record) }]);
  const read = async () => endpoints.get({ key, value: (await store.get(key)).entry?.value ?? '' });
  await put(relabelled);
  expect(await publisher.publish(pod)).toBe(true);
  expect(await read()).toEqual(relabelled);
  await put({ ...relabelled, createdAt: '2025-01-01T00:00:00Z', ips: ['10.170.0.9'] });
  expect(await publisher.publish(pod)).toBe(true);
  expect(await read()).toEqual(pod);
  await store.commit([], [{ kind: 'put', key, value: 'damaged' }]);
  expect(await publisher.publish(pod)).toBe(true);
  expect(await read()).toEqual(pod);
});

it.each([
  ['whose tenant is gone', undefined, /gone/],
  ['whose tenant is being deleted', { ...red, phase: 'deleting' as const }, /being deleted/],
  ['whose namespace was given up', { ...red, namespaces: ['red'] }, /no namespace web/],
])('refuses an endpoint %s', async (_, changed, words) => {
  if (changed !== undefined) await setTenant(changed);
  await expect(publisher.publish(pod)).rejects.toThrow(Conflict);
  await expect(publisher.publish(pod)).rejects.toThrow(words);
  expect(await stored()).toEqual([]);
});

it('asks the store once where the tenant is as it was heard of, and believes the store where it is not', async () => {
  await setTenant(red);
  const { entry } = await store.get(keys.tenant('red'));
  const heard = { tenant: red, modRevision: entry?.modRevision ?? 0 };
  const asked: string[] = [];
  const counting = storeWith((key) => {
    asked.push(key);
    return store.get(key);
  });
  const quick = new Publisher({
    store: counting,
    journal,
    book: problemBook(),
    log: pino({ level: 'silent' }),
    known: () => heard,
  });
  expect(await quick.publish(pod)).toBe(true);
  expect(asked).toEqual([]);
  await setTenant({ ...red, labels: { a: 'b' } });
  expect(await quick.publish({ ...pod, id: 'bbbbbbbbbbbb' })).toBe(true);
  expect(asked).toContain(keys.tenant('red'));
  await setTenant({ ...red, phase: 'deleting' });
  await expect(quick.publish({ ...pod, id: 'cccccccccccc' })).rejects.toThrow(/being deleted/);
  await quick.close();
  expect(await stored()).toHaveLength(2);
});

it('keeps a container waiting for a second a call at most, and has all the time there is later', async () => {
  await setTenant(red);
  const given: (number | undefined)[] = [];
  const timed: Store = {
    ...storeWith((key, options) => {
      given.push(options?.timeoutMs);
      return store.get(key);
    }),
    commit: (guards, writes, options) => {
      given.push(options?.timeoutMs);
      return store.commit(guards, writes);
    },
  };
  const own = new Publisher({ store: timed, journal, book: problemBook(), log: pino({ level: 'silent' }), retryMs: 5 });
  expect(await own.publish(pod)).toBe(true);
  expect(await own.publish(pod)).toBe(true); // reads what is there
  expect(new Set(given)).toEqual(new Set([1000]));
  store.failNext('unavailable', 'get');
  expect(await own.publish({ ...pod, id: 'bbbbbbbbbbbb' })).toBe(false);
  given.length = 0;
  await expect.poll(stored).toHaveLength(2);
  await own.close();
  expect(new Set(given)).toEqual(new Set([undefined]));
});

it('publishes later what the store could not be told, unless it is gone by then', async () => {
  await setTenant(red);
  store.failNext('unavailable', 'get');
  expect(await publisher.publish(pod)).toBe(false);
  store.failNext('unavailable', 'get');
  const other = { ...pod, id: 'bbbbbbbbbbbb' };
  expect(await publisher.publish(other)).toBe(false);
  await publisher.unpublish(other.id);
  await expect.poll(stored).toEqual(['endpoints/red/node1/aaaaaaaaaaaa']);
  await publisher.close();
  expect(await stored()).toEqual(['endpoints/red/node1/aaaaaaaaaaaa']);
});

it('takes out again what has gone while it was being published', async () => {
  await setTenant(red);
  const local = { endpoint: pod, netns: '/run/netns/a', network: 'tenet', phase: 'ready' } as const;
  await journal.record({ op: 'endpoint', local });
  let gone: Promise<void> | undefined;
  const racing = storeWith(async (key) => {
    const found = await store.get(key);
    // The record is not there yet, so nothing is removed; then the put comes.
    gone ??= journal.record({ op: 'gone', id: pod.id }).then(() => racer.unpublish(pod.id));
    await gone;
    return found;
  });
  const racer = new Publisher({
    store: racing,
    journal,
    book: problemBook(),
    log: pino({ level: 'silent' }),
    retryMs: 5,
  });
  racer.recover('node1');
  await expect.poll(() => gone !== undefined).toBe(true);
  await racer.close();
  expect(await stored()).toEqual([]);
});

it('leaves alone what it has published late, though asked again meanwhile', async () => {
  await setTenant(red);
  const local = { endpoint: pod, netns: '/run/netns/a', network: 'tenet', phase: 'ready' } as const;
  await journal.record({ op: 'endpoint', local });
  let askedAgain = false;
  const slow = storeWith(async (key) => {
    if (!askedAgain) {
      askedAgain = true;
      late.recover('node1');
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
    return store.get(key);
  });
  const late = new Publisher({ store: slow, journal, book: problemBook(), log: pino({ level: 'silent' }), retryMs: 5 });
  late.recover('node1');
  await expect.poll(stored).toHaveLength(1);
  await expect.poll(() => askedAgain).toBe(true);
  await late.close();
  expect(await stored()).toEqual(['endpoints/red/node1/aaaaaaaaaaaa']);
});
