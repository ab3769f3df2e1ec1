/** What an agent follows, and when it says that it knows a tenant: not before its policies are there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCopy } from '../../../../cni-plugin/agent/watch/cluster-copy.ts';
import { ClusterView, type ClusterViewOptions } from '../../../../cni-plugin/agent/watch/cluster-view.ts';
import { SnapshotReplica } from '../../../../cni-plugin/agent/watch/replica.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { Unavailable } from '../../../../controller/errors.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import type { Store } from '../../../../controller/store/store.ts';
import { waitFor } from '../../../lab/probe/deadline.ts';
import { type Gate, gate } from '../../gate.ts';
import { entries, problemBook, tenant } from '../builders.ts';

const log = pino({ level: 'silent' });
const POLICY = keys.policy('red', 'red', 'closed');

let dir: string;
let store: MemoryStore;
const views: ClusterView[] = [];
const held: Gate[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-view-'));
  store = new MemoryStore();
  const spec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
  const policy = {
    key: POLICY,
    value: formatRecord({ tenant: 'red', namespace: 'red', name: 'closed', spec, createdAt: '' }),
  };
  const known = entries({ tenants: [tenant('system', 1), tenant('red', 42), tenant('blue', 43)] });
  for (const { key, value } of [...known, policy]) await store.commit([], [{ kind: 'put', key, value }]);
});
afterEach(async () => {
  for (const each of held.splice(0)) each.open();
  for (const view of views.splice(0)) view.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

/** @param answers the store as this view meets it */
function open(answers: Partial<Pick<Store, 'list'>> = {}, told: Partial<ClusterViewOptions> = {}) {
  const snapshot = new Snapshot();
  const met: Store = {
    get: (key) => store.get(key),
    list: answers.list ?? ((prefix, options) => store.list(prefix, options)),
    commit: (guards, writes) => store.commit(guards, writes),
    lease: (ttlSeconds) => store.lease(ttlSeconds),
    watch: (prefix, after, signal) => store.watch(prefix, after, signal),
    close: () => Promise.resolve(),
  };
  const copy = readCopy(dir, log);
  const ignore = () => undefined;
  const options = {
    store: met,
    replica: new SnapshotReplica(snapshot, copy),
    stateDir: dir,
    copied: copy?.seen,
    remembered: () => ({}),
    log,
    book: problemBook(),
    allTenants: false,
    onChange: ignore,
    onSeen: ignore,
    ...told,
  };
  const view = new ClusterView(options);
  views.push(view);
  return { view, snapshot };
}

const away: Pick<Store, 'list'> = { list: () => Promise.reject(new Unavailable('store', 'away')) };
const known = ({ snapshot }: ReturnType<typeof open>) => [...snapshot.policiesOf('red').keys()];

test('of two who need a tenant at once, neither goes on before its policies are known', async () => {
  const hold = gate();
  held.push(hold);
  const asked = gate();
  const late = open({
    list: async (prefix, options) => {
      if (prefix === keys.policies('red')) {
        asked.open();
        await hold.opened;
      }
      return await store.list(prefix, options);
    },
  });
  await late.view.start([]);
  let done = 0;
  const need = () => late.view.need('red', 60_000).then(() => done++);
  const needs = [need()];
  await asked.opened;
  // The second comes when the tenant's own record is there already.
  while (late.snapshot.tenant('red') === undefined) await new Promise(setImmediate);
  needs.push(need());
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  expect(done).toBe(0);
  hold.open();
  await Promise.all(needs);
  expect(known(late)).toEqual([POLICY]);
  await late.view.need('red', 0);
});

test('a tenant that is known by name alone is not known', async () => {
  const first = open();
  await first.view.start(['blue']);
  await first.view.need('red');
  first.view.close();
  const path = join(dir, 'cluster.json');
  const copy = JSON.parse(readFileSync(path, 'utf8')) as { seen: string[] };
  writeFileSync(path, JSON.stringify({ ...copy, seen: copy.seen.filter((prefix) => prefix !== keys.policies('red')) }));
  // Blue's copy is whole: the node starts from it, and red has to wait for the store.
  const second = open(away);
  await second.view.start(['blue'], 0);
  expect(second.view.inSync).toBe(true);
  await expect(second.view.need('red', 0)).rejects.toThrow('is not known here yet');
});

test('without a whole copy of what it needs a node waits for the store', async () => {
  const first = open();
  await first.view.start(['red']);
  first.view.close();
  const path = join(dir, 'cluster.json');
  const copy = JSON.parse(readFileSync(path, 'utf8')) as { seen: string[] };
  const startsFrom = async (seen: readonly string[]): Promise<boolean> => {
    writeFileSync(path, JSON.stringify({ ...copy, seen }));
    let asked = 0;
    const again = open({
      list: () => {
        asked++;
        return away.list('');
      },
    });
    void again.view.start(['red'], 0);
    // It has had its reasons to give up waiting by then: the store has been asked again and again.
    await waitFor(async () => asked > 30, { what: 'the store is asked again' });
    return again.view.inSync;
  };
  expect(await startsFrom(copy.seen)).toBe(true);
  expect(await startsFrom(copy.seen.filter((prefix) => prefix !== keys.policies('red')))).toBe(false);
  expect(await startsFrom([])).toBe(false);
});

test.each([
  ['without the store', true],
  ['with it', false],
])('what was good before an update that cannot be read is in force also after a restart %s', async (_, isAway) => {
  const first = open();
  await first.view.start(['red']);
  const good = first.snapshot.tenant('red');
  await store.commit([], [{ kind: 'put', key: keys.tenant('red'), value: '{"schema":9}' }]);
  await waitFor(() => first.snapshot.unreadable.has(keys.tenant('red')), { what: 'the update has come' });
  expect(first.snapshot.tenant('red')).toEqual(good);
  first.view.close();
  const second = open(isAway ? away : {});
  await second.view.start(['red'], isAway ? 0 : 60_000);
  expect(second.snapshot.tenant('red')).toEqual(good);
  expect(second.snapshot.unreadable.has(keys.tenant('red'))).toBe(!isAway);
  // One that was made anew meanwhile is another.
  second.view.close();
  for (const kind of ['delete', 'put'] as const)
    await store.commit([], [{ kind, key: keys.tenant('red'), value: '{"schema":9}' }]);
  const third = open();
  await third.view.start(['red']);
  expect(third.snapshot.tenant('red')).toBeUndefined();
});

test('what comes of a peering is not called seen once the store is in another history', async () => {
  let history = 'h1';
  const hold = gate();
  held.push(hold);
  const asked = gate();
  const seen: string[] = [];
  const { view } = open(
    {
      list: async (prefix, options) => {
        if (prefix === keys.blocks('blue')) {
          asked.open();
          await hold.opened;
        }
        return await store.list(prefix, options);
      },
    },
    {
      remembered: () => ({ history }),
      onSeen: (prefix, revision) => seen.push(`${prefix} at ${revision} in ${history}`),
    },
  );
  await view.start(['red']);
  const key = keys.peering('red', 'blue');
  const value = formatRecord({ tenant: 'red', peer: 'blue', createdAt: '2026-01-01T00:00:00Z' });
  const { revision } = await store.commit([], [{ kind: 'put', key, value }]);
  await asked.opened;
  history = 'h2';
  hold.open();
  await waitFor(async () => seen.some((each) => each.startsWith(keys.blocks('blue'))), { what: 'blue is followed' });
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  expect(seen).not.toContain(`${keys.peerings('red')} at ${revision} in h2`);
});
