/**
 * The cast of the isolation tests: a lab of two nodes and a gateway, tenant red on both nodes and twice on the first, tenant blue on both,
 * and an ear at every place a packet could get to. Builds and waits until friends meet; judges nothing else.
 */
import { writeFileSync } from 'node:fs';
import { withNetns } from '../../../dataplane/system/netns.ts';
import type { Container } from '../../lab/container.ts';
import { ip } from '../../lab/fabric.ts';
import { type Lab, type LabHost, startLab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { netnsPath } from '../../lab/probe/netns-path.ts';
import type { LabOptions } from '../../lab/topology.ts';
import { makeTenant, type TenantView } from './cluster.ts';
import { Ears } from './ears.ts';

/** Every container of the cast answers UDP here with its role. */
export const UDP_PORT = 5353;
/** ... and TCP here. */
export const TCP_PORT = 8080;

/** Seconds until a flow of one exchange is forgotten: 30, less than a test takes on a busy machine. */
const UDP_TIMEOUT = '/proc/sys/net/netfilter/nf_conntrack_udp_timeout';

export type Role = 'red1' | 'red1b' | 'red2' | 'blue1' | 'blue2';

const CAST: Readonly<Record<Role, readonly [tenant: 'red' | 'blue', node: 'node1' | 'node2']>> = {
  red1: ['red', 'node1'],
  red1b: ['red', 'node1'],
  red2: ['red', 'node2'],
  blue1: ['blue', 'node1'],
  blue2: ['blue', 'node2'],
};

/** What of a stage is outside this process. */
export interface Scenery {
  readonly lab: Lab;
  readonly red: TenantView;
  readonly blue: TenantView;
  readonly cast: Readonly<Record<Role, Container>>;
  readonly node1: LabHost;
  readonly node2: LabHost;
  readonly gateway: LabHost;
  /** the gateway's address in the system overlay */
  readonly system: string;
}

export interface Stage extends Scenery {
  /** where the frames of each role's container arrive, and `from node1`, ...: what a host sends into the fabric */
  readonly ears: Ears;
  close(): Promise<void>;
}

/** A stage of the file's own. Resolves once every container answers its friends and the gateway. */
export async function raiseStage(options: Pick<LabOptions, 'agentFlags'> = {}): Promise<Stage> {
  const scenery = await buildScenery(options);
  try {
    return await furnish(scenery);
  } catch (error) {
    await scenery.lab.close();
    throw error;
  }
}

export async function buildScenery(options: Pick<LabOptions, 'agentFlags' | 'id'>): Promise<Scenery> {
  const lab = await startLab({ nodes: 2, gateways: 1, ...options });
  try {
    for (const { netns } of lab.hosts) withNetns(netnsPath(netns), () => writeFileSync(UDP_TIMEOUT, '600'));
    const [red, blue] = [await makeTenant(lab, 'red'), await makeTenant(lab, 'blue')];
    const entries = await Promise.all(
      Object.entries(CAST).map(
        async ([role, [tenant, node]]) => [role, await lab.attach(node, { name: role, tenant })] as const,
      ),
    );
    const cast = Object.fromEntries(entries) as Record<Role, Container>;
    const [node1, node2, gateway] = [lab.host('node1'), lab.host('node2'), lab.host('gw1')];
    return { lab, red, blue, cast, node1, node2, gateway, system: await systemAddress(gateway) };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** Gives containers their voices and the test its ears. Resolves once every container answers its friends and the gateway. */
export async function furnish(scenery: Scenery): Promise<Stage> {
  const { lab, cast } = scenery;
  const containers = Object.entries(cast);
  for (const [role, container] of containers)
    await Promise.all([
      lab.prober(container).udpListen(UDP_PORT, role),
      lab.prober(container).tcpListen(TCP_PORT, role),
    ]);
  const places = [
    ...containers.map(([role, { netns }]) => ({ name: role, netns, link: 'eth0' })),
    ...['node1', 'node2', 'gw1'].map((host) => ({ name: `from ${host}`, netns: lab.fabricNetns, link: `v-${host}` })),
  ];
  const ears = new Ears(places, lab.sentinel);
  await untilFriendsMeet(scenery);
  const close = () => {
    ears.close();
    return lab.close();
  };
  return { ...scenery, ears, close };
}

/** Sends one datagram to a container of the cast and expects its answer; resolves once there is one. @throws WaitTimeout */
export async function meets(
  { lab, cast }: Pick<Stage, 'lab' | 'cast'>,
  from: { readonly netns: string },
  to: Role,
): Promise<void> {
  const look = async () => (await lab.prober(from).udpExchange(cast[to].ip, UDP_PORT)).id === to;
  await waitFor(look, { what: `${from.netns} gets an answer of ${to}` });
}

/** Host end of a container's link. */
export function hostLink({ result }: Container): string {
  const link = result.interfaces.find(({ sandbox }) => sandbox === undefined)?.name;
  if (link === undefined) throw new Error(`a result without a host link: ${JSON.stringify(result)}`);
  return link;
}

async function untilFriendsMeet(stage: Pick<Stage, 'lab' | 'cast' | 'gateway'>): Promise<void> {
  const { red1, blue1 } = stage.cast;
  await Promise.all([
    meets(stage, red1, 'red1b'),
    meets(stage, red1, 'red2'),
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, blue1, 'blue2'),
    meets(stage, stage.gateway, 'red1'),
    meets(stage, stage.gateway, 'blue2'),
  ]);
}

function systemAddress({ netns }: LabHost): Promise<string> {
  const look = async () => {
    const shown = await ip(netns, ['address show dev tnt1']);
    return [...shown.matchAll(/inet ([0-9.]+)/g)].map(([, found]) => found).find((each) => !each?.startsWith('169.'));
  };
  return waitFor(look, { what: `${netns} has an address in the system overlay` });
}
