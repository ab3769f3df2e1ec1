/** Blocks while the snapshot lags behind the store: what the store says decides, whatever has been heard so far. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Blocks } from '../../../../cni-plugin/agent/addresses/blocks.ts';
import { Journal } from '../../../../cni-plugin/agent/endpoints/journal.ts';
import { SnapshotReplica } from '../../../../cni-plugin/agent/watch/replica.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { Exhausted, Unavailable } from '../../../../controller/errors.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import type { Tenant } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import type { CallOptions } from '../../../../controller/store/store.ts';
import { parseIp, parsePrefix } from '../../../../dataplane/address.ts';
import { entries, tenant } from '../builders.ts';

const red = tenant('red', 42, { subnets: [parsePrefix('10.170.0.0/27')] });
const prefix = parsePrefix('10.170.0.0/27');

let dir: string;
let store: MemoryStore;
let journal: Journal;
let snapshot: Snapshot;
let blocks: Blocks;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-blocks-'));
  store = new MemoryStore();
  snapshot = new Snapshot();
  journal = Journal.open(dir, 'node1');
  blocks = new Blocks({ node: 'node1', store, journal, replica: new SnapshotReplica(snapshot), mayAdopt: () => true });
  for (const { key, value } of entries({ tenants: [red] })) await put(key, value);
  await hear();
});
afterEach(async () => {
  await journal.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

async function put(key: string, value: string): Promise<void> {
  await store.commit([], [{ kind: 'put', key, value }]);
}

/** The snapshot catches up with the store. */
async function hear(prefixes: readonly string[] = ['']): Promise<void> {
  for (const each of prefixes) for (const entry of (await store.list(each)).entries) snapshot.put(entry);
}

const deleting: Tenant = { ...red, phase: 'deleting' };

it('the store says within a second which node holds a block, for an agent that starts and ADDs wait for it', async () => {
  blocks.release(await blocks.allocate(red));
  const given: (number | undefined)[] = [];
  const get = store.get.bind(store);
  store.get = (key: string, options?: CallOptions) => {
    given.push(options?.timeoutMs);
    return get(key);
  };
  expect(snapshot.holderOf('red', prefix)).toBeUndefined();
  expect(await blocks.confirm()).toEqual([]);
  expect(given).toEqual([1000]);
});

it('a block just claimed stays this node’s to give back when the tenant’s deletion is heard of first', async () => {
  blocks.release(await blocks.allocate(red));
  await put(keys.tenant('red'), formatRecord(deleting));
  await hear([keys.tenants]);
  expect(snapshot.holderOf('red', prefix)).toBeUndefined();
  expect(await blocks.confirm()).toEqual([]);
  const owned = [...blocks.owned('red')];
  expect(owned.map((block) => block.prefix)).toEqual([prefix]);
  for (const block of owned) expect(await blocks.giveBack(block)).toBe(true);
  expect((await store.list(keys.blocks('red'))).entries).toEqual([]);
});

it('a block just given back is not taken up again because the snapshot still has it', async () => {
  blocks.release(await blocks.allocate(red));
  await hear();
  for (const block of [...blocks.owned('red')]) await blocks.giveBack(block);
  await put(keys.block('red', prefix), formatRecord({ node: 'node2' }));
  expect(snapshot.holderOf('red', prefix)).toBe('node1');
  await expect(blocks.allocate(red)).rejects.toMatchObject({ code: 'exhausted' });
  expect(journal.blocks.size).toBe(0);
});

it('of a block in doubt no address is given out until the store has said whose it is', async () => {
  const first = await blocks.allocate(red);
  await hear();
  blocks.doubt();
  // The tenant has no other block.
  await expect(blocks.allocate(red)).rejects.toThrow(Exhausted);
  await expect(blocks.allocateWanted(red, parseIp('10.170.0.9'), 'ip')).rejects.toThrow(Unavailable);
  // What was heard says nothing.
  expect(await blocks.confirm()).toEqual([]);
  await expect(blocks.allocate(red)).rejects.toThrow(Exhausted);
  expect(await blocks.confirm({ anew: true })).toEqual([]);
  expect(await blocks.allocate(red)).not.toBe(first);
});
