/**
 * Containers without a container: an empty network namespace that the CNI plugin is called for, with the environment and stdin that a
 * runtime gives it. Knows the CNI protocol's outside alone.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CniErrorBody, CniResult } from '../../cni-plugin/agent-protocol.ts';
import { callBinary, callInProcess, type PluginKind } from './plugin-call.ts';
import { netnsPath } from './probe/netns-path.ts';

/** What a runtime knows of a node's network. */
export interface CniHost {
  readonly name: string;
  /** of the host itself */
  readonly netns: string;
  readonly cniBin: string;
  /** path of a .conflist */
  readonly cniConf: string;
  readonly plugin: PluginKind;
}

export interface AttachOptions {
  /** `K8S_POD_NAMESPACE` */
  readonly namespace?: string;
  /** `args.cni.tenant` */
  readonly tenant?: string;
  /** `K8S_POD_NAME`; a random one unless given */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly protocol?: string }[];
  /** wanted, by `runtimeConfig.ips` */
  readonly ip?: string;
  /** wanted, by `runtimeConfig.mac` */
  readonly mac?: string;
  /** `eth0` unless given */
  readonly ifname?: string;
  readonly containerId?: string;
}

export interface Attachment {
  readonly host: CniHost;
  readonly id: string;
  /** name of the container's namespace */
  readonly netns: string;
  readonly ifname: string;
  readonly options: AttachOptions;
}

export interface Container extends Attachment {
  readonly name: string;
  /** its first address */
  readonly ip: string;
  readonly mac: string;
  /** in the form of the configuration's CNI version */
  readonly result: CniResult;
}

/** The plugin said no; `code` is its number. @see CNI spec 1.1.0, section 5, "Error" */
export class CniFailure extends Error {
  readonly code: number;
  readonly details: string | undefined;
  constructor(verb: string, body: CniErrorBody) {
    super(`${verb}: ${body.msg}${body.details ? `; ${body.details}` : ''} (code ${body.code})`);
    this.code = body.code;
    this.details = body.details;
  }
}

/** As runtimes make them. */
export const newContainerId = (): string => randomBytes(32).toString('hex');

/** The list written for each host, as an administrator puts it into /etc/cni/net.d. */
export function formatConflist(agentSocket: string): string {
  const plugin = { type: 'tenet', agentSocket, capabilities: { ips: true, mac: true } };
  return `${JSON.stringify({ cniVersion: '1.0.0', name: 'tenet', plugins: [plugin] }, undefined, 2)}\n`;
}

interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly { readonly capabilities?: Readonly<Record<string, boolean>> }[];
}

/** What a runtime makes of the list's first plugin. @see CNI spec 1.1.0, section 4, "Deriving execution configuration" */
export function deriveConfig(conflist: string, options: AttachOptions, prevResult?: unknown): object {
  const { cniVersion, name, plugins } = JSON.parse(conflist) as Conflist;
  const { capabilities = {}, ...plugin } = plugins[0] ?? {};
  const { tenant, labels, ports, ip, mac } = options;
  const cni = {
    ...(tenant !== undefined && { tenant }),
    ...(labels && { labels: Object.entries(labels).map(([key, value]) => ({ key, value })) }),
    ...(ports && { ports }),
  };
  const runtimeConfig = {
    ...(capabilities.ips && ip !== undefined && { ips: [ip] }),
    ...(capabilities.mac && mac !== undefined && { mac }),
  };
  return {
    ...plugin,
    cniVersion,
    name,
    ...(Object.keys(cni).length > 0 && { args: { cni } }),
    ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig }),
    ...(prevResult !== undefined && { prevResult }),
  };
}

/** ADD. @throws CniFailure */
export async function cniAdd(attachment: Attachment): Promise<Container> {
  const result = JSON.parse(await callPlugin('ADD', attachment)) as CniResult;
  const sandbox = result.interfaces.find((each) => each.sandbox !== undefined && each.name === attachment.ifname);
  const ip = result.ips[0]?.address.split('/')[0];
  if (sandbox === undefined || ip === undefined)
    throw new Error(`ADD: a result without an address or a link ${attachment.ifname}: ${JSON.stringify(result)}`);
  return { ...attachment, name: attachment.options.name ?? attachment.id, ip, mac: sandbox.mac, result };
}

/** CHECK. @throws CniFailure if it is not as ADD left it */
export async function cniCheck(container: Container): Promise<void> {
  await callPlugin('CHECK', container, container.result);
}

/** DEL. @throws CniFailure */
export async function cniDel(attachment: Attachment, prevResult?: CniResult): Promise<void> {
  await callPlugin('DEL', attachment, prevResult);
}

/** @returns stdout */
async function callPlugin(
  verb: 'ADD' | 'CHECK' | 'DEL',
  attachment: Attachment,
  prevResult?: unknown,
): Promise<string> {
  const { host, id, ifname, netns, options } = attachment;
  const args = { IgnoreUnknown: '1', K8S_POD_NAMESPACE: options.namespace, K8S_POD_NAME: options.name };
  const pairs = Object.entries(args).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
  const call = {
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: id,
      CNI_NETNS: netnsPath(netns),
      CNI_IFNAME: ifname,
      CNI_ARGS: pairs.join(';'),
      CNI_PATH: host.cniBin.slice(0, host.cniBin.lastIndexOf('/')),
    },
    stdin: JSON.stringify(deriveConfig(readFileSync(host.cniConf, 'utf8'), options, prevResult)),
  };
  const { stdout, stderr, exitCode } =
    host.plugin === 'binary' ? await callBinary(host.netns, host.cniBin, call) : await callInProcess(call);
  if (exitCode === 0) return stdout;
  throw failureOf(verb, exitCode, stdout, stderr);
}

function failureOf(verb: string, code: number | null, stdout: string, stderr: string): Error {
  try {
    return new CniFailure(verb, JSON.parse(stdout) as CniErrorBody);
  } catch (cause) {
    return new Error(`${verb}: the plugin ended with ${code} and no error on stdout: ${stdout}${stderr}`, { cause });
  }
}
