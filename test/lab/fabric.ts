/**
 * Namespaces and links of a lab, made with iproute2: the fabric's bridge, a veth to each host, the world outside. Touches nothing but
 * namespaces named for the lab. What Tenet does inside the hosts is not its business.
 */
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { withNetns } from '../../dataplane/system/netns.ts';
import { deleteNetns } from './named-netns.ts';
import { netnsPath } from './probe/netns-path.ts';
import { agentHosts, type Host, METADATA_ADDRESS, netnsPrefix, OUTSIDE, type Topology, UNDERLAY } from './topology.ts';

/** Runs `ip` with commands on its stdin, all or up to the first that fails. @throws Error with its words */
export function ip(netns: string | undefined, commands: readonly string[]): Promise<string> {
  return run(['ip', ...(netns ? ['-n', netns] : []), '-batch', '-'], `${commands.join('\n')}\n`);
}

/** @returns stdout @throws Error with the command's words when it fails */
export function run(command: readonly [string, ...string[]], stdin = ''): Promise<string> {
  const [file, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined).end(stdin);
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${command.join(' ')} ended with ${code}: ${stderr.trim()}\n${stdin}`.trim()));
    });
  });
}

/** Makes all of it; on failure leaves what there is for {@link removeNamespaces}. */
export async function buildFabric(topology: Topology): Promise<void> {
  const hosts = [...topology.manage, ...agentHosts(topology)];
  const { fabric, outside } = topology;
  await ip(
    undefined,
    [fabric.netns, outside.netns, ...hosts.map(({ netns }) => netns)].map((name) => `netns add ${name}`),
  );
  withNetns(netnsPath(fabric.netns), () => {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    // A redirect would tell a host of a shorter way round the fabric.
    writeFileSync('/proc/sys/net/ipv4/conf/all/send_redirects', '0');
    writeFileSync('/proc/sys/net/ipv4/conf/default/send_redirects', '0');
  });
  await ip(fabric.netns, [
    'link set lo up',
    'link add name fab0 type bridge',
    `address add ${UNDERLAY.router}/${UNDERLAY.prefixLength} dev fab0`,
    `address add ${METADATA_ADDRESS}/32 dev fab0`,
    'link set fab0 up',
    ...hosts.flatMap(joinCommands),
    `link add name to-outside type veth peer name eth0 netns ${outside.netns}`,
    `address add ${OUTSIDE.router}/${OUTSIDE.prefixLength} dev to-outside`,
    'link set to-outside up',
  ]);
  await Promise.all([
    ...hosts.map((host) => ip(host.netns, hostCommands(host.underlay))),
    ip(outside.netns, [
      'link set lo up',
      `address add ${OUTSIDE.address}/${OUTSIDE.prefixLength} dev eth0`,
      `address add ${OUTSIDE.intruder}/${OUTSIDE.prefixLength} dev eth0`,
      'link set eth0 up',
      // No default route: what comes from a container's own address, not masqueraded, gets no answer.
      `route add ${UNDERLAY.network} via ${OUTSIDE.router}`,
      `rule add from ${OUTSIDE.intruder} lookup 100`,
      `route add default via ${OUTSIDE.router} table 100`,
    ]),
  ]);
}

/** Joins one more host, whose namespace is made too. */
export async function joinHost(topology: Topology, host: Omit<Host, 'role'>): Promise<void> {
  await ip(undefined, [`netns add ${host.netns}`]);
  await ip(topology.fabric.netns, joinCommands(host));
  await ip(host.netns, hostCommands(host.underlay));
}

function joinCommands({ name, netns, mac }: Omit<Host, 'role'>): string[] {
  return [
    `link add name v-${name} type veth peer name eth0 netns ${netns} address ${mac}`,
    `link set v-${name} master fab0 up`,
  ];
}

function hostCommands(address: string): string[] {
  return [
    'link set lo up',
    `address add ${address}/${UNDERLAY.prefixLength} dev eth0`,
    'link set eth0 up',
    `route add default via ${UNDERLAY.router}`,
  ];
}

export function listNamespaces(id: string): readonly string[] {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(netnsPrefix(id)));
  } catch {
    return [];
  }
}

/** Removes every namespace of a lab, and with them every link in it. Those already gone are fine. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  for (const name of names) {
    deleteNetns(name);
    await nextTurn();
  }
}
