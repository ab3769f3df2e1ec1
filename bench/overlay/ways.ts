/**
 * The ways from host to host that are compared, all over the fabric of one lab: Tenet's between two containers, a bridge and a VXLAN link
 * without any rules between two others, and the hosts' own without an overlay. Each has a program that answers at its far end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import { withNetns } from '../../dataplane/system/netns.ts';
import { ip } from '../../test/lab/fabric.ts';
import type { Lab, Stranger } from '../../test/lab/lab.ts';
import { addNetns } from '../../test/lab/named-netns.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import { netnsName } from '../../test/lab/topology.ts';
import type { Peer } from './conversation.ts';

export const TENET = 'Tenet';
export const BARE = 'bridge + VXLAN, no rules';
export const DIRECT = 'veth, no overlay';

export interface Way {
  readonly name: string;
  readonly near: End;
  readonly far: End;
  /** who answers at the far end */
  readonly peer: Peer;
  /** what the near end's frames are addressed to */
  readonly nextHopMac: string;
}

/** Its link is `eth0`. */
export interface End {
  /** name of its namespace */
  readonly netns: string;
  readonly address: string;
  readonly mac: string;
}

const TENANT = 'bench';
const PORT = 5201;
/** Of an overlay over an underlay of 1500, as Tenet's. */
const MTU = 1450;

/** @returns the ways, and what ends their answering processes @throws Error if one cannot be built */
export async function buildWays(lab: Lab): Promise<{ readonly ways: readonly Way[]; readonly close: () => void }> {
  const answering: ChildProcess[] = [];
  const close = () => {
    for (const child of answering) child.kill('SIGKILL');
  };
  const way = async (name: string, near: End, far: End, nextHopMac: string = far.mac): Promise<Way> => {
    answering.push(await startAnswering(netnsPath(far.netns)));
    return { name, near, far, peer: { address: far.address, port: PORT }, nextHopMac };
  };
  try {
    const { status, body } = await lab.rest('POST', '/v1/tenants', { name: TENANT });
    if (status !== 201) throw new Error(`POST /v1/tenants answered ${status}: ${JSON.stringify(body)}`);
    const near = await lab.attach('node1', { name: 'near', tenant: TENANT });
    const far = await lab.attach('node2', { name: 'far', tenant: TENANT });
    const hosts = [await lab.addStranger(), await lab.addStranger()] as const;
    const bare = await bareOverlay(lab, hosts);
    const ways = [
      await way(BARE, ...bare),
      await way(TENET, { ...near, address: near.ip }, { ...far, address: far.ip }, HOST_END_MAC),
      await way(DIRECT, ...hosts),
    ];
    return { ways, close };
  } catch (error) {
    close();
    throw error;
  }
}

type Pair<T> = readonly [T, T];

/** A container on each of two hosts, on a bridge that a VXLAN link joins to the other. */
async function bareOverlay(lab: Lab, [one, other]: Pair<Stranger>): Promise<Pair<End>> {
  const container = async (host: Stranger, remote: Stranger, number: number): Promise<End> => {
    const netns = netnsName(lab.id, `c-bare-${number}`);
    const address = `10.99.0.${number}`;
    const mac = `0a:58:0a:63:00:0${number}`;
    addNetns(netns);
    await ip(host.netns, [
      `link add br0 mtu ${MTU} type bridge`,
      `link add vx0 mtu ${MTU} type vxlan id 99 dev eth0 local ${host.address} remote ${remote.address} dstport 4789`,
      'link set vx0 master br0 up',
      `link add pod0 mtu ${MTU} type veth peer name eth0 address ${mac} mtu ${MTU} netns ${netnsPath(netns)}`,
      'link set pod0 master br0 up',
      'link set br0 up',
    ]);
    await ip(netns, [`address add ${address}/24 dev eth0`, 'link set eth0 up']);
    return { netns, address, mac };
  };
  return [await container(one, other, 1), await container(other, one, 2)];
}

/** Resolves once it listens. @throws Error if it ends before that */
function startAnswering(netns: string): Promise<ChildProcess> {
  const worker = join(import.meta.dirname, 'answering-worker.js');
  const child = withNetns(netns, () =>
    spawn(process.execPath, [worker, String(PORT)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the answering process ended with ${code}`)));
    child.stdout.once('data', () => resolve(child));
  });
}
