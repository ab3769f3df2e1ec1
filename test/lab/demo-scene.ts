/**
 * The demo's cast: three tenants with containers on both nodes, something listening wherever a packet could go, and every way that is
 * to be tried, with what is expected of it.
 */
import type { Container } from './container.ts';
import { run } from './fabric.ts';
import type { Lab } from './lab.ts';
import { waitFor } from './probe/deadline.ts';
import { type Cell, tcpCell } from './probe/matrix.ts';
import { ETHERTYPE, ethernet, ipv4, PROTOCOL, udp } from './probe/packet.ts';
import type { Listener, Prober, UdpResult } from './probe/prober.ts';
import { RawLink } from './probe/raw.ts';
import type { Sentinel } from './probe/sentinel.ts';
import { METADATA_ADDRESS } from './topology.ts';

const PORT = 8080;
const UDP_PORT = 5353;
const TENANTS = ['red', 'green', 'blue'] as const;

/** Which container each tenant has where; red has two on one node, to meet at home. */
const CAST = [
  { name: 'red-1', tenant: 'red', host: 'node1' },
  { name: 'red-1b', tenant: 'red', host: 'node1' },
  { name: 'red-2', tenant: 'red', host: 'node2' },
  { name: 'green-1', tenant: 'green', host: 'node1' },
  { name: 'green-2', tenant: 'green', host: 'node2' },
  { name: 'blue-1', tenant: 'blue', host: 'node1' },
  { name: 'blue-2', tenant: 'blue', host: 'node2' },
] as const;

export interface Actor {
  readonly tenant: string;
  readonly container: Container;
  readonly prober: Prober;
  readonly udp: Listener;
}

export interface Tenant {
  readonly name: string;
  readonly vni: number;
  readonly subnets: readonly string[];
}

/** Makes the tenants by REST, one call each. @throws Error with the problem document when refused */
export function createTenants(lab: Lab): Promise<readonly Tenant[]> {
  return Promise.all(
    TENANTS.map(async (name) => {
      const { status, body } = await lab.rest('POST', '/v1/tenants', { name });
      if (status !== 201) throw new Error(`POST /v1/tenants answered ${status}: ${JSON.stringify(body)}`);
      return body as unknown as Tenant;
    }),
  );
}

/** Attaches every container as a runtime does, and lets each listen. */
export function attachAll(lab: Lab): Promise<readonly Actor[]> {
  return Promise.all(
    CAST.map(async ({ name, tenant, host }) => {
      const container = await lab.attach(host, { name, tenant });
      const prober = lab.prober(container);
      await prober.tcpListen(PORT, name);
      return { tenant, container, prober, udp: await prober.udpListen(UDP_PORT, name) };
    }),
  );
}

/** Lets hosts, gateway, outside and the metadata address answer too: what is denied must be there to be reached. */
export async function listenEverywhere(lab: Lab): Promise<void> {
  await Promise.all([
    ...lab.hosts.map((host) => lab.prober(host).tcpListen(PORT, host.name)),
    lab.prober(lab.outside).tcpListen(PORT, 'outside'),
    lab.prober(lab.fabricNetns).tcpListen(80, 'metadata', METADATA_ADDRESS),
  ]);
}

/** Every container to every other. */
export function containerCells(actors: readonly Actor[]): readonly Cell[] {
  return actors.flatMap((from) =>
    actors
      .filter((to) => to !== from)
      .map((to) =>
        tcpCell({
          from: from.prober,
          fromName: from.container.name,
          toName: to.container.name,
          address: to.container.ip,
          port: PORT,
          id: to.container.name,
          expected: from.tenant === to.tenant ? 'allowed' : 'denied',
          witness: { from: friendOf(to, actors).prober },
        }),
      ),
  );
}

function actorNamed(actors: readonly Actor[], name: string): Actor {
  const found = actors.find(({ container }) => container.name === name);
  if (found === undefined) throw new Error(`no container is called ${name}`);
  return found;
}

/** Another container of the same tenant. */
function friendOf(actor: Actor, actors: readonly Actor[]): Actor {
  const friend = actors.find((each) => each !== actor && each.tenant === actor.tenant);
  if (friend === undefined) throw new Error(`${actor.container.name} is the only container of its tenant`);
  return friend;
}

