/** The whole agent on a store and a kernel in memory: without the store, after a restart, and when other programs meddle. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Agent } from '../../../cni-plugin/agent/agent.ts';
import { Journal } from '../../../cni-plugin/agent/endpoints/journal.ts';
import { endpointId } from '../../../cni-plugin/agent/socket/request.ts';
import { CNI_ERROR } from '../../../cni-plugin/agent-protocol.ts';
import { InvalidInput } from '../../../controller/errors.ts';
import { keys } from '../../../controller/store/keys.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import {
  addressOf,
  create,
  dir,
  log,
  request,
  running,
  signal,
  start,
  store,
  stored,
  until,
  useStage,
} from './agent-stage.ts';
import { facts } from './builders.ts';

useStage();

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
