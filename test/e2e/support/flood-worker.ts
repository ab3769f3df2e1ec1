/**
 * The process behind flood.ts: sends numbered messages between namespaces, echoes them at the far end and counts at both.
 * Apart from the test
 * so that nothing the test does delays it; its sockets hold seconds of traffic, so what is missing was lost on the way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Flow } from '../../lab/probe/flow.ts';
import { netnsPath } from '../../lab/probe/netns-path.ts';
import { Prober } from '../../lab/probe/prober.ts';
import { Sentinel } from '../../lab/probe/sentinel.ts';
import {
  type Endpoint,
  openBound,
  openConnected,
  receiveNow,
  SocketError,
  sendNow,
  sendToNow,
  setOption,
} from '../../lab/probe/socket.ts';
import type { FloodFlow, FloodOrder, FlowCount } from './flood.ts';

/** @see include/uapi/asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** Some seven seconds of one message a millisecond: the kernel charges a datagram with at least 768 bytes. */
const RECEIVE_BUFFER = 8 << 20;
/** For TCP, which repeats what was lost. */
const DRAIN_MS = 30_000;

interface Stream {
  tick(now: number): void;
  /** @param upTo number of the last message that counts; all unless given */
  count(upTo?: number): FlowCount;
}

/** One UDP listener per namespace and port, for all senders: a forbidden flow meets the same socket as an allowed one. */
class Listener {
  readonly delivered = new Map<number, number>();
  readonly #fd: number;

  constructor(netns: string, port: number) {
    this.#fd = openBound(netnsPath(netns), 'udp', { address: '0.0.0.0', port });
    setOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
  }

  tick(): void {
    for (let next = received(this.#fd); next !== undefined; next = received(this.#fd)) {
      if (next === 'error') continue;
      const flow = next.bytes.readUInt32LE(0);
      this.delivered.set(flow, (this.delivered.get(flow) ?? 0) + 1);
      quietly(() => sendToNow(this.#fd, next.bytes, sender(next.from)));
    }
  }
}

class UdpStream implements Stream {
  #fd: number | undefined;
  readonly #id: number;
  readonly #flow: FloodFlow;
  readonly #listener: Listener;
  readonly #missing = new Set<number>();
  readonly #errors: Record<string, number> = {};
  #sent = 0;
  #nextAt = 0;

  constructor(id: number, flow: FloodFlow, listener: Listener) {
    this.#id = id;
    this.#flow = flow;
    this.#listener = listener;
    // A container that has no link yet is tried again.
    if (!flow.forbidden) this.#fd = this.#open();
  }

  /** @throws SocketError when there is no way */
  #open(): number {
    const { from, address, port } = this.#flow;
    const fd = openConnected(netnsPath(from), 'udp', { address, port });
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
    return fd;
  }

  tick(now: number): void {
    this.#hear();
    if (!sending || now < this.#nextAt) return;
    this.#nextAt = now + this.#flow.intervalMs;
    if (this.#fd === undefined) {
      quietly(() => {
        this.#fd = this.#open();
      });
    }
    const fd = this.#fd;
    if (fd === undefined) return;
    const message = Buffer.alloc(64);
    message.writeUInt32LE(this.#id, 0);
    message.writeUInt32LE(++this.#sent, 4);
    this.#missing.add(this.#sent);
    const error = quietly(() => sendNow(fd, message));
    if (error !== undefined) this.#errors[error] = (this.#errors[error] ?? 0) + 1;
  }

  count(upTo = this.#sent): FlowCount {
    const missing = [...this.#missing].filter((sequence) => sequence <= upTo);
    return {
      name: this.#flow.name,
      sent: upTo,
      delivered: this.#listener.delivered.get(this.#id) ?? 0,
      echoed: upTo - missing.length,
      firstMissing: missing.slice(0, 10),
      errors: this.#errors,
    };
  }

  #hear(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    for (let next = received(fd); next !== undefined; next = received(fd)) {
      if (next === 'error') continue;
      this.#missing.delete(next.bytes.readUInt32LE(4));
    }
  }
}

/** A connection's own timer does the sending. */
async function tcpStream(flow: FloodFlow): Promise<Stream> {
  const { name, from, to, address, port, intervalMs } = flow;
  const running = await Flow.start('tcp', { from: prober(from), to: prober(to), address, port, intervalMs });
  let final: number | undefined;
  return {
    tick: () => {
      if (!sending) final ??= running.sent;
    },
    count: () => ({
      name,
      sent: final ?? running.sent,
      delivered: running.echoed,
      // Those sent while draining are not waited for.
      echoed: final === undefined ? running.echoed : Math.min(final, running.echoed),
      firstMissing: [],
      errors: {},
    }),
  };
}

const probers = new Map<string, Prober>();
function prober(netns: string): Prober {
  const known = probers.get(netns) ?? new Prober(netns);
  probers.set(netns, known);
  return known;
}

/** A pending ICMP error is read like a datagram. */
function received(fd: number): ReturnType<typeof receiveNow> | 'error' {
  try {
    return receiveNow(fd);
  } catch (error) {
    if (error instanceof SocketError) return 'error';
    throw error;
  }
}

/** @returns errno's name if our own kernel refuses */
function quietly(send: () => void): string | undefined {
  try {
    send();
    return undefined;
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}

/** @see struct sockaddr_in */
function sender(from: Buffer): Endpoint {
  return { port: from.readUInt16BE(2), address: from.subarray(4, 8).join('.') };
}

let flooding: readonly FloodFlow[] = [];
let sending = true;
const streams: Stream[] = [];
const listeners = new Map<string, Listener>();

async function start(flows: readonly FloodFlow[]): Promise<void> {
  flooding = flows;
  for (const [id, flow] of flows.entries()) {
    if (flow.protocol === 'tcp') {
      streams.push(await tcpStream(flow));
      continue;
    }
    const key = `${flow.to} ${flow.port}`;
    const listener = listeners.get(key) ?? new Listener(flow.to, flow.port);
    listeners.set(key, listener);
    streams.push(new UdpStream(id, flow, listener));
  }
  setInterval(tickAll, 1);
}

function tickAll(): void {
  const now = performance.now();
  for (const listener of listeners.values()) listener.tick();
  for (const stream of streams) stream.tick(now);
}

const counts = (): FlowCount[] => streams.map((stream) => stream.count());

/** Sends no more, and waits for what is under way: of UDP until a sentinel is back. */
async function drain(flows: readonly FloodFlow[]): Promise<void> {
  sending = false;
  const isWaiting = () => counts().some(({ sent, echoed }, index) => flows[index]?.protocol === 'tcp' && echoed < sent);
  const deadline = performance.now() + DRAIN_MS;
  do await sleep(20);
  while (performance.now() < deadline && isWaiting());
  await passTwice();
}

/** Once behind messages and once behind echoes. */
async function passTwice(): Promise<void> {
  const sentinel = new Sentinel(flooding[0]?.from ?? '', '127.0.0.1');
  for (let round = 0; round < 2; round++) {
    await sentinel.pass();
    tickAll();
  }
  sentinel.close();
}

/** What has become of all that has been sent by now, while more is sent. */
async function settle(): Promise<FlowCount[]> {
  const sent = counts().map((count) => count.sent);
  await passTwice();
  return streams.map((stream, index) => stream.count(sent[index]));
}

process.on('disconnect', () => process.exit(0));
process.on('message', async (order: FloodOrder) => {
  if (order.op === 'start') await start(order.flows);
  if (order.op === 'stop') await drain(flooding);
  process.send?.(order.op === 'settle' ? await settle() : counts());
});
