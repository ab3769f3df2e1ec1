/**
 * What an agent does about what it cannot do: it goes on with everything else, acknowledges nothing that is not so, and says what is wrong
 * to the cluster, in STATUS and once in its log.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Agent } from '../../../cni-plugin/agent/agent.ts';
import { Journal } from '../../../cni-plugin/agent/endpoints/journal.ts';
import { Snapshot } from '../../../cni-plugin/agent/watch/snapshot.ts';
import type { AgentResponse } from '../../../cni-plugin/agent-protocol.ts';
import { CNI_ERROR } from '../../../cni-plugin/agent-protocol.ts';
import { Acknowledgement, type Kind } from '../../../controller/enforcement/change.ts';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { problems as problemsKind } from '../../../controller/model/kinds/problems.ts';
import { type NodeProblems, readNodeProblems } from '../../../controller/model/problems.ts';
import type { NodeRole } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { Revision } from '../../../controller/store/store.ts';
import type { Failures } from '../../../dataplane/dataplane.ts';
import type { Change } from '../../../dataplane/diff.ts';
import { ERRNO, KernelError } from '../../../dataplane/errors.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import { itemKey, itemLink, type NodeState } from '../../../dataplane/state.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { entries, facts, node, tenant } from './builders.ts';

/** A kernel in which another program has taken an overlay's place: nothing that stands on the link can be there. */
class TakenDataplane extends FakeDataplane {
  taken: string | undefined;

  override apply(changes: readonly Change[], desired: NodeState): Failures {
    const isTaken = ({ item }: Change) => this.taken !== undefined && itemLink(item) === this.taken;
    const failures = new Map(
      super.apply(
        changes.filter((change) => !isTaken(change)),
        desired,
      ),
    );
    for (const { item } of changes.filter(isTaken)) {
      const key = itemKey(item);
      const errno = item.kind === 'overlayLink' ? ERRNO.EEXIST : ERRNO.ENODEV;
      failures.set(key, new KernelError(item.kind === 'overlayLink' ? 'RTM_NEWLINK' : 'add', key, errno));
    }
    return failures;
  }
}

let dir: string;
let store: MemoryStore;
let logged: { op?: string; about?: string; msg: string }[];
const running: Agent[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-problems-'));
  store = new MemoryStore();
  logged = [];
  const tenants = [tenant('system', 1), tenant('red', 42), tenant('blue', 43)];
  const blocks = [
    ['red', '10.170.0.64/27', 'node2'],
    ['blue', '10.171.0.64/27', 'node2'],
  ] as const;
  for (const { key, value } of entries({ tenants, nodes: [node(2)], blocks })) await put(key, value);
});
afterEach(async () => {
  for (const agent of running.splice(0)) await agent.close();
  vi.restoreAllMocks();
  await store.close();
  rmSync(dir, { recursive: true });
});

async function put(key: string, value: string): Promise<Revision> {
  return (await store.commit([], [{ kind: 'put', key, value }])).revision;
}

const remove = (key: string) => store.commit([], [{ kind: 'delete', key }]);

async function start(roles: readonly NodeRole[] = ['compute']) {
  const dataplane = new TakenDataplane();
  const own = facts({ roles });
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const journal = Journal.open(dir, 'node1');
  const agent = new Agent({
    version: 'test',
    store,
    dataplane,
    journal,
    log,
    facts: own,
    readFacts: () => own,
    readTable: () => undefined,
    stateDir: dir,
  });
  running.push(agent);
  await agent.start();
  return { agent, dataplane };
}

const signal = new AbortController().signal;
const config = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet' } as const;

async function attach(agent: Agent, namespace: string): Promise<void> {
  const response = await agent.handle(
    {
      command: 'ADD',
      containerId: `pod-${namespace}`,
      netns: `/run/netns/${namespace}`,
      ifname: 'eth0',
      args: { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: 'pod' },
      config,
    },
    signal,
  );
  expect(response).toMatchObject({ ok: true });
}

const status = (agent: Agent, of?: string): Promise<AgentResponse> =>
  agent.handle(
    {
      command: 'STATUS',
      containerId: '',
      netns: '',
      ifname: '',
      args: {},
      config: of === undefined ? config : { ...config, tenant: of },
    },
    signal,
  );

async function told(): Promise<NodeProblems['problems']> {
  const { entry } = await store.get(keys.problems('node1'));
  return entry === undefined ? [] : readNodeProblems(problemsKind.get(entry)).problems;
}

