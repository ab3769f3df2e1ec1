/** Requests straight to an agent's socket, as the CNI binary makes them, without a process for each. Knows one line each way. */
import { createConnection } from 'node:net';
import type { AgentRequest, AgentResponse, CniResult } from '../cni-plugin/agent-protocol.ts';
import { netnsPath } from '../test/lab/probe/netns-path.ts';

const TIMEOUT_MS = 30_000;

/** One container's interface, and whose it is. */
export interface BenchContainer {
  readonly id: string;
  /** name of its network namespace */
  readonly netns: string;
  readonly tenant: string;
}

/** @throws Error with the agent's words */
export async function callAgent(
  socket: string,
  command: 'ADD' | 'DEL',
  { id, netns, tenant }: BenchContainer,
): Promise<CniResult | undefined> {
  const response = await askAgent(socket, {
    command,
    containerId: id,
    netns: netnsPath(netns),
    ifname: 'eth0',
    args: { IgnoreUnknown: '1', K8S_POD_NAME: id.slice(0, 12) },
    config: { cniVersion: '1.0.0', name: 'tenet', type: 'tenet', args: { cni: { tenant } } },
  });
  if (!response.ok) throw new Error(`${command}: ${response.error.msg} (code ${response.error.code})`);
  return response.result;
}

/** How long the agent takes for what it answers at once: longer, and its event loop was busy. @returns microseconds */
export async function pingAgent(socket: string): Promise<number> {
  const config = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet' };
  const started = performance.now();
  await askAgent(socket, { command: 'STATUS', containerId: '', netns: '', ifname: '', args: {}, config });
  return (performance.now() - started) * 1000;
}

function askAgent(path: string, request: AgentRequest): Promise<AgentResponse> {
  return new Promise((resolve, reject) => {
    let heard = '';
    const socket = createConnection(path, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`${path} does not answer`)));
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
      if (!heard.endsWith('\n')) return;
      socket.end();
      resolve(JSON.parse(heard) as AgentResponse);
    });
    socket.on('error', reject).on('close', () => reject(new Error(`${path} closed without an answer`)));
  });
}
