/**
 * A pod that lays hands on what its node is called for: what it sends beyond the cluster leaves in the node's name, and what comes back to
 * that name and port is the pod's. So a pod sends from the port of a service of the node, with too few hops to arrive, and waits for the
 * other end to call the service from the port that the pod sent to. The node answers, and the pod hears nothing of it.
 */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { waitFor } from '../lab/probe/deadline.ts';
import { netnsPath } from '../lab/probe/netns-path.ts';
import { ICMP, icmpEcho, ipv4, PROTOCOL, tcp, udp } from '../lab/probe/packet.ts';
import { type Captured, RawLink } from '../lab/probe/raw.ts';
import { CHUNK, sctpInit } from '../lab/probe/sctp.ts';
import { openRaw, sendToNow } from '../lab/probe/socket.ts';
import { BACKEND } from './support/backend.ts';
import { newToken } from './support/ears.ts';
import { fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { type Cut, frozen, portsKept, without } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import type { Stage } from './support/stage.ts';

/** From here to there the node's own programs have none. */
const POD_PORTS = { from: 61_000, to: 65_535 };
/** The port where the outside answers pods. */
const OUTSIDE_PORT = 8000;
/** Dies at the first router beyond the node. */
const TWO_HOPS = 2;

let stage: Stage;
/** the pod's own end */
let pod: RawLink;
/** what node1 sends into the fabric */
let fabric: RawLink;
let lastPort = 20_000;

beforeAll(async () => {
  stage = await borrowStage();
  pod = new RawLink(stage.cast.red1.netns);
  fabric = new RawLink(stage.lab.fabricNetns, 'v-node1');
  const answers = stage.lab.prober(stage.lab.outside);
  await answers.tcpListen(OUTSIDE_PORT, 'outside');
  await answers.udpListen(OUTSIDE_PORT, 'outside');
});
afterAll(async () => {
  for (const link of [pod, fabric]) link?.close();
  await stage?.close();
});
beforeEach(async () => {
  await egressWorks();
  return egressWorks;
});

/** Pods reach the outside by every protocol, from any port of theirs. */
async function egressWorks(): Promise<void> {
  const { lab, cast } = stage;
  const { address } = lab.outside;
  const bindPort = nextPort();
  const [byTcp, byUdp, byIcmp, other] = await Promise.all([
    lab.prober(cast.red1).tcpConnect(address, OUTSIDE_PORT, { bindPort }),
    lab.prober(cast.red1).udpExchange(address, OUTSIDE_PORT, { bindPort }),
    lab.prober(cast.red1).ping(address),
    lab.prober(cast.blue1).tcpConnect(address, OUTSIDE_PORT),
  ]);
  expect([byTcp, byUdp, other].map(({ id }) => id)).toEqual(['outside', 'outside', 'outside']);
  expect(byIcmp.outcome).toBe('answered');
}

/** A port that no flow has had yet. */
function nextPort(): number {
  return ++lastPort;
}

interface Ports {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The pod sends something outwards. @returns the packet as its node sent it on */
async function send(protocol: number, body: (ends: Ends, token: string) => Buffer): Promise<Captured> {
  const token = fire(protocol, body);
  return await found(fabric, carries(token), 'the packet leaves the node');
}

/** @returns a token that is in the packet */
function fire(protocol: number, body: (ends: Ends, token: string) => Buffer): string {
  const { cast, lab } = stage;
  const ends = { source: cast.red1.ip, destination: lab.outside.address };
  const token = newToken();
  pod.send(fromContainer(cast.red1, ipv4({ ...ends, protocol, ttl: TWO_HOPS }, body(ends, token))));
  return token;
}

const carries =
  (token: string) =>
  ({ frame, direction }: Captured) =>
    direction === 'in' && frame.includes(token, 0, 'latin1');

interface Ends {
  readonly source: string;
  readonly destination: string;
}

async function found(link: RawLink, isIt: (captured: Captured) => boolean, what: string): Promise<Captured> {
  return await waitFor(() => link.heard().find(isIt) ?? false, { what });
}

const byTcp = (ports: Ports) => (ends: Ends, token: string) =>
  tcp({ ...ends, ...ports, flags: ['syn'] }, Buffer.from(token));
const byUdp = (ports: Ports) => (ends: Ends, token: string) => udp({ ...ends, ...ports }, Buffer.from(token));

const isOf = (protocol: number, port: number) => {
  const at = Buffer.from([port >> 8, port & 0xff]);
  return ({ direction, fields: { ip } }: Captured) =>
    direction === 'in' && ip?.protocol === protocol && ip.payload.subarray(2, 4).equals(at);
};

const cut = (chain: string, comment: string): Cut => ({ node: 'node1', chain, comment });
const ANSWERS = [cut('from_elsewhere', 'not to a port reserved for pods')];
const CALLS = [cut('from_elsewhere', 'calls are no answers')];
const PORTLESS = [
  cut('beyond', 'a protocol without ports cannot share the node’s address'),
  cut('from_elsewhere', 'a protocol without ports cannot share the node’s address'),
];

test('ports of services of the node', async () => {
  const { lab, node1, cast } = stage;
  const services = [
    ...[22, 7480, 10_250, 30_443, 32_000].map((port) => ['tcp', port] as const),
    ...[10_250, 30_080].map((port) => ['udp', port] as const),
  ];
  const node = lab.prober(node1);
  for (const [protocol, port] of services) {
    const listener = await (protocol === 'tcp' ? node.tcpListen(port, 'node') : node.udpListen(port, 'node'));
    onTestFinished(() => listener.close());
  }
  const call = (protocol: 'tcp' | 'udp', port: number, bindPort: number) => {
    const client = lab.prober(lab.outside);
    return protocol === 'tcp'
      ? client.tcpConnect(node1.underlay, port, { bindPort })
      : client.udpExchange(node1.underlay, port, { bindPort });
  };
  const attackAndCall = async (protocol: 'tcp' | 'udp', port: number) => {
    const client = nextPort();
    const build = protocol === 'tcp' ? byTcp : byUdp;
    const sent = await send(PROTOCOL[protocol], build({ sourcePort: port, destinationPort: client }));
    return { sent: sent.fields, answer: await call(protocol, port, client) };
  };
  const closed = async () => {
    pod.forget();
    for (const [protocol, port] of services) {
      const { sent, answer } = await attackAndCall(protocol, port);
      expect(sent.ip?.source).toBe(node1.underlay);
      expect(sent.ports?.source).toBeGreaterThanOrEqual(POD_PORTS.from);
      expect(answer.id, `${protocol} ${port}`).toBe('node');
      expect(pod.heard().filter(isOf(PROTOCOL[protocol], port))).toEqual([]);
    }
  };
  await closed();
  await portsKept(lab, 'node1', [...ANSWERS, ...CALLS], async () => {
    // A port that is translated already would be translated alike.
    await inside(node1, `conntrack -D -s ${cast.red1.ip}`);
    pod.forget();
    for (const [protocol, port] of services) {
      const { sent, answer } = await attackAndCall(protocol, port);
      expect(sent.ports?.source).toBe(port);
      await found(pod, isOf(PROTOCOL[protocol], port), 'the pod hears the call to its node');
      expect(answer.id).not.toBe('node');
    }
  });
  await closed();
});

test('a port of SCTP', async () => {
  const { lab, node1, cast } = stage;
  const service = 36_412;
  const tag = (token: string) => Buffer.from(token.slice(-4)).readUInt32BE();
  const attackAndCall = async () => {
    const client = nextPort();
    const ports = { sourcePort: service, destinationPort: client };
    // INIT has no room for a token but the sender's tag.
    const token = fire(PROTOCOL.sctp, (_, each) => sctpInit({ ...ports, verificationTag: 0 }, CHUNK.init, tag(each)));
    const sent = await found(fabric, carries(token.slice(-4)), 'the packet leaves the node');
    const back = { sourcePort: client, destinationPort: service, verificationTag: 0 };
    callNode(PROTOCOL.sctp, sctpInit(back, CHUNK.init, 1));
    return sent.fields.ip?.payload.readUInt16BE(0);
  };
  const closed = async () => {
    pod.forget();
    const heard = await countFromOutside(PROTOCOL.sctp);
    expect(await attackAndCall()).toBeGreaterThanOrEqual(POD_PORTS.from);
    await waitFor(async () => (await heard.read()) > 0, { what: 'the node hears the call' });
    await heard.close();
    expect(pod.heard().filter(isOf(PROTOCOL.sctp, service))).toEqual([]);
  };
  await closed();
  await portsKept(lab, 'node1', ANSWERS, async () => {
    await inside(node1, `conntrack -D -s ${cast.red1.ip}`);
    expect(await attackAndCall()).toBe(service);
    await found(pod, isOf(PROTOCOL.sctp, service), 'the pod hears the call to its node');
  });
  await closed();
});

// GRE, ESP, IP in IP, and one that nothing knows.
test.each([47, 50, 4, 253])('protocol %i, which has no ports to tell a pod’s from the node’s', async (protocol) => {
  const { lab, node1 } = stage;
  const body = (_: Ends, token: string) => Buffer.from(`\0\0\x08\0\0\0\0\0${token}`, 'latin1');
  const isProtocol = ({ direction, fields }: Captured) => direction === 'in' && fields.ip?.protocol === protocol;
  const closed = async () => {
    pod.forget();
    const heard = await countFromOutside(protocol);
    const refused = fire(protocol, body);
    await send(PROTOCOL.udp, byUdp({ sourcePort: nextPort(), destinationPort: nextPort() }));
    expect(fabric.heard().some(carries(refused))).toBe(false);
    callNode(protocol, body({ source: '', destination: '' }, newToken()));
    await waitFor(async () => (await heard.read()) > 0, { what: 'the node hears what is sent to it' });
    await heard.close();
    expect(pod.heard().filter(isProtocol)).toEqual([]);
  };
  await closed();
  await without(lab, PORTLESS, async () => {
    // While the outside's call to the node is known, a pod's would be the same flow.
    await inside(node1, `conntrack -D -p ${protocol}`);
    await send(protocol, body);
    callNode(protocol, body({ source: '', destination: '' }, newToken()));
    await found(pod, isProtocol, 'the pod hears what is sent to its node');
    await inside(node1, `conntrack -D -p ${protocol}`);
  });
  await closed();
});

test('an identifier of ICMP: whose query it is, its type says', async () => {
  const { lab, node1 } = stage;
  const sent = await send(PROTOCOL.icmp, (_, token) => icmpEcho(ICMP.echoRequest, 4711, 1, Buffer.from(token)));
  const identifier = sent.fields.ip?.payload.readUInt16BE(4) ?? 0;
  expect(identifier).toBeGreaterThanOrEqual(POD_PORTS.from);
  pod.forget();
  const [byNode, byOutside] = [
    await lab.prober(node1).ping(lab.outside.address, { identifier }),
    await lab.prober(lab.outside).ping(node1.underlay, { identifier }),
  ];
  expect([byNode.outcome, byOutside.outcome]).toEqual(['answered', 'answered']);
  const echoes = [ICMP.echoRequest, ICMP.echoReply] as number[];
  const isEcho = ({ direction, fields: { ip } }: Captured) =>
    direction === 'in' && ip?.protocol === PROTOCOL.icmp && echoes.includes(ip.payload.readUInt8(0));
  expect(pod.heard().filter(isEcho)).toEqual([]);
});

test('a port that is pods’ alone, on which a program of the node listens all the same', async () => {
  const { lab, node1 } = stage;
  const service = 22;
  /** Calls the port that a flow of the pod was given, from where that went. */
  const attackAndCall = async () => {
    const client = nextPort();
    const sent = await send(PROTOCOL.tcp, byTcp({ sourcePort: service, destinationPort: client }));
    const given = sent.fields.ports?.source ?? 0;
    const listener = await lab.prober(node1).tcpListen(given, 'node');
    onTestFinished(() => listener.close());
    return lab.prober(lab.outside).tcpConnect(node1.underlay, given, { bindPort: client });
  };
  const closed = async () => {
    pod.forget();
    expect((await attackAndCall()).id).toBeUndefined();
    // What was sent after the call has come by the same way.
    await egressWorks();
    expect(pod.heard().filter(isOf(PROTOCOL.tcp, service))).toEqual([]);
  };
  await closed();
  await without(lab, CALLS, async () => {
    await attackAndCall();
    await found(pod, isOf(PROTOCOL.tcp, service), 'the pod hears the call to its node');
  });
  await closed();
});

test('a port that another program’s masquerading, put before ours, leaves to the pod', async () => {
  const { lab, node1, cast } = stage;
  const service = 10_250;
  const rule = `-s ${cast.red1.ip} -j MASQUERADE`;
  const listener = await lab.prober(node1).udpListen(service, 'node');
  onTestFinished(() => listener.close());
  const attackAndCall = async () => {
    const client = nextPort();
    const sent = await send(PROTOCOL.udp, byUdp({ sourcePort: service, destinationPort: client }));
    const answer = await lab.prober(lab.outside).udpExchange(node1.underlay, service, { bindPort: client });
    return { port: sent.fields.ports?.source ?? 0, answer };
  };
  pod.forget();
  await frozen(lab, ['node1'], async () => {
    await inside(node1, `iptables -w -t nat -I POSTROUTING 1 ${rule}`);
    const { port, answer } = await attackAndCall();
    await inside(node1, `iptables -w -t nat -D POSTROUTING ${rule}`);
    // Of two that translate, the first decides: on the nftables backend that is Tenet, wherever the rules of iptables are.
    if (BACKEND === 'nftables') expect([port >= POD_PORTS.from, answer.id]).toEqual([true, 'node']);
    else expect(port).toBe(service);
  });
  // Of the call the pod hears nothing, though what is sent after it has come.
  await egressWorks();
  expect(pod.heard().filter(isOf(PROTOCOL.udp, service))).toEqual([]);
});

/** Sends the node a packet from the outside. @param body what follows the IP header */
function callNode(protocol: number, body: Buffer): void {
  const { lab, node1 } = stage;
  const fd = openRaw(netnsPath(lab.outside.netns), protocol);
  try {
    const ends = { source: lab.outside.address, destination: node1.underlay };
    sendToNow(fd, ipv4({ ...ends, protocol }, body), { address: node1.underlay, port: 0 });
  } finally {
    closeSync(fd);
  }
}

/** Counts packets of a protocol that come from the outside to the node itself, from now on. */
async function countFromOutside(protocol: number) {
  const { lab, node1 } = stage;
  const table = 'counting';
  const chain = '{ type filter hook input priority 300; }';
  const rule = `ip saddr ${lab.outside.address} meta l4proto ${protocol} counter`;
  await inside(node1, `nft 'add table inet ${table}; add chain inet ${table} heard ${chain}'`);
  await inside(node1, `nft 'add rule inet ${table} heard ${rule}'`);
  return {
    read: async () => {
      const listed = await inside(node1, `nft list chain inet ${table} heard`);
      return Number(/counter packets (\d+)/.exec(listed)?.[1]);
    },
    close: () => inside(node1, `nft delete table inet ${table}`),
  };
}

test('a node whose programs are given ports that are pods’ alone says so in its agent’s log', async () => {
  const { lab, node2 } = stage;
  const said = () => lab.logs('node2').includes('programs of this node are given ports 61000-65535');
  expect(said()).toBe(false);
  const range = '/proc/sys/net/ipv4/ip_local_port_range';
  const before = await inside(node2, `cat ${range}`);
  onTestFinished(async () => void (await inside(node2, `echo ${before.trim()} > ${range}`)));
  await inside(node2, `echo 1024 65535 > ${range}`);
  await lab.killAgent('node2', 'SIGTERM');
  await lab.startAgent('node2');
  expect(said()).toBe(true);
});
