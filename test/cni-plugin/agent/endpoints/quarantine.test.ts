/** A container whose block became another node's: cut off, told of, neither undone nor attached again by a restart, cleared by DEL. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Agent } from '../../../../cni-plugin/agent/agent.ts';
import { Journal } from '../../../../cni-plugin/agent/endpoints/journal.ts';
import { endpointId } from '../../../../cni-plugin/agent/socket/request.ts';
import type { AgentRequest, CniCommand } from '../../../../cni-plugin/agent-protocol.ts';
import { blocks } from '../../../../controller/model/kinds/block.ts';
import { enforcedBy } from '../../../../controller/model/kinds/enforced.ts';
import { BIRTH, histories, recoveries } from '../../../../controller/model/kinds/history.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import { FakeDataplane } from '../../../../dataplane/fake-dataplane.ts';
import { podLinkName } from '../../../../dataplane/ownership.ts';
import { entries, facts, tenant } from '../builders.ts';

const log = pino({ level: 'silent' });
const signal = new AbortController().signal;
const id = endpointId('a', 'eth0');
let dir: string;
let store: MemoryStore;
let dataplane: FakeDataplane;
let agent: Agent;
let journal: Journal;

async function begin() {
  journal = Journal.open(dir, 'node1');
  const own = facts({ name: 'node1' });
  const read = { readFacts: () => own, readTable: () => undefined };
  agent = new Agent({ version: 'test', store, dataplane, journal, log, facts: own, ...read, stateDir: dir });
  await agent.start();
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-quarantine-'));
  store = new MemoryStore();
  dataplane = new FakeDataplane();
  for (const { key, value } of entries({ tenants: [tenant('system', 1), tenant('red', 42)] }))
    await store.commit([], [{ kind: 'put', key, value }]);
  await begin();
});
afterEach(async () => {
  await agent.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

function call(command: CniCommand) {
  const request: AgentRequest = {
    command,
    containerId: 'a',
    netns: '/run/netns/a',
    ifname: 'eth0',
    args: { K8S_POD_NAMESPACE: 'red', K8S_POD_NAME: 'a' },
    config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet' },
  };
  return agent.handle(request, signal);
}

async function loseBlock() {
  const [block] = [...journal.blocks.values()];
  if (block === undefined) throw new Error('no block');
  const value = blocks.format({ ...block, node: 'node2' });
  await store.commit([], [{ kind: 'put', key: keys.block('red', block.prefix), value }]);
  await vi.waitFor(() => expect(journal.endpoints.get(id)?.phase).toBe('quarantined'), 15_000);
}

const told = async () => (await store.get(keys.problems('node1'))).entry?.value ?? '';

it('is cut off and told of, keeps its link, and a restart changes nothing', async () => {
  await call('ADD');
  expect(await call('CHECK')).toMatchObject({ ok: true });
  await loseBlock();
  await vi.waitFor(async () => expect((await store.list(keys.endpoints('red'))).entries).toEqual([]), 15_000);
  await vi.waitFor(async () => expect(await told()).toContain('place_taken'), 15_000);
  expect(await call('CHECK')).toMatchObject({ ok: false });
  expect(dataplane.podLinks()).toContain(podLinkName(id));
  await agent.close();
  await begin();
  expect(journal.endpoints.get(id)?.phase).toBe('quarantined');
  expect(dataplane.podLinks()).toContain(podLinkName(id));
  expect(await call('CHECK')).toMatchObject({ ok: false });
  await call('DEL');
  await vi.waitFor(() => expect(journal.endpoints.has(id)).toBe(false), 15_000);
  expect(dataplane.podLinks()).toEqual([]);
  await vi.waitFor(async () => expect(await told()).not.toContain('place_taken'), 15_000);
});

it('gets a new address by a repeated ADD', async () => {
  const first = await call('ADD');
  await loseBlock();
  const second = await call('ADD');
  expect(second).toMatchObject({ ok: true });
  expect(second.ok && second.result?.ips).not.toEqual(first.ok && first.result?.ips);
});

describe('in a store that was put back to an older copy', () => {
  const said = async () => {
    const { entry } = await store.get(keys.enforced('node1'));
    return entry && enforcedBy.find(entry);
  };
  const historyNow = async () => {
    const { entry } = await store.get(keys.history);
    return entry && histories.find(entry)?.id;
  };

  it('blocks and endpoints are claimed again before anything is called enforced', async () => {
    await vi.waitFor(async () => expect(await said()).toBeDefined(), 15_000);
    const older = store.copy();
    await call('ADD');
    const held = async () => [
      ...(await store.list(keys.blocks('red'))).entries.map((entry) => [entry.key, blocks.find(entry)?.node]),
      ...(await store.list(keys.endpoints('red'))).entries.map(({ key }) => [key]),
    ];
    await vi.waitFor(async () => expect(await held()).toHaveLength(2), 15_000);
    const before = await held();
    store.rollBack(older);
    await vi.waitFor(async () => expect((await said())?.history).not.toBe(BIRTH), 15_000);
    expect((await said())?.history).toBe(await historyNow());
    expect((await store.list(keys.blocks('red'))).entries.map(({ key }) => key)).toEqual([before[0]?.[0]]);
    await vi.waitFor(async () => expect(await held()).toEqual(before), 15_000);
    expect(journal.endpoints.get(id)?.phase).toBe('ready');
  });

  it('a place that another node has taken meanwhile is theirs', async () => {
    const older = store.copy();
    await call('ADD');
    const [block] = [...journal.blocks.values()];
    if (block === undefined) throw new Error('no block');
    // The other node's agent was first.
    const key = keys.block('red', block.prefix);
    const entry = {
      key,
      value: blocks.format({ node: 'node2' }),
      createRevision: older.revision,
      modRevision: older.revision,
    };
    store.rollBack({ ...older, entries: new Map([...older.entries, [key, { ...entry, leaseId: undefined }]]) });
    await vi.waitFor(() => expect(journal.endpoints.get(id)?.phase).toBe('quarantined'), 15_000);
    await vi.waitFor(async () => expect(await told()).toContain('place_taken'), 15_000);
  });

  it('an empty one takes no place away: it is waited for until it holds a cluster again', async () => {
    await call('ADD');
    const whole = store.copy();
    await vi.waitFor(async () => expect(await said()).toBeDefined(), 15_000);
    store.rollBack(new MemoryStore().copy());
    await vi.waitFor(async () => expect(await historyNow()).toBeDefined(), 15_000);
    const registered = async () => (await store.get(keys.node('node1'))).entry !== undefined;
    await vi.waitFor(async () => expect(await registered()).toBe(true), 15_000);
    expect(journal.endpoints.get(id)?.phase).toBe('ready');
    store.rollBack({ ...whole, ahead: 1000 });
    await vi.waitFor(async () => expect((await said())?.history).toBe(await historyNow()), 15_000);
    expect(journal.endpoints.get(id)?.phase).toBe('ready');
    expect(journal.blocks.size).toBe(1);
  });

  it('no new block is claimed while others claim again what they hold', async () => {
    const value = recoveries.format({ history: 'x', begunAt: '2026-01-01T00:00:00Z', phase: 'claiming' });
    await store.commit([], [{ kind: 'put', key: keys.recovery, value }]);
    expect(await call('ADD')).toMatchObject({
      ok: false,
      error: { details: expect.stringContaining('claiming again') },
    });
    await store.commit([], [{ kind: 'delete', key: keys.recovery }]);
    expect(await call('ADD')).toMatchObject({ ok: true });
  });
});
