/**
 * The agent's side of the socket the CNI binary talks to: who may connect, where a request begins and ends, when the runtime has
 * given up. Hands requests to a handler and its answers back; never knows what a verb does, and nothing a client sends ends it.
 */
import { lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { Conflict } from '../../../controller/errors.ts';
import { type AgentRequest, type AgentResponse, CNI_ERROR, MESSAGE_BYTES_LIMIT } from '../../agent-protocol.ts';
import { CniError } from '../../cni-error.ts';
import { decodeRequest } from './decode-request.ts';

/** @param signal aborted when the runtime killed the plugin, or gave up waiting, before there was an answer */
export type Handler = (request: AgentRequest, signal: AbortSignal) => Promise<AgentResponse>;

export interface ServeOptions {
  /** time for a whole request to arrive, and for an answer to be taken; 10 s */
  readonly transferTimeoutMs?: number;
  /** at once; more are closed as they come, and their runtimes try again; 1024 */
  readonly maxConnections?: number;
  /** of requests that have not arrived whole, all together, in bytes; four of the longest */
  readonly unreadLimit?: number;
  /** how long close() waits for requests under way before it calls them off; 10 s */
  readonly drainTimeoutMs?: number;
  /** told of what a handler throws, which is a bug: its client gets error 999 */
  readonly onError?: (error: unknown) => void;
}

/** A socket being served. */
export interface AgentServer {
  /** Takes the socket away, lets requests under way finish, and returns once handlers are done and connections closed. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves one request per connection, many at once. Only this process's user (root) may connect. A socket file left by an
 * agent that died is replaced; its folder is made.
 * @throws Conflict if another agent answers on the socket, or the path holds something else
 */
export async function serve(socketPath: string, handler: Handler, options: ServeOptions = {}): Promise<AgentServer> {
  mkdirSync(dirname(socketPath), { recursive: true });
  await removeStaleSocket(socketPath);
  const conversations = new Map<Conversation, Promise<void>>();
  const unread = new Budget(options.unreadLimit ?? 4 * MESSAGE_BYTES_LIMIT);
  const server = createServer((socket) => {
    const conversation = new Conversation(socket, handler, options, unread);
    conversations.set(
      conversation,
      conversation.run().finally(() => conversations.delete(conversation)),
    );
  });
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  await listenPrivately(server, socketPath);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const conversation of conversations.keys()) conversation.dropIfIdle();
    const overdue = setTimeout(() => {
      for (const conversation of conversations.keys()) conversation.drop();
    }, options.drainTimeoutMs ?? 10_000);
    await Promise.all([closed, ...conversations.values()]);
    clearTimeout(overdue);
  };
  return {
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** So many ADDs at once no node has, and each takes a file descriptor. */
const MAX_CONNECTIONS = 1024;

/** Bytes that may be held at once. */
class Budget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** @returns false when there are not so many left; then none are taken */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/** From accepted to closed: one request in, one response out. */
class Conversation {
  readonly #socket: Socket;
  readonly #handler: Handler;
  readonly #options: ServeOptions;
  readonly #unread: Budget;
  readonly #gone = new AbortController();
  #state: 'reading' | 'handling' | 'answered' = 'reading';

  constructor(socket: Socket, handler: Handler, options: ServeOptions, unread: Budget) {
    this.#socket = socket;
    this.#handler = handler;
    this.#options = options;
    this.#unread = unread;
  }

  /** Never rejects. Returns when the connection is closed and the handler is done. */
  async run(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    // An error is followed by 'close'. A client that has ended its side will not take an answer.
    this.#socket.on('error', () => undefined);
    this.#socket.once('end', () => this.#hangUp());
    this.#socket.once('close', () => this.#hangUp());
    const tooSlow = setTimeout(() => this.drop(), this.#options.transferTimeoutMs ?? 10_000);
    const line = await this.#readLine();
    clearTimeout(tooSlow);
    if (line !== undefined) await this.#answer(line);
    const untaken = setTimeout(() => this.drop(), this.#options.transferTimeoutMs ?? 10_000);
    await closed;
    clearTimeout(untaken);
  }

  drop(): void {
    this.#socket.destroy();
    this.#hangUp();
  }

  dropIfIdle(): void {
    if (this.#state === 'reading') this.drop();
  }

  #hangUp(): void {
    if (this.#state !== 'answered') this.#gone.abort(new Error('the runtime gave up on the call'));
  }

  async #answer(line: string | CniError): Promise<void> {
    this.#state = 'handling';
    const response = await this.#respond(line);
    this.#state = 'answered';
    if (this.#gone.signal.aborted) this.#socket.destroy();
    else this.#socket.end(`${JSON.stringify(response)}\n`);
  }

  async #respond(line: string | CniError): Promise<AgentResponse> {
    try {
      if (line instanceof CniError) throw line;
      return await this.#handler(decodeRequest(line), this.#gone.signal);
    } catch (error) {
      if (error instanceof CniError) return { ok: false, error: error.body };
      this.#options.onError?.(error);
      return { ok: false, error: { code: CNI_ERROR.internal, msg: 'internal error', details: String(error) } };
    }
  }

  /** @returns the request's line, the error to answer it with, or nothing if the client left before its end */
  #readLine(): Promise<string | CniError | undefined> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let length = 0;
      let held = 0;
      let isComplete = false;
      const complete = (line: string | CniError | undefined): void => {
        isComplete = true;
        chunks.length = 0;
        this.#unread.giveBack(held);
        held = 0;
        resolve(line);
      };
      // Stays, and takes what follows the line for nothing: only a socket that is read tells when it ends.
      this.#socket.on('data', (chunk: Buffer) => {
        if (isComplete) return;
        const newline = chunk.indexOf(0x0a);
        length += newline < 0 ? chunk.length : newline;
        if (length > MESSAGE_BYTES_LIMIT) return complete(tooLong());
        if (!this.#unread.take(chunk.length)) return complete(tooMany());
        held += chunk.length;
        chunks.push(newline < 0 ? chunk : chunk.subarray(0, newline));
        if (newline >= 0) complete(Buffer.concat(chunks).toString('utf8'));
      });
      this.#gone.signal.addEventListener('abort', () => complete(undefined));
    });
  }
}

function tooLong(): CniError {
  return new CniError(CNI_ERROR.decode, `the request is longer than ${MESSAGE_BYTES_LIMIT} bytes`);
}

function tooMany(): CniError {
  return new CniError(CNI_ERROR.tryAgain, 'too much is being read from others: try again later');
}

/** @throws Conflict unless the path is free or was left by an agent that is dead */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const there = lstatSync(socketPath, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new Conflict(`${socketPath} exists and is not a socket`, { field: 'socket' });
  const refusal = await connectError(socketPath);
  if (refusal === 'ENOENT') return;
  // A full backlog (EAGAIN) is a live agent as well.
  if (refusal !== 'ECONNREFUSED') throw new Conflict(`another agent serves ${socketPath}`, { field: 'socket' });
  unlinkSync(socketPath);
}

/** @returns the error's code, or undefined if a process accepts */
function connectError(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath });
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Binds with mode 0600 from the first moment: a chmod afterwards would leave one in which others could connect. */
async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const umask = process.umask(0o177);
  try {
    // Binds before it returns; only the event comes later.
    server.listen({ path: socketPath });
  } finally {
    process.umask(umask);
  }
  await listening;
}
