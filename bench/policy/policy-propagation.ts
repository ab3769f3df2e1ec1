/**
 * From a REST call about a policy until every node has it in its kernel and has said so: a lab of three nodes, a tenant with containers on
 * each, with ten policies and with a thousand.
 */
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import {
  type Change,
  controllerSocket,
  expectAnswer,
  makeMany,
  measureChanges,
  NODES,
} from '../propagation/changes.ts';
import type { Figure, RunOptions } from '../result.ts';

export const MADE = 'policy made (PUT)';
export const REPLACED = 'policy replaced (PUT)';
export const DELETED = 'policy deleted (DELETE)';

const TENANT = 'bench';
const FEW = 10;
const MANY = 1_000;
/** Containers have the labels of the first ones. */
const APPS = 200;
const LOCALS = 4;

/** Policies are counted with the one that changes. */
export async function measurePropagation({ quick, signal, progress }: RunOptions): Promise<Figure[]> {
  const lab = await startLab({ nodes: NODES, signal, onProgress: progress });
  try {
    const client = await KeepAliveClient.connect(controllerSocket(lab), lab.token);
    try {
      await makeScene(lab, client);
      const times = quick ? 30 : 200;
      await makePolicies(lab, 1, FEW, signal);
      progress(`${FEW} policies: ${times} changes of each kind`);
      const few = await measureChanges(client, CHANGES, { scale: FEW, times, signal });
      progress(`${MANY} policies are made`);
      await makePolicies(lab, FEW, MANY, signal);
      progress(`${MANY} policies: ${times} changes of each kind`);
      const many = await measureChanges(client, CHANGES, { scale: MANY, times, signal });
      return [...few, ...many];
    } finally {
      client.close();
    }
  } finally {
    progress('taking the lab down');
    await lab.close();
  }
}

async function makeScene(lab: Lab, client: KeepAliveClient): Promise<void> {
  await expectAnswer(client, 'POST', '/v1/tenants', { name: TENANT });
  for (const { name } of lab.hosts) {
    for (let index = 0; index < LOCALS; index++) {
      await lab.attach(name, { name: `${name}-${index}`, tenant: TENANT, labels: { app: appName(index) } });
    }
  }
}

/** @param from of the first, `to` of the one after the last */
function makePolicies(lab: Lab, from: number, to: number, signal: AbortSignal): Promise<void> {
  const indexes = Array.from({ length: to - from }, (_, index) => from + index);
  const make = (client: KeepAliveClient, index: number) =>
    expectAnswer(client, 'PUT', pathOf(`p-${index}`), specOf(index));
  return makeMany(lab, indexes, make, signal);
}

function pathOf(name: string): string {
  return `/v1/tenants/${TENANT}/namespaces/${TENANT}/policies/${name}`;
}

function appName(index: number): string {
  return `app-${index % APPS}`;
}

/** Each app is let in by another; every fourth may call a network too. */
function specOf(index: number) {
  const podSelector = { matchLabels: { app: appName(index) } };
  const from = [{ podSelector: { matchLabels: { app: appName(index + 1) } } }];
  const ingress = [{ from, ports: [{ protocol: 'TCP', port: 1024 + index, endPort: 1124 + index }] }];
  if (index % 4 > 0) return { podSelector, policyTypes: ['Ingress'], ingress };
  const ipBlock = { cidr: `20.${index % 256}.0.0/16`, except: [`20.${index % 256}.8.0/24`] };
  return { podSelector, policyTypes: ['Ingress', 'Egress'], ingress, egress: [{ to: [{ ipBlock }] }] };
}

/** Of every app on every node, from one of them. */
function changed(port: number) {
  const from = [{ podSelector: { matchLabels: { app: appName(1) } } }];
  return { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from, ports: [{ protocol: 'TCP', port }] }] };
}

const CHANGES: readonly Change[] = [
  { operation: MADE, method: 'PUT', path: pathOf('changed'), body: changed(80) },
  { operation: REPLACED, method: 'PUT', path: pathOf('changed'), body: changed(443) },
  { operation: DELETED, method: 'DELETE', path: pathOf('changed') },
];
