/**
 * The whole agent on a store and a kernel in memory: what ADD leaves behind when any step fails, that DEL always succeeds, that
 * addresses are never given twice, and that it goes on without the store.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Blocks } from '../../../cni-plugin/agent/addresses/blocks.ts';
import { Agent, type AgentOptions } from '../../../cni-plugin/agent/agent.ts';
import { Journal } from '../../../cni-plugin/agent/endpoints/journal.ts';
import { endpointId } from '../../../cni-plugin/agent/socket/request.ts';
import { ClusterView } from '../../../cni-plugin/agent/watch/cluster-view.ts';
import { SnapshotReplica } from '../../../cni-plugin/agent/watch/replica.ts';
import { Snapshot } from '../../../cni-plugin/agent/watch/snapshot.ts';
import type { AgentRequest, AgentResponse, CniCommand } from '../../../cni-plugin/agent-protocol.ts';
import { CNI_ERROR } from '../../../cni-plugin/agent-protocol.ts';
import { InvalidInput } from '../../../controller/errors.ts';
import { blocks as blockKind } from '../../../controller/model/kinds/block.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { policies } from '../../../controller/model/kinds/policy.ts';
import type { Tenant } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { ConnectedStore } from '../../../controller/store/store.ts';
import { parseIp, parsePrefix, prefixContains } from '../../../dataplane/address.ts';
import { ERRNO, KernelError } from '../../../dataplane/errors.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import { PORT_SET } from '../../../dataplane/state.ts';
import { type Gate, gate } from '../gate.ts';
import { entries, facts, tenant } from './builders.ts';

const log = pino({ level: 'silent' });
const red = tenant('red', 42);
const signal = new AbortController().signal;
const originalNeed = ClusterView.prototype.need;

let dir: string;
let store: MemoryStore;
const running: Agent[] = [];
const held: Gate[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-agent-'));
  store = new MemoryStore();
  for (const { key, value } of entries({ tenants: [tenant('system', 1), red, tenant('blue', 43)] })) {
    await store.commit([], [{ kind: 'put', key, value }]);
  }
});
afterEach(async () => {
  for (const each of held.splice(0)) each.open();
  for (const agent of running.splice(0)) await agent.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

/** An agent that has not started yet, on a kernel of its own unless given one. */
function create(node = 'node1', dataplane = new FakeDataplane(), tweak: Partial<AgentOptions> = {}) {
  const own = tweak.facts ?? facts({ name: node });
  const stateDir = join(dir, tweak.stateDir ?? node);
  const journal = Journal.open(stateDir, node);
  const readFacts = () => own;
  const agent = new Agent({
    version: 'test',
    store,
    dataplane,
    journal,
    log,
    ...tweak,
    facts: own,
    readFacts,
    readTable: () => undefined,
    stateDir,
  });
  running.push(agent);
  return { agent, dataplane, journal };
}

async function start(node?: string, dataplane?: FakeDataplane) {
  const made = create(node, dataplane);
  await made.agent.start();
  return made;
}

/** A kernel that takes no link away before it is told to. */
class SlowDataplane extends FakeDataplane {
  readonly going = gate();
  /** how often it was asked to take one away */
  asked = 0;
  refuses = false;

  override async deleteLink(link: string): Promise<boolean> {
    if (!this.pods.has(link)) return false;
    if (this.refuses) throw new KernelError('RTM_DELLINK', link, ERRNO.EPERM);
    this.asked++;
    await this.going.opened;
    return super.deleteLink(link);
  }
}

async function startSlow() {
  const dataplane = new SlowDataplane();
  const kernelGoesOn = dataplane.going.open;
  held.push(dataplane.going);
  const { agent, journal } = create('node1', dataplane);
  await agent.start();
  return { agent, dataplane, journal, kernelGoesOn };
}

function request(command: CniCommand, pod: string, tweak: Partial<AgentRequest> = {}): AgentRequest {
  return {
    command,
    containerId: pod,
    netns: `/run/netns/${pod}`,
    ifname: 'eth0',
    args: { K8S_POD_NAMESPACE: 'red', K8S_POD_NAME: pod },
    config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet' },
    ...tweak,
  };
}

