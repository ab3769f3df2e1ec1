/**
 * ADD of the whole agent, on a store and a kernel in memory: what it leaves behind when any step fails, and that addresses are never given
 * twice.
 */
import { describe, expect, it, vi } from 'vitest';
import { endpointId } from '../../../cni-plugin/agent/socket/request.ts';
import { ClusterView } from '../../../cni-plugin/agent/watch/cluster-view.ts';
import { CNI_ERROR } from '../../../cni-plugin/agent-protocol.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { policies } from '../../../controller/model/kinds/policy.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { ConnectedStore } from '../../../controller/store/store.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { ERRNO } from '../../../dataplane/errors.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import { PORT_SET } from '../../../dataplane/state.ts';
import {
  addressOf,
  create,
  originalNeed,
  red,
  request,
  setTenant,
  signal,
  start,
  store,
  stored,
  until,
  useStage,
} from './agent-stage.ts';
import { tenant } from './builders.ts';

useStage();

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
