/** DEL of the whole agent, on a store and a kernel in memory: it always succeeds, in its order, and blocks go back. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Blocks } from '../../../cni-plugin/agent/addresses/blocks.ts';
import { endpointId } from '../../../cni-plugin/agent/socket/request.ts';
import { SnapshotReplica } from '../../../cni-plugin/agent/watch/replica.ts';
import { Snapshot } from '../../../cni-plugin/agent/watch/snapshot.ts';
import { CNI_ERROR } from '../../../cni-plugin/agent-protocol.ts';
import { blocks as blockKind } from '../../../controller/model/kinds/block.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { ConnectedStore } from '../../../controller/store/store.ts';
import { parseIp, parsePrefix, prefixContains } from '../../../dataplane/address.ts';
import { ERRNO } from '../../../dataplane/errors.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import {
  addressOf,
  create,
  dir,
  red,
  request,
  setTenant,
  signal,
  start,
  startSlow,
  store,
  stored,
  until,
  useStage,
} from './agent-stage.ts';
import { tenant } from './builders.ts';

useStage();

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