function addressOf(response: AgentResponse): string {
  if (!response.ok || response.result === undefined) throw new Error(`refused: ${JSON.stringify(response)}`);
  return response.result.ips[0]?.address ?? '';
}

async function stored(prefix: string): Promise<string[]> {
  return (await store.list(prefix)).entries.map(({ key }) => key);
}

async function setTenant(changed: Tenant): Promise<void> {
  await store.commit([], [{ kind: 'put', key: keys.tenant(changed.name), value: formatRecord(changed) }]);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within 15 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('ADD', () => {
  it('answers when guard, link and route are there, and REST can see the endpoint', async () => {
    const { agent, dataplane } = await start();
    const address = addressOf(await agent.handle(request('ADD', 'a'), signal));
    const id = endpointId('a', 'eth0');
    expect(dataplane.kernel.get(`link tnp${id}`)).toMatchObject({ up: true });
    expect(dataplane.kernel.has(`route ${address}`)).toBe(true);
    expect([...dataplane.kernel.keys()].some((key) => key.startsWith(`element guard tnp${id}`))).toBe(true);
    expect(await stored('endpoints/')).toEqual([`endpoints/red/node1/${id}`]);
  });

  it('obeys the policies of a tenant that was forgotten, but for being a peer, while its container was on its way', async () => {
    const asked = (of: string, peer: string) =>
      ({
        kind: 'put',
        key: keys.peering(of, peer),
        value: formatRecord({ tenant: of, peer, createdAt: '2026-01-01T00:00:00Z' }),
      }) as const;
    const policy = policies.format({
      tenant: 'red',
      namespace: 'red',
      name: 'closed',
      spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
      createdAt: '2026-01-01T00:00:00Z',
    });
    const closed = { kind: 'put', key: keys.policy('red', 'red', 'closed'), value: policy } as const;
    await store.commit([], [asked('red', 'blue'), asked('blue', 'red'), closed]);
    const { agent, dataplane } = await start();
    addressOf(await agent.handle(request('ADD', 'b', { args: { K8S_POD_NAMESPACE: 'blue' } }), signal));
    const need = vi.spyOn(ClusterView.prototype, 'need');
    need.mockImplementationOnce(async function (this: ClusterView, tenant: string, patienceMs?: number) {
      await originalNeed.call(this, tenant, patienceMs);
      // As upkeep does with one that has had nothing here for a while.
      this.forget(tenant);
    });
    try {
      addressOf(await agent.handle(request('ADD', 'a'), signal));
    } finally {
      need.mockRestore();
    }
    const link = `tnp${endpointId('a', 'eth0')}`;
    const allowed = [...dataplane.kernel].filter(
      ([key, item]) =>
        /^element (egress|ingress) (0|42|43) /.test(key) &&
        key.endsWith(link) &&
        'value' in item &&
        item.value !== PORT_SET.none,
    );
    expect(allowed).toEqual([]);
    expect(dataplane.kernel.get(`link ${link}`)).toMatchObject({ up: true });
  });

  it('gives the same answer to the same ADD twice, and wires once', async () => {
    const { agent, dataplane } = await start();
    const first = await agent.handle(request('ADD', 'a'), signal);
    expect(await agent.handle(request('ADD', 'a'), signal)).toEqual(first);
    expect(dataplane.calls.filter((call) => call.startsWith('createPod'))).toHaveLength(1);
  });

  it('gives 32 containers at once 32 addresses out of one block', async () => {
    const { agent } = await start();
    const pods = Array.from({ length: 32 }, (_, index) => `p${index}`);
    const responses = await Promise.all(pods.map((pod) => agent.handle(request('ADD', pod), signal)));
    expect(new Set(responses.map(addressOf)).size).toBe(32);
    expect(await stored('blocks/red/')).toHaveLength(1);
  });

  it.each([
    ['createPod', ERRNO.ENOMEM],
    ['apply', ERRNO.ENOSPC],
    [`link tnp${endpointId('a', 'eth0')}`, ERRNO.EPERM],
  ])('leaves nothing behind when %s fails', async (op, errno) => {
    const { agent, dataplane, journal } = await start();
    await agent.handle(request('ADD', 'other'), signal);
    const kernelBefore = [...dataplane.kernel.keys()].sort();
    dataplane.failNext(op, errno);
    const refused = await agent.handle(request('ADD', 'a'), signal);
    expect(refused).toMatchObject({ ok: false, error: { code: CNI_ERROR.kernel } });
    await until('the kernel is as before', () => [...dataplane.kernel.keys()].sort().join() === kernelBefore.join());
    expect(journal.endpoints.size).toBe(1);
    await until('the store is as before', async () => (await stored('endpoints/')).length === 1);
    expect(addressOf(await agent.handle(request('ADD', 'a'), signal))).not.toBe('');
  });

  it('undoes everything when the runtime gives up on it', async () => {
    const { agent, dataplane, journal } = await start();
    const gone = new AbortController();
    gone.abort();
    expect(await agent.handle(request('ADD', 'a'), gone.signal)).toMatchObject({ ok: false });
    expect(journal.endpoints.size).toBe(0);
    expect(dataplane.pods.size).toBe(0);
  });

  it('names the namespace that no tenant claims', async () => {
    const { agent } = await start();
    const refused = await agent.handle(request('ADD', 'a', { args: { K8S_POD_NAMESPACE: 'unclaimed' } }), signal);
    expect(refused).toMatchObject({
      ok: false,
      error: { code: CNI_ERROR.invalidConfig, details: expect.stringContaining('"unclaimed"') },
    });
  });

  it('follows the order of tenant sources', async () => {
    const { agent } = await start();
    const config = {
      cniVersion: '1.1.0',
      name: 'tenet',
      type: 'tenet',
      tenant: 'red',
      args: { cni: { tenant: 'blue' } },
    };
    addressOf(await agent.handle(request('ADD', 'a', { config, args: {} }), signal));
    expect(await stored('endpoints/blue/')).toHaveLength(1);
    const { args: _, ...rest } = config;
    addressOf(await agent.handle(request('ADD', 'b', { config: rest, args: {} }), signal));
    expect(await stored('endpoints/red/')).toHaveLength(1);
  });

  it('refuses a namespace of another tenant', async () => {
    const { agent } = await start();
    const config = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', tenant: 'blue' };
    const refused = await agent.handle(request('ADD', 'a', { config }), signal);
    expect(refused).toMatchObject({ ok: false, error: { code: CNI_ERROR.invalidConfig } });
    expect(await stored('endpoints/')).toEqual([]);
  });

  it('gives a wanted address once, and none outside the tenant', async () => {
    const { agent } = await start();
    const wanting = (ip: string) => ({
      config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', runtimeConfig: { ips: [ip] } },
    });
    expect(addressOf(await agent.handle(request('ADD', 'a', wanting('10.170.1.7')), signal))).toBe('10.170.1.7/32');
    expect(await agent.handle(request('ADD', 'b', wanting('10.170.1.7')), signal)).toMatchObject({ ok: false });
    const outside = await agent.handle(request('ADD', 'c', wanting('10.171.0.1')), signal);
    expect(outside).toMatchObject({ ok: false, error: { code: CNI_ERROR.invalidConfig } });
  });

  it('refuses a wanted address in another node’s block, naming the node', async () => {
    const one = await start('node1');
    const two = await start('node2');
    const wanting = {
      config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', runtimeConfig: { ips: ['10.170.1.7'] } },
    };
    addressOf(await one.agent.handle(request('ADD', 'a', wanting), signal));
    const refused = await two.agent.handle(request('ADD', 'b', wanting), signal);
    expect(refused).toMatchObject({ ok: false, error: { details: expect.stringContaining('node1') } });
  });

  it('says which quota is full', async () => {
    await setTenant({ ...red, quota: { endpoints: 1 } });
    const { agent } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    const refused = await agent.handle(request('ADD', 'b'), signal);
    expect(refused).toMatchObject({
      ok: false,
      error: { code: CNI_ERROR.exhausted, details: expect.stringContaining('quota') },
    });
  });

  it('keeps to the quota when many come at once', async () => {
    await setTenant({ ...red, quota: { endpoints: 3 } });
    const { agent } = await start();
    const pods = Array.from({ length: 8 }, (_, index) => `p${index}`);
    const responses = await Promise.all(pods.map((pod) => agent.handle(request('ADD', pod), signal)));
    expect(responses.filter(({ ok }) => ok)).toHaveLength(3);
  });

  it('lets one of two nodes have the last block, and tells the other how to go on', async () => {
    await setTenant({ ...red, subnets: [parsePrefix('10.170.0.0/27')] });
    const one = await start('node1');
    const two = await start('node2');
    const responses = await Promise.all([
      one.agent.handle(request('ADD', 'a'), signal),
      two.agent.handle(request('ADD', 'b'), signal),
    ]);
    expect(responses.filter(({ ok }) => ok)).toHaveLength(1);
    expect(responses.find(({ ok }) => !ok)).toMatchObject({
      error: { code: CNI_ERROR.exhausted, details: expect.stringContaining('another subnet') },
    });
    expect(await stored('blocks/red/')).toHaveLength(1);
  });

  it('finds a claim whose answer was lost to be its own', async () => {
    const { agent } = await start();
    store.failNext('indeterminate-applied');
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    expect(await stored('blocks/red/')).toHaveLength(1);
  });

  it('is refused for a tenant that is being deleted, and gives its blocks back', async () => {
    const { agent } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    await agent.handle(request('DEL', 'a'), signal);
    await setTenant({ ...red, phase: 'deleting' });
    await until('no blocks', async () => (await stored('blocks/red/')).length === 0);
    expect(await agent.handle(request('ADD', 'b'), signal)).toMatchObject({ ok: false });
    expect(await stored('blocks/red/')).toEqual([]);
  });
});

it('a tenant that an ADD was refused for is not followed for good', async () => {
  const { agent } = await start();
  await setTenant({ ...red, phase: 'deleting' });
  const answer = await agent.handle(request('ADD', 'a'), signal);
  // Not "does not exist": what was heard while the ADD still asked must not make the agent forget the tenant.
  expect(JSON.stringify(answer)).toContain('being deleted');
  const told = async () => (await store.get(keys.enforced('node1'))).entry?.value ?? '"red"';
  await until('the node says nothing of it', async () => !(await told()).includes('"red"'));
});

it('nor one that goes while an ADD claims its first block', async () => {
  const racing: ConnectedStore = {
    get: (key) => store.get(key),
    list: (prefix, options) => store.list(prefix, options),
    commit: async (guards, writes) => {
      const isClaim = writes.some((write) => write.kind === 'put' && write.key.startsWith('blocks/red/'));
      if (isClaim) await store.commit([], [{ kind: 'delete', key: keys.tenant('red') }]);
      return store.commit(guards, writes);
    },
    watch: (prefix, after, until) => store.watch(prefix, after, until),
    lease: (ttlSeconds) => store.lease(ttlSeconds),
    onConnection: () => undefined,
    close: async () => undefined,
  };
  const { agent } = create('node1', new FakeDataplane(), { store: racing });
  await agent.start();
  expect(await agent.handle(request('ADD', 'a'), signal)).toMatchObject({ ok: false });
  expect(await stored('blocks/')).toEqual([]);
  // What it says after another change it has had the time to think over.
  await setTenant({ ...tenant('system', 1), labels: { said: 'later' } });
  const { entry: later } = await store.get(keys.tenant('system'));
  const told = async () => JSON.parse((await store.get(keys.enforced('node1'))).entry?.value ?? '{}').tenants ?? {};
  await until('the node has heard the last', async () => (await told()).system?.tenant >= Number(later?.modRevision));
  await until('and says nothing of it', async () => !('red' in (await told())));
});

describe('a block on its way back', () => {
  it('gives no container an address, however many ask meanwhile', async () => {
    const { agent, journal } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    await agent.handle(request('DEL', 'a'), signal);
    const snapshot = new Snapshot();
    for (const entry of (await store.list('')).entries) snapshot.put(entry);
    let asked: Promise<string> | undefined;
    const asking: ConnectedStore = {
      get: (key) => {
        asked ??= blocks.allocate(red);
        return store.get(key);
      },
      list: (prefix, options) => store.list(prefix, options),
      commit: (guards, writes) => store.commit(guards, writes),
      watch: (prefix, after, until) => store.watch(prefix, after, until),
      lease: (ttlSeconds) => store.lease(ttlSeconds),
      onConnection: () => undefined,
      close: async () => undefined,
    };
    const blocks: Blocks = new Blocks({
      node: 'node1',
      store: asking,
      journal,
      replica: new SnapshotReplica(snapshot),
      mayAdopt: () => false,
    });
    const [block] = [...journal.blocks.values()];
    if (block === undefined) throw new Error('no block');
    const isGone = await blocks.giveBack(block);
    const address = parseIp((await asked) ?? '');
    expect(isGone).toBe(true);
    const keysLeft = await stored('blocks/red/');
    expect(keysLeft).toHaveLength(1);
    expect([...journal.blocks.values()].some(({ prefix }) => prefixContains(prefix, address))).toBe(true);
    expect(keysLeft.map((key) => blockKind.place(key)?.prefix)).toEqual([...journal.blocks.keys()]);
  });
});

describe('DEL', () => {
  it('takes rules, link, flows, address and record away, in that order', async () => {
    const { agent, dataplane, journal } = await start();
    const address = addressOf(await agent.handle(request('ADD', 'a'), signal)).split('/')[0];
    dataplane.calls.length = 0;
    expect(await agent.handle(request('DEL', 'a', { netns: '' }), signal)).toEqual({ ok: true });
    const calls = dataplane.calls.map((call) => call.split(' ')[0]);
    expect(calls).toEqual(['apply', 'deleteLink', 'forgetFlows']);
    expect(dataplane.forgotten).toEqual([address]);
    expect(journal.endpoints.size).toBe(0);
    expect(await stored('endpoints/')).toEqual([]);
    expect([...dataplane.kernel.keys()].filter((key) => key.includes(endpointId('a', 'eth0')))).toEqual([]);
  });

  it('succeeds for what it never knew, and again', async () => {
    const { agent } = await start();
    expect(await agent.handle(request('DEL', 'never', { netns: '' }), signal)).toEqual({ ok: true });
    expect(await agent.handle(request('DEL', 'never', { netns: '' }), signal)).toEqual({ ok: true });
  });

  it('answers once the container is cut off; its address is free when its link is gone', async () => {
    const { agent, dataplane, journal, kernelGoesOn } = await startSlow();
    await setTenant({ ...red, quota: { endpoints: 1 } });
    const wanting = {
      config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', runtimeConfig: { ips: ['10.170.1.7'] } },
    };
    addressOf(await agent.handle(request('ADD', 'a', wanting), signal));
    expect(await agent.handle(request('DEL', 'a'), signal)).toEqual({ ok: true });
    const id = endpointId('a', 'eth0');
    const left = [...dataplane.kernel.keys()].filter((key) => key.includes(id) || key.includes('10.170.1.7'));
    expect(left).toEqual([]);
    expect(dataplane.podLinks()).toEqual([`tnp${id}`]);
    expect(await stored('endpoints/')).toEqual([]);
    expect(await agent.handle(request('CHECK', 'a'), signal)).toMatchObject({
      error: { code: CNI_ERROR.containerUnknown },
    });
    // Neither the address nor the quota is in the way of who comes next, but the address is waited for.
    const next = agent.handle(request('ADD', 'b', wanting), signal);
    const again = agent.handle(request('DEL', 'a'), signal);
    await new Promise((resolve) => setImmediate(resolve));
    expect(dataplane.podLinks()).toEqual([`tnp${id}`]);
    kernelGoesOn();
    expect(addressOf(await next)).toBe('10.170.1.7/32');
    expect(await again).toEqual({ ok: true });
    expect(dataplane.podLinks()).toEqual([`tnp${endpointId('b', 'eth0')}`]);
    expect([...journal.endpoints.keys()]).toEqual([endpointId('b', 'eth0')]);
  });

  it('frees an address for an ADD that meanwhile asks for another block in vain', async () => {
    await setTenant(tenant('red', 42, { subnets: [parsePrefix('10.170.0.0/27')] }));
    const { agent, journal, kernelGoesOn } = await startSlow();
    for (let pod = 0; pod < 32; pod++) addressOf(await agent.handle(request('ADD', `pod-${pod}`), signal));
    expect(await agent.handle(request('DEL', 'pod-7'), signal)).toEqual({ ok: true });
    const list = store.list.bind(store);
    vi.spyOn(store, 'list').mockImplementation(async (prefix) => {
      if (prefix === keys.blocks('red')) {
        kernelGoesOn();
        await until('the address is free', () => !journal.endpoints.has(endpointId('pod-7', 'eth0')));
      }
      return list(prefix);
    });
    expect(await agent.handle(request('ADD', 'late'), signal)).toMatchObject({ ok: true });
  });

  it('is ended by the next start when it was cut short after its answer', async () => {
    const { agent, dataplane, kernelGoesOn } = await startSlow();
    const address = addressOf(await agent.handle(request('ADD', 'a'), signal)).split('/')[0];
    await agent.handle(request('DEL', 'a'), signal);
    // As a kill leaves it: on disk, and in the kernel.
    cpSync(join(dir, 'node1'), join(dir, 'killed'), { recursive: true });
    const kernel = new FakeDataplane();
    for (const [link, spec] of dataplane.pods) kernel.pods.set(link, spec);
    kernelGoesOn();
    const { agent: second, journal } = create('node1', kernel, { stateDir: 'killed' });
    await second.start();
    expect(kernel.podLinks()).toEqual([]);
    expect(kernel.forgotten).toEqual([address]);
    expect(journal.endpoints.size).toBe(0);
  });

  it('answers only when the link is gone if the rules could not be removed', async () => {
    const { agent, dataplane, kernelGoesOn } = await startSlow();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    dataplane.failNext('apply', ERRNO.ENOMEM);
    let hasAnswered = false;
    const answer = agent.handle(request('DEL', 'a'), signal).finally(() => {
      hasAnswered = true;
    });
    await until('it has come to the link', () => dataplane.asked > 0);
    expect(hasAnswered).toBe(false);
    kernelGoesOn();
    expect(await answer).toEqual({ ok: true });
    expect(dataplane.podLinks()).toEqual([]);
  });

  it('answers the repetition of one that failed only when all of it is done', async () => {
    const { agent, dataplane, kernelGoesOn } = await startSlow();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    dataplane.failNext('apply', ERRNO.ENOMEM);
    dataplane.refuses = true;
    expect(await agent.handle(request('DEL', 'a'), signal)).toMatchObject({ error: { code: CNI_ERROR.kernel } });
    dataplane.refuses = false;
    let hasAnswered = false;
    const answer = agent.handle(request('DEL', 'a'), signal).finally(() => {
      hasAnswered = true;
    });
    await until('it has come to the link', () => dataplane.asked > 0);
    expect(hasAnswered).toBe(false);
    kernelGoesOn();
    expect(await answer).toEqual({ ok: true });
    expect(dataplane.podLinks()).toEqual([]);
  });

  it('lets an address rest before it is given again', async () => {
    const { agent } = await start();
    const first = addressOf(await agent.handle(request('ADD', 'a'), signal));
    await agent.handle(request('DEL', 'a'), signal);
    expect(addressOf(await agent.handle(request('ADD', 'b'), signal))).not.toBe(first);
  });
});

describe('the store away', () => {
  it('starts containers of known tenants, and publishes them afterwards', async () => {
    const { agent } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    for (let call = 0; call < 2; call++) for (const op of ['get', 'commit'] as const) store.failNext('unavailable', op);
    addressOf(await agent.handle(request('ADD', 'b'), signal));
    await until('both are published', async () => (await stored('endpoints/')).length === 2);
  });

  it('asks to try again for a namespace it does not know', async () => {
    const { agent } = await start();
    store.failNext('unavailable', 'get');
    expect(await agent.handle(request('ADD', 'a'), signal)).toMatchObject({
      ok: false,
      error: { code: CNI_ERROR.tryAgain },
    });
  });
});

describe('another life of the node', () => {
  it('takes up blocks that the store says are its own, where no unknown container can be using them', async () => {
    const { agent } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    await running.pop()?.close();
    rmSync(join(dir, 'node1'), { recursive: true });
    const again = await start('node1');
    addressOf(await again.agent.handle(request('ADD', 'b'), signal));
    expect(await stored('blocks/red/')).toHaveLength(1);
  });

  it('leaves them alone where one might', async () => {
    const dataplane = new FakeDataplane();
    const { agent } = await start('node1', dataplane);
    const first = addressOf(await agent.handle(request('ADD', 'a'), signal));
    await running.pop()?.close();
    rmSync(join(dir, 'node1'), { recursive: true });
    const again = await start('node1', dataplane);
    expect(addressOf(await again.agent.handle(request('ADD', 'b'), signal))).not.toBe(first);
    expect(await stored('blocks/red/')).toHaveLength(2);
  });

  it('is refused while another machine is alive under its name', async () => {
    await start('node1');
    await until('node1 is alive', async () => (await stored('live/')).length === 1);
    const elsewhere = facts({ underlay: { ...facts().underlay, address: parseIp('192.168.9.77') } });
    const taken: string[] = [];
    const onNameTaken = (other: string) => taken.push(other);
    const { agent: twin } = create('node1', new FakeDataplane(), { facts: elsewhere, stateDir: 'twin', onNameTaken });
    await twin.start();
    await until('the twin is told', () => taken.length > 0);
    expect(taken[0]).toBe('192.168.9.1');
  });
});

describe('a node before its cluster', () => {
  it('waits for the first controller and says that it is not ready', async () => {
    const entry = (await store.get(keys.cluster)).entry;
    await store.commit([], [{ kind: 'delete', key: keys.cluster }]);
    const { agent } = create();
    const started = agent.start();
    expect(await agent.handle(request('STATUS', ''), signal)).toMatchObject({
      error: { code: CNI_ERROR.pluginNotAvailable },
    });
    expect(await agent.handle(request('ADD', 'a'), signal)).toMatchObject({ error: { code: CNI_ERROR.tryAgain } });
    await store.commit([], [{ kind: 'put', key: keys.cluster, value: entry?.value ?? '' }]);
    await started;
    addressOf(await agent.handle(request('ADD', 'a'), signal));
  });
});

describe('a restart', () => {
  it('keeps what was ready and changes nothing of it', async () => {
    const dataplane = new FakeDataplane();
    const first = await start('node1', dataplane);
    addressOf(await first.agent.handle(request('ADD', 'a'), signal));
    await running.pop()?.close();
    const before = new Map(dataplane.kernel);
    dataplane.calls.length = 0;
    const second = await start('node1', dataplane);
    expect(dataplane.kernel).toEqual(before);
    expect(dataplane.calls).toEqual([]);
    expect(await second.agent.handle(request('CHECK', 'a'), signal)).toEqual({ ok: true });
  });

  it('undoes what was cut short', async () => {
    const dataplane = new FakeDataplane();
    const first = await start('node1', dataplane);
    addressOf(await first.agent.handle(request('ADD', 'a'), signal));
    const local = first.journal.endpoints.get(endpointId('a', 'eth0'));
    if (local === undefined) throw new Error('no such endpoint');
    await first.journal.record({ op: 'endpoint', local: { ...local, phase: 'wiring' } });
    await running.pop()?.close();
    const second = await start('node1', dataplane);
    expect(second.journal.endpoints.size).toBe(0);
    expect(dataplane.pods.size).toBe(0);
    await until('the record is gone', async () => (await stored('endpoints/')).length === 0);
  });

  it('starts from its copy while the store is away', async () => {
    const dataplane = new FakeDataplane();
    const first = await start('node1', dataplane);
    addressOf(await first.agent.handle(request('ADD', 'a'), signal));
    await running.pop()?.close();
    for (let call = 0; call < 400; call++) store.failNext('unavailable', 'list');
    const second = await start('node1', dataplane);
    addressOf(await second.agent.handle(request('ADD', 'b'), signal));
    expect(dataplane.pods.size).toBe(2);
  });
});

describe('CHECK and GC', () => {
  it('CHECK names what is missing', async () => {
    const { agent, dataplane } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    expect(await agent.handle(request('CHECK', 'a'), signal)).toEqual({ ok: true });
    dataplane.pods.clear();
    const refused = await agent.handle(request('CHECK', 'a'), signal);
    expect(refused).toMatchObject({ ok: false, error: { details: expect.stringContaining('host link') } });
    expect(await agent.handle(request('CHECK', 'never'), signal)).toMatchObject({
      error: { code: CNI_ERROR.containerUnknown },
    });
  });

  const gcConfig = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', 'cni.dev/valid-attachments': [] };

  it('GC detaches what is not valid, and nothing when it is not told', async () => {
    const { agent, journal } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    addressOf(await agent.handle(request('ADD', 'b'), signal));
    const gc = (attachments?: { containerID: string; ifname: string }[] | null) => {
      const config = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', 'cni.dev/valid-attachments': attachments };
      const { 'cni.dev/valid-attachments': list, ...rest } = config;
      return agent.handle(
        request('GC', '', { config: list === undefined ? rest : { ...rest, 'cni.dev/valid-attachments': list } }),
        signal,
      );
    };
    await gc();
    expect(journal.endpoints.size).toBe(2);
    await gc([{ containerID: 'a', ifname: 'eth0' }]);
    expect([...journal.endpoints.keys()]).toEqual([endpointId('a', 'eth0')]);
    await agent.handle(request('GC', '', { config: { ...gcConfig, name: 'another' } }), signal);
    expect(journal.endpoints.size).toBe(1);
    await gc(null);
    expect(journal.endpoints.size).toBe(0);
  });
});

describe('drift', () => {
  it('is put right after a foreign change', async () => {
    const { agent, dataplane } = await start();
    const address = addressOf(await agent.handle(request('ADD', 'a'), signal));
    dataplane.kernel.delete(`route ${address}`);
    dataplane.disturb('route');
    await until('the route is back', () => dataplane.kernel.has(`route ${address}`));
  });

  it('keeps what is while the underlay has no address', async () => {
    const dataplane = new FakeDataplane();
    const own = facts();
    let isAway = false;
    const journal = Journal.open(join(dir, 'away'), 'node1');
    const readFacts = () => {
      if (isAway) throw new InvalidInput('--underlay-address', 'link eth0 has no IPv4 address');
      return own;
    };
    const agent = new Agent({
      version: 'test',
      store,
      dataplane,
      journal,
      log,
      facts: own,
      readFacts,
      readTable: () => undefined,
      stateDir: join(dir, 'away'),
    });
    running.push(agent);
    await agent.start();
    const address = addressOf(await agent.handle(request('ADD', 'a'), signal));
    isAway = true;
    dataplane.kernel.delete(`route ${address}`);
    dataplane.disturb('address');
    await until('the route is back', () => dataplane.kernel.has(`route ${address}`));
  });

  it('lets a container go whose link was deleted, and still its DEL succeeds', async () => {
    const { agent, dataplane } = await start();
    addressOf(await agent.handle(request('ADD', 'a'), signal));
    const link = `tnp${endpointId('a', 'eth0')}`;
    await dataplane.deleteLink(link);
    dataplane.disturb('link');
    await until('its rules are gone', () => ![...dataplane.kernel.keys()].some((key) => key.includes(link)));
    expect(await agent.handle(request('DEL', 'a'), signal)).toEqual({ ok: true });
  });
});