const untilTold = (what: string, holds: (problems: NodeProblems['problems']) => boolean) =>
  waitFor(async () => holds(await told()), { what });

/** Does the node say that a change of this revision is in its kernel? */
async function covers(of: string, kind: Kind, revision: Revision): Promise<boolean> {
  const { entry } = await store.get(keys.enforced('node1'));
  return (
    entry !== undefined &&
    new Acknowledgement(entry, 0, () => undefined).covers({
      tenant: of,
      kinds: [kind],
      revision,
      holders: [],
      history: BIRTH,
    })
  );
}

const untilCovered = (of: string, kind: Kind, revision: Revision) =>
  waitFor(() => covers(of, kind, revision), { what: `${kind} of ${of} at ${revision} is acknowledged` });

const label = (of: string, vni: number, value: string) =>
  put(keys.tenant(of), formatRecord(tenant(of, vni, { labels: { round: value } })));

const timesLogged = (about: string) => logged.filter((line) => line.msg === 'problem' && line.about === about).length;

describe('an odd key', () => {
  it('is told by its name, and its neighbours are followed as before', async () => {
    const { agent, dataplane } = await start();
    await attach(agent, 'red');
    await put('blocks/red/zz', '{"schema":1,"node":"c9"}');
    // Which block the agent has claimed for its pod is chance.
    const isOwn = (await store.get('blocks/red/010.170.000.096-27')).entry !== undefined;
    const base = isOwn ? '128' : '096';
    await put(`blocks/red/010.170.000.${base}-27`, '{"schema":1,"node":"node2"}');
    await waitFor(() => dataplane.kernel.has(`route 10.170.0.${Number(base)}/27`), {
      what: 'the block after it is reached',
    });
    await untilCovered('red', 'tenant', await label('red', 42, 'one'));
    await untilTold('the key', (problems) => problems.some(({ about }) => about === 'blocks/red/zz'));
    expect(await told()).toMatchObject([{ kind: 'record_unreadable', about: 'blocks/red/zz', tenant: 'red' }]);
    expect(await status(agent)).toEqual({ ok: true });
    expect(timesLogged('blocks/red/zz')).toBe(1);
    await remove('blocks/red/zz');
    await untilTold('nothing', (problems) => problems.length === 0);
    expect((await store.get(keys.problems('node1'))).entry).toBeUndefined();
  });

  it('is told on a gateway too, which follows all tenants’ as before', async () => {
    const { dataplane } = await start(['gateway']);
    await put('blocks/red/zz', '{"schema":1,"node":"c9"}');
    await put('blocks/blue/010.171.000.096-27', '{"schema":1,"node":"node2"}');
    await waitFor(() => dataplane.kernel.has('route 10.171.0.96/27'), { what: 'the block after it is reached' });
    await untilTold('the key', (problems) => problems.some(({ about }) => about === 'blocks/red/zz'));
  });
});

it('an update that cannot be read is not called enforced, and neither is what comes after it of its tenant', async () => {
  const { agent } = await start();
  await attach(agent, 'red');
  await attach(agent, 'blue');
  await untilCovered('red', 'tenant', await label('red', 42, 'one'));
  const unread = await put(keys.tenant('red'), '{"schema":9}');
  await untilCovered('blue', 'tenant', await label('blue', 43, 'one'));
  expect(await covers('red', 'tenant', unread)).toBe(false);
  await untilTold('the record', (problems) => problems.some(({ about }) => about === keys.tenant('red')));
  await untilCovered('red', 'tenant', await label('red', 42, 'two'));
});

describe('while the agent stumbles over what it is told', () => {
  it('acknowledges nothing, STATUS is 50, and it catches up by itself', async () => {
    const { agent } = await start();
    await attach(agent, 'red');
    await untilCovered('red', 'tenant', await label('red', 42, 'before'));
    const replace = vi.spyOn(Snapshot.prototype, 'replace').mockImplementation(() => {
      throw new Error('stumbled');
    });
    const apply = vi.spyOn(Snapshot.prototype, 'apply').mockImplementation(() => {
      throw new Error('stumbled');
    });
    const namespace = formatRecord({ tenant: 'red', name: 'shop', labels: {} });
    const missed = await put(keys.namespace('red', 'shop'), namespace);
    await untilTold('that it is deaf', (problems) => problems.some(({ kind }) => kind === 'not_followed'));
    expect(await told()).toMatchObject([{ about: keys.namespaces('red'), tenant: 'red', text: 'stumbled' }]);
    const deaf = await status(agent);
    expect(deaf).toMatchObject({ ok: false, error: { code: CNI_ERROR.pluginNotAvailable } });
    expect(JSON.stringify(deaf)).toContain('namespaces/red/: stumbled');
    expect(await covers('red', 'namespaces', missed)).toBe(false);
    apply.mockRestore();
    replace.mockRestore();
    await untilCovered('red', 'namespaces', missed);
    await untilTold('nothing', (problems) => problems.length === 0);
    expect(await status(agent)).toEqual({ ok: true });
    expect(timesLogged(keys.namespaces('red'))).toBe(1);
  });
});

