/**
 * Where REST is served: TCP ports and unix sockets, all for one application. Owns the sockets and their ends, knows nothing of what
 * is asked through them.
 */
import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { type RequestListener, Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { InvalidInput } from './errors.ts';

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

/** A request must have come, and an idle connection be used again, within these. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 75_000;

/**
 * @param connections bounds them, together with other listeners'
 * @throws InvalidInput (`listen`) when the address is taken or cannot be had
 */
export async function listen(
  address: ListenAddress,
  handler: RequestListener,
  connections?: Connections,
): Promise<Listener> {
  const server = new DrainingServer(handler);
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

/** What is not HTTP, or too slow or large to be taken for it, never reaches the application. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const [status, title] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408', 'Request Timeout']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431', 'Request Header Fields Too Large']
        : ['400', 'Bad Request'];
  const body = JSON.stringify({
    type: 'about:blank',
    title,
    status: Number(status),
    code: 'invalid_input',
    detail: title,
  });
  const head = [`HTTP/1.1 ${status} ${title}`, 'connection: close', 'content-type: application/problem+json'];
  socket.end([...head, `content-length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'));
}

/** A socket, as far as callers on it are owed something. */
interface Connection {
  /** answers that have not been handed to the kernel whole, in the order of their requests */
  readonly unsent: ServerResponse[];
  /** the newest of them tells the caller that it is the last one: requests behind it are not taken. @see RFC 9112 section 9.6 */
  isEnding: boolean;
}

/**
 * A server that can be closed without cutting an answer short: it ends each connection once it owes nothing more on it, and says so
 * where it still can. A request is owed an answer from when its head has come.
 */
class DrainingServer extends Server {
  readonly #connections = new Map<Socket, Connection>();
  #isDraining = false;

  constructor(handler: RequestListener) {
    super({
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    this.on('clientError', refuse);
    this.on('connection', (socket: Socket) => {
      this.#connections.set(socket, { unsent: [], isEnding: false });
      socket.once('close', () => this.#connections.delete(socket));
    });
    this.on('request', (request, response) => {
      if (this.#owe(request.socket, response)) handler(request, response);
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
      if (this.#isDraining && unsent.length === 0) socket.destroySoon();
    });
    if (this.#isDraining) announceEnd(connection);
    return true;
  }
}

/** Of the newest answer alone, and if its head is not out: what is owed behind one that says so would be lost. */
function announceEnd(connection: Connection): void {
  const newest = connection.unsent.at(-1);
  if (newest === undefined || newest.headersSent) return;
  newest.setHeader('connection', 'close');
  connection.isEnding = true;
}
