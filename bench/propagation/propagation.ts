/**
 * From a REST call until every node concerned has it in its kernel and has said so (`?wait=enforced`): a real cluster of three nodes in a
 * lab, each with containers of both tenants. Beside it the same write without waiting: what is left is etcd, the agents and the kernels.
 */
import { randomBytes } from 'node:crypto';
import { ip } from '../../test/lab/fabric.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { hostFiles, netnsName } from '../../test/lab/topology.ts';
import { callAgent } from '../agent-socket.ts';
import { formatCount, formatValue } from '../format.ts';
import { inLanes } from '../in-lanes.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { summarise } from '../sample.ts';
import { installedTools } from '../tools.ts';

const NODES = 3;
const TENANTS = ['bench-a', 'bench-b'] as const;
const MANY = 1000;
const ENFORCED = `Tenet, enforced on ${NODES} nodes`;
const WRITTEN = 'the write alone, not waited for';
const EGRESS = 'internet forbidden or allowed (PATCH)';
const PEERING = 'peering begun or ended (PUT, DELETE)';
const WANTED_MEDIAN_US = 10_000;
const WANTED_P99_US = 50_000;
/** Before the first that counts, for compilers and connections. */
const WARM_UP = 10;

export const propagation: Part = {
  name: 'propagation',
  title: `From the REST call to the kernels of ${NODES} nodes, acknowledged`,
  scale: 'tenants in the cluster',
  baseline: ENFORCED,
  charts: [{ title: 'From the REST call to the answer, median', kind: 'bars', operations: [EGRESS, PEERING] }],
  run: runPropagation,
};

async function runPropagation(options: RunOptions): Promise<PartResult> {
  const { quick, signal, progress } = options;
  const lab = await startLab({ nodes: NODES, signal, onProgress: progress });
  try {
    const { controllerSocket } = hostFiles(lab.topology, lab.controllers[0]?.name ?? '');
    const client = await KeepAliveClient.connect(controllerSocket, lab.token);
    try {
      await makeScene(lab, client);
      const changes = quick ? 50 : 200;
      progress(`${TENANTS.length} tenants: ${changes} changes of each kind`);
      const few = await measure(client, TENANTS.length, changes, signal);
      progress(`${MANY} tenants are made`);
      await makeTenants(lab, MANY - TENANTS.length, controllerSocket, signal);
      progress(`${MANY} tenants: ${changes} changes of each kind`);
      const many = await measure(client, MANY, changes, signal);
      const figures = [...few, ...many];
      return { figures, targets: judge(figures), tools: installedTools(['etcd']), skipped: [] };
    } finally {
      client.close();
    }
  } finally {
    progress('taking the lab down');
    await lab.close();
  }
}

/** Both tenants, a container of each on every node, and one half of the peering. */
async function makeScene(lab: Lab, client: KeepAliveClient): Promise<void> {
  for (const name of TENANTS) await expectAnswer(client, 'POST', '/v1/tenants', { name });
  const [asking, asked] = TENANTS;
  await expectAnswer(client, 'PUT', `/v1/tenants/${asked}/peerings/${asking}`);
  for (const { name, agentSocket } of lab.hosts) {
    for (const tenant of TENANTS) {
      const netns = netnsName(lab.id, `c-${name}-${tenant}`);
      await ip(undefined, [`netns add ${netns}`]);
      await callAgent(agentSocket, 'ADD', { id: randomBytes(32).toString('hex'), netns, tenant });
    }
  }
}

async function makeTenants(lab: Lab, count: number, socket: string, signal: AbortSignal): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `other-${index}`);
  const free: KeepAliveClient[] = [];
  try {
    for (let lane = 0; lane < 16; lane++) free.push(await KeepAliveClient.connect(socket, lab.token));
    const clients = [...free];
    const make = async (name: string): Promise<void> => {
      const client = clients.pop();
      if (client === undefined) throw new Error('more at once than clients');
      await expectAnswer(client, 'POST', '/v1/tenants', { name });
      clients.push(client);
    };
    await inLanes(names, free.length, make, signal);
  } finally {
    for (const client of free) client.close();
  }
}

