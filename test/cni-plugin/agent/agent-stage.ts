/** The whole agent on a store and a kernel in memory, as its tests make it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach } from 'vitest';
import { Agent, type AgentOptions } from '../../../cni-plugin/agent/agent.ts';
import { Journal } from '../../../cni-plugin/agent/endpoints/journal.ts';
import { ClusterView } from '../../../cni-plugin/agent/watch/cluster-view.ts';
import type { AgentRequest, AgentResponse, CniCommand } from '../../../cni-plugin/agent-protocol.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Tenant } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { ERRNO, KernelError } from '../../../dataplane/errors.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import { type Gate, gate } from '../gate.ts';
import { entries, facts, tenant } from './builders.ts';

export const log = pino({ level: 'silent' });
export const red = tenant('red', 42);
export const signal = new AbortController().signal;
export const originalNeed = ClusterView.prototype.need;

export let dir: string;
export let store: MemoryStore;
export const running: Agent[] = [];
export const held: Gate[] = [];

/** A store and a folder anew for each test, and an end to all agents after it. */
export function useStage(): void {
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
}

/** An agent that has not started yet, on a kernel of its own unless given one. */
export function create(node = 'node1', dataplane = new FakeDataplane(), tweak: Partial<AgentOptions> = {}) {
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

export async function start(node?: string, dataplane?: FakeDataplane) {
  const made = create(node, dataplane);
  await made.agent.start();
  return made;
}

/** A kernel that takes no link away before it is told to. */
export class SlowDataplane extends FakeDataplane {
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

export async function startSlow() {
  const dataplane = new SlowDataplane();
  const kernelGoesOn = dataplane.going.open;
  held.push(dataplane.going);
  const { agent, journal } = create('node1', dataplane);
  await agent.start();
  return { agent, dataplane, journal, kernelGoesOn };
}

export function request(command: CniCommand, pod: string, tweak: Partial<AgentRequest> = {}): AgentRequest {
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

export function addressOf(response: AgentResponse): string {
  if (!response.ok || response.result === undefined) throw new Error(`refused: ${JSON.stringify(response)}`);
  return response.result.ips[0]?.address ?? '';
}

export async function stored(prefix: string): Promise<string[]> {
  return (await store.list(prefix)).entries.map(({ key }) => key);
}

export async function setTenant(changed: Tenant): Promise<void> {
  await store.commit([], [{ kind: 'put', key: keys.tenant(changed.name), value: formatRecord(changed) }]);
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within 15 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
