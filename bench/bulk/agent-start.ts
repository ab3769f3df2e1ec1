/**
 * A real agent with a node's worth of work: real etcd, controller and links in a lab, 250 containers of 100 tenants on its node, ten
 * thousand endpoints on others. How long its start takes until every rule is in force, what memory it then has, and how long anybody
 * waits for it while all its containers go.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ip, run } from '../../test/lab/fabric.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { waitFor } from '../../test/lab/probe/deadline.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import { ROOT } from '../../test/lab/services.ts';
import { netnsName } from '../../test/lab/topology.ts';
import { type BenchContainer, callAgent, pingAgent } from '../agent-socket.ts';
import { inLanes } from '../in-lanes.ts';
import type { Figure, RunOptions, Summary } from '../result.ts';
import { summarise } from '../sample.ts';
import type { SeededTenant } from './remote-nodes-worker.ts';

export const AGENT = 'Tenet (agent)';
export const RESTART = 'agent started to in sync';
export const MEMORY = 'agent’s resident memory then';
const START_WITHOUT_RULES = 'the same, its rules gone';
const ADD = 'endpoint added, 8 at once';
const WAIT = 'agent’s answer while all endpoints go';
export const AGENT_OPERATIONS = [RESTART, START_WITHOUT_RULES, ADD, WAIT] as const;

const TENANTS = 100;
const REMOTE = { nodes: 5, inBlock: 20 } as const;
const NODE = 'node1';
const LANES = 8;
const IN_SYNC = 'in sync: every rule is in force';

export async function measureAgent({ quick, signal, progress }: RunOptions): Promise<Figure[]> {
  const locals = quick ? 100 : 250;
  const starts = quick ? 3 : 10;
  const lab = await startLab({ nodes: 1, signal, onProgress: progress });
  try {
    const elsewhere = TENANTS * REMOTE.nodes * REMOTE.inBlock;
    progress(`${TENANTS} tenants, ${elsewhere} endpoints elsewhere, ${locals} here`);
    const tenants = await makeTenants(lab, signal);
    await seedRemoteNodes(lab, tenants);
    const containers = await makeContainers(lab, tenants, locals);
    const figure = (operation: string, summary: Summary): Figure => ({
      operation,
      subject: AGENT,
      scale: elsewhere + locals,
      ...summary,
    });
    const adds = await addAll(lab, containers, signal);
    const kept = await startAgain(lab, starts, signal, progress, async () => undefined);
    const gone = await startAgain(lab, starts, signal, progress, () => removeRules(lab));
    progress(`${locals} endpoints deleted`);
    const waits = await deleteAll(lab, containers, signal);
    return [
      figure(RESTART, summarise(kept.startsUs, 'µs')),
      figure(START_WITHOUT_RULES, summarise(gone.startsUs, 'µs')),
      figure(MEMORY, summarise([...kept.memoryMiB, ...gone.memoryMiB], 'MiB')),
      figure(ADD, summarise(adds, 'µs')),
      figure(WAIT, summarise(waits, 'µs')),
    ];
  } finally {
    progress('taking the lab down');
    await lab.close();
  }
}

async function makeTenants(lab: Lab, signal: AbortSignal): Promise<SeededTenant[]> {
  const names = Array.from({ length: TENANTS }, (_, index) => `bench-${index}`);
  const tenants: SeededTenant[] = [];
  const make = async (name: string): Promise<void> => {
    const { status, body } = await lab.rest<{ subnets: readonly string[] }>('POST', '/v1/tenants', { name });
    if (status !== 201) throw new Error(`POST /v1/tenants: ${status} ${JSON.stringify(body)}`);
    tenants.push({ name, subnet: body.subnets[0] ?? '' });
  };
  await inLanes(names, LANES, make, signal);
  return tenants;
}

async function seedRemoteNodes(lab: Lab, tenants: readonly SeededTenant[]): Promise<void> {
  const worker = join(ROOT, 'dist/bench/bulk/remote-nodes-worker.js');
  const { etcdUrl, manage } = lab.topology;
  const inside = ['nsenter', `--net=${netnsPath(manage[0]?.netns ?? '')}`, '--'] as const;
  const args = [etcdUrl, String(REMOTE.nodes), String(REMOTE.inBlock)];
  await run([...inside, process.execPath, worker, ...args], JSON.stringify(tenants));
}

async function makeContainers(lab: Lab, tenants: readonly SeededTenant[], count: number): Promise<BenchContainer[]> {
  const containers = Array.from({ length: count }, (_, index) => ({
    id: randomBytes(32).toString('hex'),
    netns: netnsName(lab.id, `c-${index}`),
    tenant: tenants[index % tenants.length]?.name ?? '',
  }));
  await ip(
    undefined,
    containers.map(({ netns }) => `netns add ${netns}`),
  );
  return containers;
}

/** @returns what each ADD took, in microseconds */
async function addAll(lab: Lab, containers: readonly BenchContainer[], signal: AbortSignal): Promise<number[]> {
  const { agentSocket } = lab.host(NODE);
  const tookUs: number[] = [];
  const add = async (container: BenchContainer): Promise<void> => {
    const started = performance.now();
    await callAgent(agentSocket, 'ADD', container);
    tookUs.push((performance.now() - started) * 1000);
  };
  await inLanes(containers, LANES, add, signal);
  return tookUs;
}

/** @returns how long anybody who asked for the status waited meanwhile, in microseconds */
async function deleteAll(lab: Lab, containers: readonly BenchContainer[], signal: AbortSignal): Promise<number[]> {
  const { agentSocket } = lab.host(NODE);
  const waitsUs: number[] = [];
  let isDone = false;
  const asking = (async () => {
    while (!isDone) waitsUs.push(await pingAgent(agentSocket));
  })();
  try {
    await inLanes(containers, 2 * LANES, (container) => callAgent(agentSocket, 'DEL', container), signal);
  } finally {
    isDone = true;
    await asking;
  }
  return waitsUs;
}

interface Starts {
  readonly startsUs: number[];
  readonly memoryMiB: number[];
}

/** Kills the agent and starts it, so many times. @param meanwhile what happens to the node between the two */
async function startAgain(
  lab: Lab,
  times: number,
  signal: AbortSignal,
  progress: (what: string) => void,
  meanwhile: () => Promise<unknown>,
): Promise<Starts> {
  const starts: Starts = { startsUs: [], memoryMiB: [] };
  for (let time = 1; time <= times; time++) {
    progress(`start ${time} of ${times}`);
    await lab.killAgent(NODE);
    await meanwhile();
    const before = lab.logs(NODE).length;
    const started = performance.now();
    const starting = lab.startAgent(NODE, signal);
    const inSync = waitFor(() => lab.logs(NODE).includes(IN_SYNC, before), {
      what: 'the agent is in sync',
      timeoutMs: 20_000,
      everyMs: 5,
      signal,
    }).then(() => performance.now());
    const [end] = await Promise.all([inSync, starting]);
    starts.startsUs.push((end - started) * 1000);
    starts.memoryMiB.push(residentMiB(lab.pid(NODE) ?? 0));
  }
  return starts;
}

function removeRules(lab: Lab): Promise<string> {
  const inside = ['nsenter', `--net=${netnsPath(lab.host(NODE).netns)}`, '--'] as const;
  return run([...inside, 'nft', 'delete', 'table', 'inet', 'tenet']);
}

/** @see proc_pid_status(5), VmRSS, in KiB */
function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}
