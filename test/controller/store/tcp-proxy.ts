/** A TCP proxy that misbehaves on demand: the network between a store and its etcd. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
}

/** Listens on a free loopback port; each connection gets one to the target. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #url: string;
  #refusing = false;
  #answersHeld = false;
  #bytesLeft = Number.POSITIVE_INFINITY;
  #bytesEach = Number.POSITIVE_INFINITY;
  /** counts connections, also those refused */
  connections = 0;

  static async open(targetUrl: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(targetUrl);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, hostname, Number(port));
  }

  private constructor(server: Server, hostname: string, port: number) {
    this.#server = server;
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP server');
    this.#url = `http://127.0.0.1:${address.port}`;
    server.on('connection', (client) => this.#accept(client, connect(port, hostname)));
  }

  get url(): string {
    return this.#url;
  }

  /** Ends every connection; new ones are accepted. */
  cut(): void {
    for (const { client, upstream } of this.#pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  /** Ends every connection, and new ones at once, until `allow`. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  /** What etcd says from now on is swallowed; what it is told still arrives. For ever, on connections open now. */
  swallowAnswers(): void {
    this.#answersHeld = true;
  }

  allow(): void {
    this.#refusing = false;
    if (this.#answersHeld) this.cut();
    this.#answersHeld = false;
  }

  /** Ends every connection each time that `bytes` of answers have passed. */
  cutEvery(bytes: number): void {
    this.#bytesEach = bytes;
    this.#bytesLeft = bytes;
  }

  async close(): Promise<void> {
    this.refuse();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket, upstream: Socket): void {
    this.connections += 1;
    const pair: Pair = { client, upstream };
    this.#pairs.add(pair);
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => this.#answer(client, bytes));
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined); // 'close' follows
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
        this.#pairs.delete(pair);
      });
    }
    if (this.#refusing) client.destroy();
  }

  #answer(client: Socket, bytes: Buffer): void {
    if (this.#answersHeld) return;
    client.write(bytes);
    this.#bytesLeft -= bytes.length;
    if (this.#bytesLeft > 0) return;
    this.#bytesLeft = this.#bytesEach;
    this.cut();
  }
}