/** One change, which the next of its kind takes back. */
interface Change {
  readonly operation: string;
  readonly method: 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: object;
}

const [OWN, PEER] = TENANTS;
const tenantPath = `/v1/tenants/${OWN}`;
const peeringPath = `${tenantPath}/peerings/${PEER}`;
const CHANGES: readonly Change[] = [
  { operation: EGRESS, method: 'PATCH', path: tenantPath, body: { egress: { internet: false } } },
  { operation: EGRESS, method: 'PATCH', path: tenantPath, body: { egress: { internet: true } } },
  { operation: PEERING, method: 'PUT', path: peeringPath },
  { operation: PEERING, method: 'DELETE', path: peeringPath },
];

/** Both subjects take turns. @param times changes of each kind */
async function measure(
  client: KeepAliveClient,
  tenants: number,
  times: number,
  signal: AbortSignal,
): Promise<Figure[]> {
  const tookUs = new Map<string, Map<string, number[]>>();
  const rounds = Math.ceil((times + WARM_UP) / 2);
  for (let round = 0; round < rounds; round++) {
    for (const subject of [ENFORCED, WRITTEN]) {
      for (const change of CHANGES) {
        signal.throwIfAborted();
        const us = subject === ENFORCED ? await enforce(client, change) : await write(client, change);
        if (round * 2 < WARM_UP) continue;
        const ofOperation = tookUs.get(change.operation) ?? new Map<string, number[]>();
        tookUs.set(change.operation, ofOperation);
        ofOperation.set(subject, [...(ofOperation.get(subject) ?? []), us]);
      }
      // What nobody waited for must not run into what is timed next.
      if (subject === WRITTEN) for (const change of CHANGES) await enforce(client, change);
    }
  }
  return [...tookUs].flatMap(([operation, ofOperation]) =>
    Array.from(
      ofOperation,
      ([subject, us]): Figure => ({
        operation,
        subject,
        scale: tenants,
        ...summarise(us, 'µs'),
      }),
    ),
  );
}

/** @returns microseconds @throws Error unless all nodes have it */
async function enforce(client: KeepAliveClient, { method, path, body }: Change): Promise<number> {
  const started = performance.now();
  const answer = await client.call(method, `${path}?wait=enforced&timeout=10s`, body);
  const us = (performance.now() - started) * 1000;
  const { status } = JSON.parse(answer.body || '{}') as {
    status?: { enforced?: boolean; nodes?: readonly { readonly enforcedAt?: string }[] };
  };
  const acknowledged = status?.nodes?.filter(({ enforcedAt }) => enforcedAt !== undefined).length;
  if (status?.enforced !== true || acknowledged !== NODES)
    throw new Error(`${method} ${path}: ${answer.status}, not enforced on ${NODES} nodes: ${answer.body}`);
  return us;
}

/** @returns microseconds */
async function write(client: KeepAliveClient, { method, path, body }: Change): Promise<number> {
  const started = performance.now();
  await expectAnswer(client, method, path, body);
  return (performance.now() - started) * 1000;
}

async function expectAnswer(client: KeepAliveClient, method: string, path: string, body?: object): Promise<void> {
  const answer = await client.call(method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
}

function judge(figures: readonly Figure[]): Target[] {
  return figures
    .filter(({ subject }) => subject === ENFORCED)
    .flatMap(({ operation, scale, value, p99 = Number.NaN }): Target[] => {
      const what = `${operation}, ${formatCount(scale)} tenants`;
      return [target(`${what}, median`, WANTED_MEDIAN_US, value), target(`${what}, p99`, WANTED_P99_US, p99)].filter(
        ({ measured }) => measured !== '–',
      );
    });
}

function target(what: string, wantedUs: number, us: number): Target {
  return { what, wanted: `≤ ${formatValue(wantedUs, 'µs')}`, measured: formatValue(us, 'µs'), met: us <= wantedUs };
}
