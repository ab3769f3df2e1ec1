/**
 * Sockets of one network namespace as a test wants them: listeners that say who they are, clients that say what came of it. The
 * words for results are fixed: `open`/`answered` with the listener's id, `refused`, `unreachable`, and `timeout`, which alone
 * is silence. Runs in the test's own process; only the sockets are elsewhere.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { type Patience, whenPatienceEnds } from './deadline.ts';
import { netnsPath } from './netns-path.ts';
import { type PingOptions, type PingResult, ping } from './ping.ts';
import type { Sentinel } from './sentinel.ts';
import { type Endpoint, openBound, openConnected, owning, SocketError, sendNow, tcpSegmentsSent } from './socket.ts';

const CONNECT_POLL_MS = 5;

export interface ProbeOptions extends Patience {
  readonly bindAddress?: string;
  readonly bindPort?: number;
  /** TCP: the listener is not one of ours and says nothing, so a connection alone is `open` */
  readonly connectOnly?: boolean;
}

export interface ProbeResult<Outcome extends string> {
  readonly outcome: Outcome;
  /** of the listener that answered */
  readonly id?: string;
  /** errno's name where the outcome has one */
  readonly error?: string;
  readonly elapsedMs: number;
}

export type TcpResult = ProbeResult<'open' | 'refused' | 'timeout' | 'unreachable'>;
export type UdpResult = ProbeResult<'answered' | 'refused' | 'timeout' | 'unreachable'>;

/** Listens until closed. */
export interface Listener {
  readonly port: number;
  readonly id: string;
  /** connections accepted, or datagrams received */
  readonly count: number;
  readonly bytes: number;
  /** payloads of the datagrams received, oldest first; of TCP nothing */
  readonly payloads: readonly string[];
  close(): void;
}

/** One namespace; close() closes every listener and connection made here. */
export class Prober {
  readonly netns: string;
  readonly #path: string;
  readonly #sentinel: Sentinel | undefined;
  readonly #open = new Set<{ close(): void }>();
  readonly #descriptors = new WeakMap<Socket, number>();

  /** @param netns name of a namespace @param sentinel what tells that no answer will come; without one, time does */
  constructor(netns: string, sentinel?: Sentinel) {
    this.netns = netns;
    this.#path = netnsPath(netns);
    this.#sentinel = sentinel;
  }

