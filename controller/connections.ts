/**
 * How many connections REST holds open: a bound on all of them, and little patience with those that have not shown the token. Whose
 * they are is told by their requests; the sockets' own ends (keep-alive, time for a request) are listen.ts's.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ConnectionOptions {
  /** does this request bear the token? */
  readonly isAuthentic: (request: IncomingMessage) => boolean;
  /** open at once, on all listeners together; 2000 */
  readonly limit?: number;
  /** time for a connection to show the token, in milliseconds; 10 s */
  readonly anonymousMs?: number;
}

const LIMIT = 2_000;
const ANONYMOUS_MS = 10_000;

/** What is known of one connection. */
interface Connection {
  isAuthentic: boolean;
  /** requests that are not answered yet */
  underWay: number;
  readonly patience: NodeJS.Timeout;
}

/**
 * The connections of all listeners of one controller. Where there are as many as may be, a new one takes the place of the oldest that
 * has not shown the token, else of the one that has been idle longest; only where every single one is at work it is refused.
 */
export class Connections {
  readonly #options: ConnectionOptions;
  readonly #limit: number;
  readonly #all = new Map<Socket, Connection>();
  /** oldest first */
  readonly #anonymous = new Set<Socket>();
  /** of those that have shown the token; longest idle first */
  readonly #idle = new Set<Socket>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#limit = options.limit ?? LIMIT;
  }

  /** Watches a server's connections. Requests that ask before they send their body become requests like others. */
  guard(server: Server): void {
    server.on('connection', (socket: Socket) => this.#admit(socket));
    server.prependListener('request', (request, response) => this.#see(request, response));
    // Without a listener Node would ask for the body before the application has seen who sends it.
    server.on('checkContinue', (request, response) => {
      if (this.#options.isAuthentic(request)) response.writeContinue();
      else response.setHeader('connection', 'close');
      server.emit('request', request, response);
    });
  }

  #admit(socket: Socket): void {
    if (this.#all.size >= this.#limit && !this.#makeRoom()) return void socket.destroy();
    const { anonymousMs = ANONYMOUS_MS } = this.#options;
    const patience = setTimeout(() => socket.destroy(), anonymousMs).unref();
    this.#all.set(socket, { isAuthentic: false, underWay: 0, patience });
    this.#anonymous.add(socket);
    socket.once('close', () => this.#forget(socket));
  }

  #makeRoom(): boolean {
    const [victim] = this.#anonymous.size > 0 ? this.#anonymous : this.#idle;
    if (victim === undefined) return false;
    victim.destroy();
    // Its 'close' comes later.
    this.#forget(victim);
    return true;
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#all.get(socket)?.patience);
    this.#all.delete(socket);
    this.#anonymous.delete(socket);
    this.#idle.delete(socket);
  }

  #see(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const connection = this.#all.get(socket);
    if (connection === undefined) return;
    if (!connection.isAuthentic && this.#options.isAuthentic(request)) {
      connection.isAuthentic = true;
      clearTimeout(connection.patience);
      this.#anonymous.delete(socket);
    }
    connection.underWay++;
    this.#idle.delete(socket);
    response.once('close', () => {
      connection.underWay--;
      if (connection.isAuthentic && connection.underWay === 0 && this.#all.has(socket)) this.#idle.add(socket);
    });
  }
}
