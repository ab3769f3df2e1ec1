/**
 * Where REST is served: TCP ports and unix sockets, all for one application. Owns the sockets and their ends, knows nothing of what
 * is asked through them.
 */
import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
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

/** @throws InvalidInput (`listen`) when the address is taken or cannot be had */
export async function listen(address: ListenAddress, handler: RequestListener): Promise<Listener> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: HEADERS_TIMEOUT_MS }, handler);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on('clientError', refuse);
  try {
    if (address.kind === 'unix') await removeStaleSocket(address.path);
    const where = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    server.listen(where);
    await once(server, 'listening');
  } catch (error) {
    if (error instanceof InvalidInput) throw error;
    throw new InvalidInput('listen', `cannot listen on ${formatAddress(address)}: ${(error as Error).message}`);
  }
  return { url: urlOf(server, address), close: (deadlineMs) => close(server, deadlineMs) };
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

/** A socket that nobody answers on was left by a process that was killed. @throws InvalidInput when somebody does, or it is none */
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

async function close(server: Server, deadlineMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const late = setTimeout(() => server.closeAllConnections(), deadlineMs);
  await closed;
  clearTimeout(late);
}