describe('what the kernel refuses of one tenant', () => {
  it('withholds that tenant’s acknowledgements, and no other’s', async () => {
    const { agent, dataplane } = await start();
    dataplane.taken = 'tnt42';
    for (const each of ['red', 'blue']) await attach(agent, each);
    await untilCovered('blue', 'tenant', await label('blue', 43, 'one'));
    const withheld = await label('red', 42, 'one');
    await untilCovered('blue', 'tenant', await label('blue', 43, 'two'));
    expect(await covers('red', 'tenant', withheld)).toBe(false);
    await untilTold('the link', (problems) => problems.length > 0);
    const [problem, ...others] = await told();
    expect(problem).toMatchObject({ kind: 'kernel_refused', about: 'link tnt42', tenant: 'red' });
    expect(problem?.text).toMatch(/^RTM_NEWLINK link tnt42: EEXIST; \d+ more on the same link$/);
    expect(others).toEqual([]);
    expect(await status(agent)).toEqual({ ok: true });
    expect(await status(agent, 'blue')).toEqual({ ok: true });
    expect(JSON.stringify(await status(agent, 'red'))).toContain('RTM_NEWLINK link tnt42: EEXIST');
    expect(timesLogged('link tnt42')).toBe(1);
    dataplane.taken = undefined;
    await untilCovered('red', 'tenant', withheld);
    await untilTold('nothing', (problems) => problems.length === 0);
    expect(await status(agent, 'red')).toEqual({ ok: true });
  });

  it('does so where all tenants are followed', async () => {
    const { agent, dataplane } = await start(['gateway', 'compute']);
    dataplane.taken = 'tnt42';
    await attach(agent, 'red');
    const withheld = await label('red', 42, 'one');
    await untilCovered('blue', 'tenant', await label('blue', 43, 'one'));
    expect(await covers('red', 'tenant', withheld)).toBe(false);
    expect(await covers('not-there', 'tenant', withheld)).toBe(true);
    dataplane.taken = undefined;
    await untilCovered('red', 'tenant', withheld);
  });

  it('withholds those of its peers too, whose packets may need the same', async () => {
    for (const [of, peer] of [
      ['red', 'blue'],
      ['blue', 'red'],
    ] as const)
      await put(keys.peering(of, peer), formatRecord({ tenant: of, peer, createdAt: '2026-01-01T00:00:00Z' }));
    await put(keys.tenant('green'), formatRecord(tenant('green', 44)));
    await put(keys.namespaceClaim('green'), formatRecord({ tenant: 'green' }));
    const { agent, dataplane } = await start();
    dataplane.taken = 'tnt42';
    for (const each of ['blue', 'green']) await attach(agent, each);
    const withheld = await label('blue', 43, 'one');
    await untilCovered('green', 'tenant', await label('green', 44, 'one'));
    expect(await covers('blue', 'tenant', withheld)).toBe(false);
    dataplane.taken = undefined;
    await untilCovered('blue', 'tenant', withheld);
  });
});

describe('a node that cannot make itself known', () => {
  it('says why, in STATUS and to the cluster, and registers once it can', async () => {
    await put(keys.node('node1'), '{"schema":9}');
    await put(keys.liveNode('node1'), '{"schema":1}');
    const { agent } = await start();
    await untilTold('why', (problems) => problems.some(({ kind }) => kind === 'store_refused'));
    const said = (await told()).find(({ kind }) => kind === 'store_refused');
    expect(said).toMatchObject({
      about: 'registration of the node',
      text: expect.stringContaining('nodes/node1: has schema 9'),
    });
    expect(JSON.stringify(await status(agent))).toContain('nodes/node1: has schema 9');
    await remove(keys.node('node1'));
    await waitFor(async () => (await store.get(keys.node('node1'))).entry !== undefined, { what: 'it is registered' });
    await waitFor(async () => (await status(agent)).ok, { what: 'STATUS is well' });
    await untilTold('nothing', (problems) => problems.length === 0);
    expect(timesLogged('registration of the node')).toBe(1);
  });
});
