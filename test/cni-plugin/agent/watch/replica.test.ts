/** What writes the snapshot: watches, and reads of single records, of which the newer counts. */
import { expect, test } from 'vitest';
import { SnapshotReplica } from '../../../../cni-plugin/agent/watch/replica.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import { tenant } from '../builders.ts';

const KEY = keys.tenant('blue');

async function write(store: MemoryStore, round: string): Promise<void> {
  const value = formatRecord(tenant('blue', 42, { labels: { round } }));
  await store.commit([], [{ kind: 'put', key: KEY, value }]);
}

function roundOf(snapshot: Snapshot): string | undefined {
  return snapshot.tenant('blue')?.labels.round;
}

test.each([KEY, keys.tenants])(
  'a read that was overtaken by a watch of %s does not bring back what is over',
  async (prefix) => {
    const store = new MemoryStore();
    const snapshot = new Snapshot();
    const replica = new SnapshotReplica(snapshot);
    await write(store, 'first');
    const listed = await store.list(prefix);
    replica.replace(prefix, listed.entries, listed.revision, false);
    const read = await store.get(KEY);
    await write(store, 'second');
    const { entry, revision } = await store.get(KEY);
    if (entry === undefined) throw new Error('it is there');
    replica.apply(prefix, { revision, events: [{ kind: 'put', entry }] }, false);
    await replica.lookAtTenant({ get: async () => read }, 'blue');
    expect(roundOf(snapshot)).toBe('second');
    await write(store, 'third');
    await replica.lookAtTenant(store, 'blue');
    expect(roundOf(snapshot)).toBe('third');
  },
);

test('in another history of the store what is read counts, whatever revision was heard before', async () => {
  const store = new MemoryStore();
  const snapshot = new Snapshot();
  const replica = new SnapshotReplica(snapshot);
  const older = store.copy();
  for (const round of ['first', 'second', 'third']) await write(store, round);
  const { entries, revision } = await store.list(KEY);
  replica.replace(KEY, entries, revision, false);
  store.rollBack(older);
  await write(store, 'another');
  await replica.lookAtTenant(store, 'blue');
  expect(roundOf(snapshot)).toBe('third');
  replica.void();
  await replica.lookAtTenant(store, 'blue');
  expect(roundOf(snapshot)).toBe('another');
});

test('a tenant that no watch is about is as the store has it, also gone', async () => {
  const store = new MemoryStore();
  const snapshot = new Snapshot();
  const replica = new SnapshotReplica(snapshot);
  await write(store, 'first');
  await replica.lookAtTenant(store, 'blue');
  expect(roundOf(snapshot)).toBe('first');
  await store.commit([], [{ kind: 'delete', key: KEY }]);
  await replica.lookAtTenant(store, 'blue');
  expect(roundOf(snapshot)).toBeUndefined();
});
