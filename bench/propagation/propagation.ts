/**
 * From a REST call about tenants until every node concerned has it in its kernel and has said so: a real cluster of three nodes in a lab,
 * each with containers of both tenants.
 */
import { randomBytes } from 'node:crypto';
import { ip } from '../../test/lab/fabric.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { netnsName } from '../../test/lab/topology.ts';
import { callAgent } from '../agent-socket.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import type { Part, PartResult, RunOptions } from '../result.ts';
import { installedTools } from '../tools.ts';
import {
  type Change,
  controllerSocket,
  ENFORCED,
  expectAnswer,
  judgeChanges,
  makeMany,
  measureChanges,
  NODES,
} from './changes.ts';

const TENANTS = ['bench-a', 'bench-b'] as const;
const MANY = 1000;
const EGRESS = 'internet forbidden or allowed (PATCH)';
const PEERING = 'peering begun or ended (PUT, DELETE)';

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
    const client = await KeepAliveClient.connect(controllerSocket(lab), lab.token);
    try {
      await makeScene(lab, client);
      const times = quick ? 50 : 200;
      progress(`${TENANTS.length} tenants: ${times} changes of each kind`);
      const few = await measureChanges(client, CHANGES, { scale: TENANTS.length, times, signal });
      progress(`${MANY} tenants are made`);
      await makeTenants(lab, MANY - TENANTS.length, signal);
      progress(`${MANY} tenants: ${times} changes of each kind`);
      const many = await measureChanges(client, CHANGES, { scale: MANY, times, signal });
      const figures = [...few, ...many];
      return { figures, targets: judgeChanges(figures, 'tenants'), tools: installedTools(['etcd']), skipped: [] };
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

function makeTenants(lab: Lab, count: number, signal: AbortSignal): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `other-${index}`);
  return makeMany(lab, names, (client, name) => expectAnswer(client, 'POST', '/v1/tenants', { name }), signal);
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
