/**
 * The plan of a lab: which hosts, their names, namespaces and addresses, and where its files lie. Pure: everything follows from the id
 * and the numbers wanted, so that a lab half built can be found and taken down.
 *
 *   manage1..M  192.168.9.1 ..   ┐
 *   node1..N    192.168.9.11 ..  ├ eth0 ── fab0, 192.168.9.254 (fabric) ── 198.51.100.1 ── eth0  outside, 198.51.100.10
 *   gw1..G      192.168.9.211 .. ┘
 */

import type { PluginKind } from './plugin-call.ts';

export type HostRole = 'manage' | 'compute' | 'gateway';

export interface Host {
  readonly name: string;
  readonly role: HostRole;
  /** name of its network namespace */
  readonly netns: string;
  readonly underlay: string;
  /** of its link `eth0` */
  readonly mac: string;
}

export interface LabOptions {
  /** compute nodes, 2 unless given */
  readonly nodes?: number;
  /** manage nodes with a controller each, 1 unless given */
  readonly controllers?: number;
  /** none unless given */
  readonly gateways?: number;
  /** of the agents, `auto` unless given */
  readonly backend?: string;
  /** of all agents, beside those that every lab has */
  readonly agentFlags?: readonly string[];
  /** of etcd, likewise */
  readonly etcdFlags?: readonly string[];
  /** how the CNI plugin is called; `binary` unless given */
  readonly plugin?: PluginKind;
  /** lower-case letters and digits, 8 at most; a random one unless given */
  readonly id?: string;
  /** ends the building of a lab; what was built is taken down */
  readonly signal?: AbortSignal;
  /** one line for each step */
  readonly onProgress?: (line: string) => void;
}

export interface Topology {
  readonly id: string;
  /** holds all files of the lab, mode 0700 */
  readonly dir: string;
  readonly fabric: { readonly netns: string };
  readonly manage: readonly Host[];
  readonly compute: readonly Host[];
  readonly gateways: readonly Host[];
  readonly outside: { readonly netns: string; readonly address: string; readonly intruderAddress: string };
  readonly etcdUrl: string;
  readonly backend: string;
  readonly agentFlags: readonly string[];
  readonly etcdFlags: readonly string[];
  readonly plugin: PluginKind;
}

/** Folder of all labs of this machine. */
export const LABS_DIR = '/run/tenet-lab';
export const UNDERLAY = { network: '192.168.9.0/24', router: '192.168.9.254', prefixLength: 24 } as const;
/** `address` has a way back to the hosts alone; `intruder` also to containers, to attack them from (see Lab.exposeToOutside). */
export const OUTSIDE = {
  router: '198.51.100.1',
  address: '198.51.100.10',
  intruder: '198.51.100.11',
  prefixLength: 24,
} as const;
/** Where clouds answer with a machine's secrets; the fabric has it, so that reaching it would show. */
export const METADATA_ADDRESS = '169.254.169.254';

const FIRST_HOST = { manage: 1, compute: 11, gateway: 211, stranger: 231 } as const;
const MOST = { manage: 9, compute: 199, gateway: 19, stranger: 20 } as const;

/** Fit for names of namespaces and folders. */
export const isLabId = (text: string): boolean => /^[a-z0-9]{1,8}$/.test(text);

/** @throws RangeError for numbers that do not fit the underlay, or an id that names would not bear */
export function planLab(id: string, options: LabOptions): Topology {
  if (!isLabId(id))
    throw new RangeError(`a lab's id is 1 to 8 lower-case letters and digits, not ${JSON.stringify(id)}`);
  const hosts = (role: HostRole, prefix: string, count: number): Host[] => {
    const least = role === 'manage' ? 1 : 0;
    if (!Number.isInteger(count) || count < least || count > MOST[role])
      throw new RangeError(`${role} nodes: ${least} to ${MOST[role]}, not ${count}`);
    return Array.from({ length: count }, (_, index) => planHost(id, role, `${prefix}${index + 1}`, index));
  };
  const manage = hosts('manage', 'manage', options.controllers ?? 1);
  return {
    id,
    dir: `${LABS_DIR}/${id}`,
    fabric: { netns: netnsName(id, 'fabric') },
    manage,
    compute: hosts('compute', 'node', options.nodes ?? 2),
    gateways: hosts('gateway', 'gw', options.gateways ?? 0),
    outside: { netns: netnsName(id, 'outside'), address: OUTSIDE.address, intruderAddress: OUTSIDE.intruder },
    etcdUrl: `http://192.168.9.${FIRST_HOST.manage}:2379`,
    agentFlags: options.agentFlags ?? [],
    etcdFlags: options.etcdFlags ?? [],
    backend: options.backend ?? process.env.TENET_LAB_BACKEND ?? 'auto',
    plugin: options.plugin ?? (process.env.TENET_LAB_PLUGIN === 'in-process' ? 'in-process' : 'binary'),
  };
}

function planHost(id: string, role: HostRole, name: string, index: number): Host {
  const last = FIRST_HOST[role] + index;
  return { name, role, netns: netnsName(id, name), underlay: `192.168.9.${last}`, mac: underlayMac(last) };
}

/** @param index 0 for the first @throws RangeError beyond the twentieth */
export function planStranger(id: string, index: number): Omit<Host, 'role'> {
  if (index >= MOST.stranger) throw new RangeError(`strangers: ${MOST.stranger} at most`);
  const last = FIRST_HOST.stranger + index;
  const name = `stranger${index + 1}`;
  return { name, netns: netnsName(id, name), underlay: `192.168.9.${last}`, mac: underlayMac(last) };
}

/** Locally administered, and unlike any MAC of Tenet's overlays. */
function underlayMac(last: number): string {
  return `06:7e:4e:7a:09:${last.toString(16).padStart(2, '0')}`;
}

/** What every namespace of a lab begins with. */
export const netnsPrefix = (id: string): string => `tl${id}-`;

export function netnsName(id: string, name: string): string {
  return `${netnsPrefix(id)}${name}`;
}

/** Hosts that run an agent. */
export function agentHosts(topology: Topology): readonly Host[] {
  return [...topology.compute, ...topology.gateways];
}

/** Paths of one host's files. */
export function hostFiles({ dir }: Topology, name: string) {
  return {
    stateDir: `${dir}/${name}`,
    agentSocket: `${dir}/${name}/agent.sock`,
    cniConf: `${dir}/${name}/tenet.conflist`,
    controllerSocket: `${dir}/${name}.sock`,
    log: `${dir}/logs/${name}.log`,
  } as const;
}

export const tokenFile = ({ dir }: Pick<Topology, 'dir'>): string => `${dir}/token`;