/** The ways in and out of the overlay. */
export async function platformCells(lab: Lab, actors: readonly Actor[]): Promise<readonly Cell[]> {
  const red = actorNamed(actors, 'red-1');
  const blue = actorNamed(actors, 'blue-2');
  const [node1, node2, gateway] = [lab.host('node1'), lab.host('node2'), lab.host('gw1')];
  const [manage] = lab.controllers;
  const system = await systemAddress(gateway.netns);
  await lab.exposeToOutside(red.container);
  const fromRed = { from: red.prober, fromName: 'red-1', port: PORT };
  const atNode1 = { from: lab.prober(node1) };
  const intoRed = {
    toName: 'red-1',
    address: red.container.ip,
    port: PORT,
    id: 'red-1',
    witness: { from: friendOf(red, actors).prober },
  };
  const intoBlue = {
    toName: 'blue-2',
    address: blue.container.ip,
    port: PORT,
    id: 'blue-2',
    witness: { from: friendOf(blue, actors).prober },
  };
  const etcd = { address: lab.topology.etcdUrl.replace(/^http:\/\/|:\d+$/g, ''), port: 2379 };
  const denied = { expected: 'denied' } as const;
  const allowed = { expected: 'allowed' } as const;
  return [
    tcpCell({ ...intoRed, from: lab.prober(gateway), fromName: 'gateway', ...allowed }),
    tcpCell({ ...intoBlue, from: lab.prober(gateway), fromName: 'gateway', ...allowed }),
    tcpCell({ ...intoRed, from: lab.prober(node1), fromName: 'its own host (a probe)', ...allowed }),
    tcpCell({ ...intoBlue, from: lab.prober(node1), fromName: 'another host', ...denied }),
    tcpCell({
      ...fromRed,
      toName: 'gateway (new)',
      address: system,
      id: 'gw1',
      witness: { ...atNode1, address: gateway.underlay },
      ...denied,
    }),
    tcpCell({
      ...fromRed,
      toName: 'its own host',
      address: node1.underlay,
      id: 'node1',
      witness: { from: lab.prober(node2) },
      ...denied,
    }),
    tcpCell({ ...fromRed, toName: 'another host', address: node2.underlay, id: 'node2', witness: atNode1, ...denied }),
    tcpCell({ ...fromRed, toName: 'etcd', ...etcd, witness: { from: lab.prober(manage ?? node1) }, ...denied }),
    tcpCell({
      ...fromRed,
      toName: `metadata ${METADATA_ADDRESS}`,
      address: METADATA_ADDRESS,
      port: 80,
      id: 'metadata',
      witness: atNode1,
      ...denied,
    }),
    tcpCell({
      ...fromRed,
      toName: 'outside (egress)',
      address: lab.outside.address,
      id: 'outside',
      witness: atNode1,
      ...allowed,
    }),
    tcpCell({
      ...intoRed,
      from: lab.prober(lab.outside),
      fromName: 'outside',
      bindAddress: lab.outside.intruderAddress,
      ...denied,
    }),
    spoofCell(lab, red, actorNamed(actors, 'blue-1'), blue),
  ];
}

/** A gateway's address in the system overlay, once it has claimed it; the next hop's 169.254.1.1 is on the link as well. */
function systemAddress(netns: string): Promise<string> {
  const look = async () => {
    const shown = await run(['ip', '-n', netns, '-4', 'address', 'show', 'dev', 'tnt1']);
    return [...shown.matchAll(/inet ([0-9.]+)/g)]
      .map(([, address]) => address)
      .find((each) => !each?.startsWith('169.254.'));
  };
  return waitFor(look, { what: `${netns} has an address in the system overlay` });
}

/** Sends as another tenant's container to its friend, who may talk to it: nothing but the guard against spoofing stands between. */
function spoofCell({ sentinel }: Lab, liar: Actor, target: Actor, impersonated: Actor): Cell {
  const names = { liar: liar.container.name, target: target.container.name, impersonated: impersonated.container.name };
  return {
    from: `${names.liar} posing as ${names.impersonated}`,
    to: names.target,
    expected: 'denied',
    id: names.target,
    probe: () => sendForged(sentinel, liar, target, impersonated),
    witness: () => impersonated.prober.udpExchange(target.container.ip, UDP_PORT),
  };
}

async function sendForged(sentinel: Sentinel, liar: Actor, target: Actor, impersonated: Actor): Promise<UdpResult> {
  const started = performance.now();
  const token = `forged-${Math.random().toString(36).slice(2)}`;
  const between = { source: impersonated.container.ip, destination: target.container.ip };
  const datagram = udp({ ...between, sourcePort: 4242, destinationPort: UDP_PORT }, Buffer.from(token));
  const neighbours = await run(['ip', '-n', liar.container.netns, 'neighbour', 'show', 'dev', 'eth0']);
  const nextHop = /lladdr (\S+)/.exec(neighbours)?.[1];
  if (nextHop === undefined) throw new Error(`${liar.container.name} does not know its next hop's MAC`);
  const link = new RawLink(liar.container.netns);
  try {
    const packet = ipv4({ ...between, protocol: PROTOCOL.udp }, datagram);
    link.send(ethernet({ source: liar.container.mac, destination: nextHop, type: ETHERTYPE.ipv4 }, packet));
    await sentinel.pass();
  } finally {
    link.close();
  }
  const elapsedMs = performance.now() - started;
  if (target.udp.payloads.includes(token)) return { outcome: 'answered', id: target.container.name, elapsedMs };
  return { outcome: 'timeout', elapsedMs };
}
