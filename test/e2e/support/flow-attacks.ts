/**
 * Nodes with bounds that a test can reach, and pods that send the first packets of far more flows than they may have. How many each got,
 * the node's table says. To be set up once at the top of a test file.
 */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { netnsPath } from '../../lab/probe/netns-path.ts';
import { ipv4, PROTOCOL, udp } from '../../lab/probe/packet.ts';
import { RawLink } from '../../lab/probe/raw.ts';
import { openRaw, sendToNow } from '../../lab/probe/socket.ts';
import { fromContainer } from './forge.ts';
import { inside } from './node-state.ts';
import { type Role, raiseStage, type Stage, UDP_PORT } from './stage.ts';

/** Bounds that a test can reach; ports are as few as can be. */
export const POD_FLOWS = 512;
export const TENANT_FLOWS = 768;
/** Of a tenant in a second while the table is nearly full. */
export const RATION = Math.ceil(TENANT_FLOWS / 120);
export const PORTS = { from: 65_280, to: 65_535 };
export const PORT_SHARE = 128;
const FLAGS = [
  ...['--pod-flows', String(POD_FLOWS), '--tenant-flows', String(TENANT_FLOWS)],
  ...['--masquerade-ports', `${PORTS.from}-${PORTS.to}`],
];
/** Flows of an attack, more than twice any bound. */
export const ATTACK = 2000;
export const NEIGHBOURS_CALLS = 20;
/** The port where the outside answers. */
export const OUTSIDE_PORT = 8000;

/** A bound is met, and not by far less than what it allows. */
export function expectBounded(count: number, bound: number): void {
  expect(count).toBeLessThanOrEqual(bound);
  expect(count).toBeGreaterThan(bound * 0.8);
}

/** Its parts may be used inside tests and hooks alone. */
export function setUpFlows() {
  let stage: Stage;
  const links = new Map<Role, RawLink>();

  beforeAll(async () => {
    stage = await raiseStage({ agentFlags: FLAGS });
    const { lab, cast, node1, node2 } = stage;
    for (const role of ['red1', 'red1b', 'red2'] as const) links.set(role, new RawLink(cast[role].netns));
    await lab.prober(lab.outside).udpListen(OUTSIDE_PORT, 'outside');
    // A flow without an answer outlives the test, however slow the machine is.
    const minutes = ['udp_timeout', 'udp_timeout_stream', 'tcp_timeout_syn_sent'];
    for (const node of [node1, node2])
      await inside(node, minutes.map((name) => `sysctl -qw net.netfilter.nf_conntrack_${name}=600`).join('; '));
  });
  afterAll(async () => {
    for (const link of links.values()) link.close();
    await stage?.close();
  });
  beforeEach(async () => {
    await forgetFlows();
    await expectCalls('blue1', NEIGHBOURS_CALLS);
    await expectCalls('red1', NEIGHBOURS_CALLS);
    return forgetFlows;
  });

  /** Nodes forget all flows: each count begins at none. */
  async function forgetFlows(): Promise<void> {
    for (const node of [stage.node1, stage.node2]) await inside(node, 'conntrack -F 2>/dev/null');
  }

  /** So many new flows of a pod to the outside are answered. */
  async function expectCalls(role: Role, count: number): Promise<void> {
    expect(await answered(role, count)).toBe(count);
  }

  async function answered(role: Role, count: number): Promise<number> {
    const { lab, cast } = stage;
    const calls = Array.from({ length: count }, () =>
      lab.prober(cast[role]).udpExchange(lab.outside.address, OUTSIDE_PORT),
    );
    return (await Promise.all(calls)).filter(({ id }) => id === 'outside').length;
  }

  /**
   * A pod sends the first packets of flows to each of several destinations; resolves once all have gone as far as they go.
   * @param port undefined: another one for each flow
   */
  async function attack(role: Role, destinations: readonly string[], flows = ATTACK, port?: number): Promise<void> {
    const { lab, cast } = stage;
    for (let flow = 0; flow < flows; flow++) {
      const destination = destinations[flow % destinations.length] ?? '';
      const ends = { source: cast[role].ip, destination };
      const ports = { sourcePort: 2000 + flow, destinationPort: port ?? 20_000 + flow };
      // A refused TCP call would leave no flow.
      const packet = ipv4({ ...ends, protocol: PROTOCOL.udp }, udp({ ...ends, ...ports }, Buffer.from('flow')));
      links.get(role)?.send(fromContainer(cast[role], packet));
      // What a pod may send at once its link has room for.
      if (flow % 200 === 199) await lab.sentinel.pass();
    }
    await lab.sentinel.pass();
  }

  /** Flows in a node's table. @param which arguments of conntrack(8) */
  async function flows(node: 'node1' | 'node2', which: string): Promise<number> {
    const listed = await inside(stage[node], `conntrack -L ${which} 2>/dev/null | wc -l`);
    return Number(listed);
  }

  /** The first packets of flows to red1. */
  async function attackByGateway(): Promise<void> {
    const { lab, cast, gateway, system } = stage;
    const fd = openRaw(netnsPath(gateway.netns), PROTOCOL.udp);
    try {
      for (let flow = 0; flow < ATTACK; flow++) {
        const ends = { source: system, destination: cast.red1.ip };
        const body = udp({ ...ends, sourcePort: 2000 + flow, destinationPort: UDP_PORT }, Buffer.from('flow'));
        sendToNow(fd, ipv4({ ...ends, protocol: PROTOCOL.udp }, body), { address: cast.red1.ip, port: 0 });
        if (flow % 200 === 199) await lab.sentinel.pass();
      }
    } finally {
      closeSync(fd);
    }
  }

  return {
    get stage() {
      return stage;
    },
    forgetFlows,
    expectCalls,
    answered,
    attack,
    attackByGateway,
    flows,
  };
}
