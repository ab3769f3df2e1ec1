/**
 * The CNI binary called as a runtime might in its worst hours: killed half-way, without a namespace, with a verb of any kind. Hands back
 * whatever it answered; the plain calls are test/lab/container.ts's.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Attachment, type Container, deriveConfig, newContainerId } from '../../lab/container.ts';
import { ip } from '../../lab/fabric.ts';
import type { Lab } from '../../lab/lab.ts';
import { addNetns } from '../../lab/named-netns.ts';
import { netnsPath } from '../../lab/probe/netns-path.ts';
import { netnsName } from '../../lab/topology.ts';
import { PLUGIN } from './backend.ts';

export interface PluginCall {
  readonly verb: 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'VERSION' | 'GC';
  /** CNI_NETNS; the attachment's unless given */
  readonly netnsPath?: string;
  readonly prevResult?: unknown;
  /** keys of the network configuration to add or replace */
  readonly config?: object;
  /** SIGKILL so long after the start */
  readonly killAfterMs?: number;
}

export interface PluginAnswer {
  /** undefined: killed */
  readonly exitCode: number | undefined;
  /** what stood on stdout, if anything: a result or an error */
  readonly body: { readonly code?: number; readonly msg?: string; readonly details?: string } | undefined;
}

let made = 0;

/** A container's namespace that nothing was attached to yet. */
export function makeAttachment(lab: Lab, node: string, tenant: string): Attachment {
  const id = newContainerId();
  const netns = netnsName(lab.id, `p-${++made}-${id.slice(0, 4)}`);
  addNetns(netns);
  return { host: { ...lab.host(node), plugin: PLUGIN }, id, netns, ifname: 'eth0', options: { tenant } };
}

/** Runs one command of iproute2's inside a container. */
export function insideContainer({ netns }: Pick<Container, 'netns'>, ...commands: string[]): Promise<string> {
  return ip(netns, commands);
}

export async function callPlugin(attachment: Attachment, call: PluginCall): Promise<PluginAnswer> {
  const { host, id, ifname, netns, options } = attachment;
  const isAboutContainer = call.verb === 'ADD' || call.verb === 'DEL' || call.verb === 'CHECK';
  const child = spawn('nsenter', [`--net=${netnsPath(host.netns)}`, '--', host.cniBin], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      CNI_COMMAND: call.verb,
      CNI_PATH: host.cniBin.slice(0, host.cniBin.lastIndexOf('/')),
      ...(isAboutContainer && {
        CNI_CONTAINERID: id,
        CNI_NETNS: call.netnsPath ?? netnsPath(netns),
        CNI_IFNAME: ifname,
        CNI_ARGS: 'IgnoreUnknown=1',
      }),
    },
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stdin.on('error', () => undefined);
  const config = { ...deriveConfig(readFileSync(host.cniConf, 'utf8'), options, call.prevResult), ...call.config };
  child.stdin.end(JSON.stringify(config));
  const timer = call.killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), call.killAfterMs);
  const exitCode = await new Promise<number | undefined>((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve(code ?? undefined));
  });
  clearTimeout(timer);
  return { exitCode, body: stdout === '' || exitCode === undefined ? undefined : JSON.parse(stdout) };
}
