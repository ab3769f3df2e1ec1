/** What is told to the store of what the kernel holds: never more than that, once all of a tenant is known, in few writes. */
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { Acknowledger } from '../../../../cni-plugin/agent/reports/acknowledger.ts';
import { enforcedBy } from '../../../../controller/model/kinds/enforced.ts';
import { BIRTH } from '../../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import type { Enforced } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import { waitFor } from '../../../lab/probe/deadline.ts';
import { node, problemBook } from '../builders.ts';

let store: MemoryStore;
let acknowledger: Acknowledger;
let writes: number;

beforeEach(async () => {
  store = new MemoryStore();
  writes = 0;
  await register();
  const commit = store.commit.bind(store);
  store.commit = (guards, effects) => {
    writes++;
    return commit(guards, effects);
  };
  acknowledger = new Acknowledger({
    store,
    node: 'node1',
    history: () => BIRTH,
    book: problemBook(),
    log: pino({ level: 'silent' }),
    retryMs: 5,
  });
});
afterEach(async () => {
  await acknowledger.close();
  await store.close();
});

const register = () =>
  store.commit([], [{ kind: 'put', key: keys.node('node1'), value: formatRecord(node(1)) }]).then(() => undefined);

async function told(): Promise<Enforced | undefined> {
  const { entry } = await store.get(keys.enforced('node1'));
  return entry && enforcedBy.get(entry);
}

const untilTold = (what: string, holds: (enforced: Enforced) => boolean) =>
  waitFor(
    async () => {
      const enforced = await told();
      return enforced !== undefined && holds(enforced);
    },
    { what, everyMs: 2 },
  );

function seenAll(tenant: string, revision: number): void {
  for (const prefix of [keys.tenant(tenant), keys.namespaces(tenant), keys.peerings(tenant)])
    acknowledger.seen(prefix, revision);
}

it('says nothing before the node is registered, and then everything', async () => {
  seenAll('red', 7);
  acknowledger.applied();
  expect(writes).toBe(0);
  acknowledger.registered();
  await untilTold('red', ({ tenants }) => tenants.red?.tenant === 7);
});

it('tells only what a pass has applied, each kind by itself', async () => {
  acknowledger.registered();
  seenAll('red', 7);
  acknowledger.applied();
  acknowledger.seen(keys.peerings('red'), 9);
  await untilTold('red', ({ tenants }) => tenants.red?.tenant === 7);
  expect((await told())?.tenants).toEqual({ red: { tenant: 7, namespaces: 7, peerings: 7 } });
  acknowledger.applied();
  await untilTold('the peering', ({ tenants }) => tenants.red?.peerings === 9);
  expect((await told())?.tenants).toEqual({ red: { tenant: 7, namespaces: 7, peerings: 9 } });
});

it('leaves out a tenant that is not known whole yet, and one that is followed no more', async () => {
  acknowledger.registered();
  seenAll('red', 7);
  acknowledger.seen(keys.tenant('blue'), 8);
  acknowledger.applied();
  await untilTold('red', ({ tenants }) => tenants.red !== undefined);
  expect(Object.keys((await told())?.tenants ?? {})).toEqual(['red']);
  for (const prefix of [keys.tenant('red'), keys.namespaces('red'), keys.peerings('red')])
    acknowledger.seen(prefix, undefined);
  acknowledger.applied();
  await untilTold('none', ({ tenants }) => Object.keys(tenants).length === 0);
});

it('of a tenant whatever it is called', async () => {
  await register();
  acknowledger.registered();
  seenAll('constructor', 7);
  acknowledger.applied();
  await untilTold('it', ({ tenants }) => Object.hasOwn(tenants, 'constructor'));
  expect(Object.keys(Object)).toEqual([]);
});

it('speaks of all tenants where all are followed', async () => {
  acknowledger.registered();
  acknowledger.seen(keys.tenants, 5);
  acknowledger.seen(keys.allNamespaces, 6);
  acknowledger.seen(keys.allPeerings, 7);
  acknowledger.seen(keys.allBlocks, 99);
  acknowledger.applied();
  await untilTold('all', ({ all }) => all !== undefined);
  expect((await told())?.all).toEqual({ tenant: 5, namespaces: 6, peerings: 7 });
});

it('makes few writes of many passes, and the last one counts', async () => {
  acknowledger.registered();
  for (let revision = 10; revision < 510; revision++) {
    seenAll('red', revision);
    acknowledger.applied();
    if (revision % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await untilTold('the last', ({ tenants }) => tenants.red?.tenant === 509);
  expect(writes).toBeLessThan(20);
});

it('pauses longer the longer changes keep coming, and tells a lone one at once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  acknowledger.registered();
  const at: number[] = [];
  for (let ms = 0; ms < 120; ms++) {
    const before = writes;
    seenAll('red', 10 + ms);
    acknowledger.applied();
    await vi.advanceTimersByTimeAsync(1);
    if (writes > before) at.push(ms);
  }
  expect(at.slice(1, 6).map((ms, index) => ms - (at[index] ?? 0))).toEqual([8, 16, 20, 20, 20]);
  // A caller that writes again as soon as the last is told finds the pauses short again.
  const waits: number[] = [];
  for (let revision = 1000; revision < 1010; revision++) {
    const before = writes;
    seenAll('red', revision);
    acknowledger.applied();
    let ms = 0;
    for (; writes === before; ms++) await vi.advanceTimersByTimeAsync(1);
    waits.push(ms);
  }
  expect(waits.slice(-3)).toEqual([4, 4, 4]);
  await vi.advanceTimersByTimeAsync(20);
  const before = writes;
  seenAll('red', 2000);
  acknowledger.applied();
  expect(writes).toBe(before + 1);
});

it('tries again when the store was away', async () => {
  store.failNext('unavailable', 'commit');
  acknowledger.registered();
  seenAll('red', 7);
  acknowledger.applied();
  await untilTold('red', ({ tenants }) => tenants.red?.tenant === 7);
});

it('says nothing for a node that was forgotten until it is registered again', async () => {
  acknowledger.registered();
  seenAll('red', 7);
  acknowledger.applied();
  await untilTold('red', ({ tenants }) => tenants.red?.tenant === 7);
  for (const key of [keys.node('node1'), keys.enforced('node1')]) await store.commit([], [{ kind: 'delete', key }]);
  seenAll('red', 20);
  acknowledger.applied();
  await acknowledger.close();
  expect(await told()).toBeUndefined();
});
