/**
 * What runs in a lab: the command line of etcd, controllers, agents and the forwarder, and how to tell that each is ready. Starts
 * nothing itself and keeps no state.
 */
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { AgentRequest, AgentResponse } from '../../cni-plugin/agent-protocol.ts';
import { Prober } from './probe/prober.ts';
import { type Host, hostFiles, type Topology, tokenFile, UNDERLAY } from './topology.ts';

type Command = readonly [string, ...string[]];

const ANSWER_TIMEOUT_MS = 10_000;

/** The checkout, whether this file runs from it or from its build. */
export const ROOT = findRoot(import.meta.dirname);
export const CNI_BIN = join(ROOT, 'dist/bin/tenet');

function findRoot(start: string): string {
  for (let dir = start; dir !== dirname(dir); dir = dirname(dir))
    if (existsSync(join(dir, 'package-lock.json'))) return dir;
  throw new Error(`${start} is in no checkout of Tenet`);
}

const built = (path: string): string => join(ROOT, 'dist', path);

/** @throws Error naming what `npm run setup` would build */
export function checkBuilt(): void {
  const needed = ['controller/main.js', 'cni-plugin/agent/main.js', 'bin/tenet', 'test/lab/forwarder-worker.js'];
  const missing = needed.map(built).filter((path) => !existsSync(path));
  if (missing.length > 0) throw new Error(`not built: ${missing.join(', ')}; run: npm run setup`);
}

/** Loses data only with the machine's power, and a lab's data is not worth an fsync. */
export function etcdCommand({ dir, etcdUrl, etcdFlags }: Topology): Command {
  const peer = 'http://127.0.0.1:2380';
  return [
    'etcd',
    '--name=manage1',
    `--data-dir=${dir}/etcd`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=manage1=${peer}`,
    '--unsafe-no-fsync',
    '--logger=zap',
    '--log-level=warn',
    ...etcdFlags,
  ];
}

export function controllerCommand(topology: Topology, { name }: Host): Command {
  const { controllerSocket } = hostFiles(topology, name);
  return [
    process.execPath,
    built('controller/main.js'),
    ...['--name', name, '--etcd', topology.etcdUrl, '--listen', `unix:${controllerSocket}`],
    ...['--token-file', tokenFile(topology), '--platform-network', UNDERLAY.network, '--log-level', 'info'],
  ];
}

export function agentCommand(topology: Topology, { name, role }: Host, backend = topology.backend): Command {
  const { stateDir, agentSocket } = hostFiles(topology, name);
  return [
    process.execPath,
    built('cni-plugin/agent/main.js'),
    ...['--node', name, '--role', role, '--etcd', topology.etcdUrl, '--state-dir', stateDir],
    ...['--socket', agentSocket, '--underlay-interface', 'eth0', '--backend', backend],
    ...topology.agentFlags,
  ];
}

export function forwarderCommand(topology: Topology): Command {
  const targets = topology.manage.map(({ name }) => `${name}=${hostFiles(topology, name).controllerSocket}`);
  return [process.execPath, built('test/lab/forwarder-worker.js'), ...targets];
}

/** Does etcd answer on its underlay address, and does it have a leader? Asked from its own namespace. */
export async function isEtcdReady({ netns, underlay }: Host): Promise<boolean> {
  const socket = new Prober(netns).tcpSocket({ address: underlay, port: 2379 });
  const { status, body } = await get(socket, '/health');
  return status === 200 && body.includes('"true"');
}

/** Does the controller say that it can serve? */
export async function isControllerReady(topology: Topology, { name }: Host): Promise<boolean> {
  const { status } = await get(createConnection(hostFiles(topology, name).controllerSocket), '/readyz');
  return status === 200;
}

function get(socket: Socket, path: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const asked = request({
      path,
      createConnection: () => socket,
      signal,
      headers: { host: 'lab', connection: 'close' },
    });
    asked.on('error', reject).on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('error', reject).on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.end();
  });
}

/** Does the agent say, to the CNI verb STATUS, that it would serve an ADD? */
export async function isAgentReady(agentSocket: string): Promise<boolean> {
  const config = { cniVersion: '1.1.0', name: 'tenet', type: 'tenet' };
  const status: AgentRequest = { command: 'STATUS', containerId: '', netns: '', ifname: '', args: {}, config };
  const answer = await askLine(agentSocket, JSON.stringify(status));
  return (JSON.parse(answer) as AgentResponse).ok;
}

function askLine(socketPath: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => socket.write(`${line}\n`));
    let heard = '';
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error(`${socketPath} does not answer`)));
    socket.setEncoding('utf8').on('data', (text) => {
      heard += text;
      if (heard.includes('\n')) socket.end();
    });
    socket.on('error', reject).on('close', () => {
      if (heard.includes('\n')) resolve(heard.slice(0, heard.indexOf('\n')));
      else reject(new Error(`${socketPath} closed without an answer`));
    });
  });
}

/** @returns the forwarder's ports once it has told them */
export function readPorts(topology: Topology): Readonly<Record<string, number>> | undefined {
  const line = readFileSync(hostFiles(topology, 'forwarder').log, 'utf8').match(/^\{"ports":.*\}$/m)?.[0];
  return line === undefined ? undefined : (JSON.parse(line) as { ports: Record<string, number> }).ports;
}

/** The last lines of a log, for an error message. */
export function logTail(topology: Topology, name: string, lines = 15): string {
  try {
    return readFileSync(hostFiles(topology, name).log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}
