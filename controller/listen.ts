/**
 * Where REST is served: TCP ports and unix sockets, all for one application. Owns the sockets and their ends, knows nothing of what
 * is asked through them.
 */
import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { type RequestListener, Server, type ServerOptions, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Connections } from './connections.ts';
import { InvalidInput } from './errors.ts';
import { formatResponse, type Refusal, refuseRequest, refuseUnparsed } from './unparsed.ts';

/** `path` is a unix socket's; port 0 is a free one. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface Listener {
  /** such as `http://127.0.0.1:7480` or `unix:/run/tenet.sock` */
  readonly url: string;
  /** Takes no more requests, finishes those there are, for at most `deadlineMs`. */
  close(deadlineMs: number): Promise<void>;
}

export interface ListenOptions {
  /** bounds them, together with other listeners' */
  readonly connections?: Connections;
  /** told of what is refused before the application sees it */
  readonly log?: Pick<Logger, 'info'>;
  /** Node's, in milliseconds, to replace ours */
  readonly times?: Pick<ServerOptions, 'requestTimeout' | 'headersTimeout' | 'connectionsCheckingInterval'>;
}

/** A request must have come, and an idle connection be used again, within these, in milliseconds. problems.ts says them to callers. */
const TIMES = { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 75_000 };
/** Bytes; likewise. */
const MAX_HEADERS = 16 * 1024;

/** @throws InvalidInput (`listen`) when the address is taken or cannot be had */
export async function listen(
  address: ListenAddress,
  handler: RequestListener,
  options: ListenOptions = {},
): Promise<Listener> {
  const { connections } = options;
  const server = new DrainingServer(handler, options);
  connections?.guard(server);
  try {
    if (address.kind === 'unix') await removeStaleSocket(address.path);
    const where = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    server.listen(where);
    await once(server, 'listening');
  } catch (error) {
    if (error instanceof InvalidInput) throw error;
    throw new InvalidInput('listen', `cannot listen on ${formatAddress(address)}: ${(error as Error).message}`);
  }
  return { url: urlOf(server, address), close: (deadlineMs) => server.drain(deadlineMs) };
}

/** `host:port`, `[host]:port` or `unix:/path` */
export function formatAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

function urlOf(server: Server, address: ListenAddress): string {
  const bound = server.address();
  if (address.kind === 'unix' || bound === null || typeof bound === 'string') return formatAddress(address);
  return `http://${formatAddress({ ...address, port: bound.port })}`;
}

/** A socket on which no process answers was left by one that was killed. @throws InvalidInput if one answers, or it is no socket */
async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new InvalidInput('listen', `${path} exists and is not a socket`);
  const probe = connect(path);
  try {
    await once(probe, 'connect');
  } catch {
    unlinkSync(path);
    return;
  } finally {
    probe.destroy();
  }
  throw new InvalidInput('listen', `another process listens on ${path}`);
}

/** A socket, as far as callers on it are owed something. */
interface Connection {
  /** answers that have not been handed to the kernel whole, in the order of their requests */
  readonly unsent: ServerResponse[];
  /** the newest of them tells the caller that it is the last one: requests behind it are not taken. @see RFC 9112 section 9.6 */
  isEnding: boolean;
  /** what came behind the requests is no HTTP: it ends once they are answered */
  isBroken: boolean;
}

/**
 * A server that can be closed without cutting an answer short: it ends each connection once it owes nothing more on it, and says so
 * where it still can. A request is owed an answer from when its head has come.
 */
class DrainingServer extends Server {
  readonly #connections = new Map<Socket, Connection>();
  readonly #log: ListenOptions['log'];
  #isDraining = false;

  constructor(handler: RequestListener, { log, times }: ListenOptions) {
    // Requests without Host and with an Expect that is unknown are refused here: Node's own answers have no body.
    super({ ...TIMES, maxHeaderSize: MAX_HEADERS, requireHostHeader: false, ...times });
    this.#log = log;
    this.on('clientError', (error, socket) => this.#refuse(error, socket as Socket));
    this.on('connection', (socket: Socket) => {
      this.#connections.set(socket, { unsent: [], isEnding: false, isBroken: false });
      socket.once('close', () => this.#connections.delete(socket));
    });
    this.on('checkExpectation', (request, response) => void this.emit('request', request, response));
    this.on('request', (request, response) => {
      if (!this.#owe(request.socket, response)) return;
      const refusal = refuseRequest(request);
      if (refusal === undefined) return void handler(request, response);
      this.#tell(refusal);
      response.writeHead(refusal.status, refusal.headers).end(refusal.body);
    });
  }

  /** Takes no more connections, and waits until those there are have ended: for at most `deadlineMs`, then it cuts them. */
  async drain(deadlineMs: number): Promise<void> {
    const closed = once(this, 'close');
    this.#isDraining = true;
    for (const connection of this.#connections.values()) announceEnd(connection);
    this.close();
    const late = setTimeout(() => this.closeAllConnections(), deadlineMs);
    await closed;
    clearTimeout(late);
  }

  /**
   * Called by close(), too. Node's own cuts answers that are ended but still on their way out, and leaves connections that never sent
   * a byte.
   */
  override closeIdleConnections(): void {
    for (const [socket, { unsent }] of this.#connections) if (unsent.length === 0) socket.destroySoon();
  }

  /** Node's own forgets connections on which something came that is no HTTP. */
  override closeAllConnections(): void {
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  /** @returns false for a request that comes too late to be taken */
  #owe(socket: Socket, response: ServerResponse): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.isEnding) return false;
    const { unsent } = connection;
    unsent.push(response);
    response.once('close', () => {
      unsent.splice(unsent.indexOf(response), 1);
      if ((this.#isDraining || connection.isBroken) && unsent.length === 0) socket.destroySoon();
    });
    if (this.#isDraining) announceEnd(connection);
    return true;
  }

  /** What is not HTTP, or too slow or large to be taken for it. It must not be mixed into answers to requests that came before it. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || !socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
    const { unsent } = connection;
    const newest = unsent.at(-1);
    if (newest?.req.complete) {
      connection.isBroken = true;
      announceEnd(connection);
    } else if (unsent.length > 1 || newest?.headersSent) {
      socket.destroy();
    } else {
      // Of a request whose body is at fault this is the answer.
      const refusal = refuseUnparsed(error);
      this.#tell(refusal);
      socket.end(formatResponse(refusal));
    }
  }

  #tell({ requestId, status, reason }: Refusal): void {
    this.#log?.info({ reqId: requestId, status, reason }, 'refused before it was a request');
  }
}

/** Of the newest answer alone, and if its head is not out: what is owed behind one that says so would be lost. */
function announceEnd(connection: Connection): void {
  const newest = connection.unsent.at(-1);
  if (newest === undefined || newest.headersSent) return;
  newest.setHeader('connection', 'close');
  connection.isEnding = true;
}