  /** Accepts, says `id` and a newline, then echoes what it hears. @param address all IPv4 addresses unless given */
  async tcpListen(port: number, id: string, address = '0.0.0.0'): Promise<Listener> {
    const server: Server = createServer();
    const sockets = new Set<Socket>();
    const listener = { port, id, count: 0, bytes: 0, payloads: [], close: () => this.#forget(entry) };
    const entry = {
      close: () => {
        server.close();
        for (const socket of sockets) socket.destroy();
      },
    };
    server.on('connection', (socket) => {
      listener.count++;
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
      socket.setNoDelay(true);
      socket.write(`${id}\n`);
      socket.on('data', (chunk: Buffer) => (listener.bytes += chunk.length)).pipe(socket);
    });
    const listening = once(server, 'listening');
    server.listen({ fd: openBound(this.#path, 'tcp', { address, port }) });
    await listening;
    this.#open.add(entry);
    return listener;
  }

  /** Answers each datagram with `id`, a newline and the datagram. */
  async udpListen(port: number, id: string, address = '0.0.0.0'): Promise<Listener> {
    const socket = await this.#adopt(openBound(this.#path, 'udp', { address, port }), address);
    const payloads: string[] = [];
    const entry = { close: () => socket.close() };
    const listener = {
      port,
      id,
      payloads,
      get count() {
        return payloads.length;
      },
      get bytes() {
        return payloads.reduce((sum, payload) => sum + payload.length, 0);
      },
      close: () => this.#forget(entry),
    };
    socket.on('message', (message, from) => {
      payloads.push(message.toString('latin1'));
      socket.send(Buffer.concat([Buffer.from(`${id}\n`), message]), from.port, from.address, () => undefined);
    });
    // Answers to those who have gone come back as ICMP errors.
    socket.on('error', () => undefined);
    this.#open.add(entry);
    return listener;
  }

  /** Connects and waits for the listener's id. A connection that stays silent until time is up is `open` without an id. */
  async tcpConnect(address: string, port: number, options: ProbeOptions = {}): Promise<TcpResult> {
    const started = performance.now();
    let socket: Socket;
    try {
      socket = this.tcpSocket({ address, port }, options);
    } catch (error) {
      return { ...failure(error), elapsedMs: performance.now() - started };
    }
    const said = await new Promise<Omit<TcpResult, 'elapsedMs'>>((resolve, reject) => {
      // Only a socket whose handshake is over knows its peer: a listener that says nothing is not silence.
      const isConnected = () => socket.remoteAddress !== undefined;
      const giveUp = () => finish({ outcome: isConnected() ? 'open' : 'timeout' });
      const cancel = whenPatienceEnds(options, this.#sentinel, giveUp, reject);
      const look = options.connectOnly
        ? setInterval(() => isConnected() && finish({ outcome: 'open' }), CONNECT_POLL_MS)
        : undefined;
      let heard = '';
      const finish = (result: Omit<TcpResult, 'elapsedMs'>): void => {
        cancel();
        clearInterval(look);
        resolve(result);
      };
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString('latin1');
        if (heard.includes('\n')) finish({ outcome: 'open', id: heard.slice(0, heard.indexOf('\n')) });
      });
      socket.on('end', () => finish({ outcome: 'open' }));
      socket.on('error', (error) => finish(failure(error)));
    });
    socket.destroy();
    return { ...said, elapsedMs: performance.now() - started };
  }

  /** A connection under way from this namespace, for flows of any length. The caller destroys it. @throws SocketError */
  tcpSocket(remote: Endpoint, options: ProbeOptions = {}): Socket {
    const fd = openConnected(this.#path, 'tcp', remote, localEnd(remote, options));
    const socket = new Socket({ fd, readable: true, writable: true }).setNoDelay(true);
    this.#descriptors.set(socket, fd);
    return socket;
  }

  /** Segments that the kernel has sent on a connection made here, repeated ones included. @returns undefined once it has ended */
  segmentsSent(socket: Socket): number | undefined {
    const fd = this.#descriptors.get(socket);
    return fd === undefined || socket.destroyed ? undefined : tcpSegmentsSent(fd);
  }

  /** A UDP socket of this namespace that knows its peer; `send` throws SocketError. */
  async udpSocket(remote: Endpoint, options: ProbeOptions = {}): Promise<{ socket: UdpSocket; send(b: Buffer): void }> {
    const fd = this.#connect(remote, options);
    return { socket: await this.#adopt(fd, remote.address), send: (bytes) => sendNow(fd, bytes) };
  }

  /** Sends one datagram and waits for its echo. */
  async udpExchange(address: string, port: number, options: ProbeOptions = {}): Promise<UdpResult> {
    const started = performance.now();
    const token = `probe-${Math.random().toString(36).slice(2)}`;
    const elapsed = () => ({ elapsedMs: performance.now() - started });
    let fd: number;
    try {
      fd = this.#connect({ address, port }, options);
      // At once: what has to come behind it is sent later.
      owning(fd, (socket) => sendNow(socket, Buffer.from(token)));
    } catch (error) {
      return { ...failure(error), ...elapsed() } as UdpResult;
    }
    const socket = await this.#adopt(fd, address);
    const said = await new Promise<Omit<UdpResult, 'elapsedMs'>>((resolve, reject) => {
      const giveUp = () => resolve({ outcome: 'timeout' });
      const cancel = whenPatienceEnds(options, this.#sentinel, giveUp, reject);
      const finish = (result: Omit<UdpResult, 'elapsedMs'>): void => {
        cancel();
        resolve(result);
      };
      socket.on('message', (message) => {
        const [id = '', echoed] = message.toString('latin1').split('\n');
        if (echoed === token) finish({ outcome: 'answered', id });
      });
      socket.on('error', (error) => finish(failure(error) as Omit<UdpResult, 'elapsedMs'>));
    });
    socket.close();
    return { ...said, ...elapsed() };
  }

  ping(address: string, options?: PingOptions): Promise<PingResult> {
    return ping(this.netns, address, options, this.#sentinel);
  }

  close(): void {
    for (const each of [...this.#open]) this.#forget(each);
  }

  #connect(remote: Endpoint, options: ProbeOptions): number {
    return openConnected(this.#path, 'udp', remote, localEnd(remote, options));
  }

  #forget(entry: { close(): void }): void {
    if (this.#open.delete(entry)) entry.close();
  }

  /** Gives a descriptor to Node, which reads and closes it from now on. */
  async #adopt(fd: number, address: string): Promise<UdpSocket> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const listening = once(socket, 'listening');
    socket.bind({ fd, exclusive: true });
    await listening;
    return socket;
  }
}

function localEnd({ address }: Endpoint, { bindAddress, bindPort }: ProbeOptions): Endpoint | undefined {
  if (bindAddress === undefined && bindPort === undefined) return undefined;
  return { address: bindAddress ?? (address.includes(':') ? '::' : '0.0.0.0'), port: bindPort ?? 0 };
}

/** ETIMEDOUT is silence; all but it and a refusal is a host, perhaps our own kernel, saying that there is no way. */
function failure(error: unknown): { outcome: 'refused' | 'timeout' | 'unreachable'; error: string } {
  const code = (error as NodeJS.ErrnoException).code;
  if (!(error instanceof SocketError) && code === undefined) throw error;
  const outcome = code === 'ECONNREFUSED' ? 'refused' : code === 'ETIMEDOUT' ? 'timeout' : 'unreachable';
  return { outcome, error: code ?? '' };
}
