/**
 * The way to the controller: finds server and token, sends one request, reads lists page by page. Speaks HTTP over TCP or
 * a unix socket. Turns every answer but success into a CliFailure; knows nothing of tenants or tables.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { parseEvents, type ServerEvent } from './events.ts';
import { CliFailure, EXIT, invalidInput, problemFailure } from './failures.ts';
import { ask, exchange, type HttpBody, type Reply, readReply } from './http.ts';

export const DEFAULT_SERVER = 'http://127.0.0.1:7480';
export const DEFAULT_TOKEN_FILE = '/var/lib/tenet/token';
const TIMEOUT_MS = 30_000;
const PAGE_SIZE = 500;

/** The controller sends something every 15 seconds. */
const SILENCE_MS = 45_000;

/** Command-line options that say where the controller is. */
export interface ConnectionOptions {
  readonly server?: string;
  readonly tokenFile?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where requests go. `socketPath` absent: TCP to host and port. */
interface Target {
  readonly text: string;
  readonly socketPath?: string;
  readonly hostname?: string;
  readonly port?: number;
}

/** The token and where it came from, or why there is none. */
interface Token {
  readonly value?: string;
  readonly origin: string;
}

export interface RequestOptions {
  /** sent as JSON */
  readonly body?: unknown;
  /** sent as it is, instead */
  readonly content?: HttpBody;
  readonly ifMatch?: string | undefined;
  /** refuse to overwrite */
  readonly ifNoneMatch?: '*';
  readonly query?: Readonly<Record<string, string>>;
  /** the server may take so much longer than usual, milliseconds */
  readonly extraMs?: number;
  /** what to do if the server refuses, by status */
  readonly hints?: Readonly<Record<number, string>>;
}

/** A JSON object as REST gives it. */
export type Json = Readonly<Record<string, unknown>>;

/** A list as REST gives it. */
export type JsonList = Json & { readonly items: readonly Json[] };

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `http://host:port` or `unix:/path`. @throws CliFailure (invalid) */
function parseServer(text: string): Target {
  if (text.startsWith('unix:/')) return { text, socketPath: text.slice('unix:'.length) };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' || url.pathname !== '/' || url.search !== '')
    throw invalidInput([`server: ${JSON.stringify(text)} is neither http://HOST:PORT nor unix:/PATH`]);
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { text, hostname, port: url.port === '' ? 80 : Number(url.port) };
}

/**
 * --token-file, TENET_TOKEN_FILE, TENET_TOKEN, the default file, in this order. A file that was named must be readable;
 * without the default one the request goes out without a token.
 */
function findToken(options: ConnectionOptions, env: Environment): Token {
  const named = options.tokenFile ?? (env.TENET_TOKEN_FILE || undefined);
  if (named === undefined && env.TENET_TOKEN) return { value: env.TENET_TOKEN.trim(), origin: 'TENET_TOKEN' };
  const path = named ?? DEFAULT_TOKEN_FILE;
  try {
    return { value: readFileSync(path, 'utf8').trim(), origin: path };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'does not exist' : code === 'EACCES' ? 'may be read by root only' : String(code);
    if (named === undefined) return { origin: `${path}, which ${reason}` };
    throw invalidInput([`token-file: ${path} cannot be read: it ${reason}`]);
  }
}

/** One per command. Keeps no connection open, so needs no close(). */
export class Connection {
  readonly #target: Target;
  readonly #token: Token;

  constructor(options: ConnectionOptions, env: Environment) {
    this.#target = parseServer(options.server ?? (env.TENET_SERVER || DEFAULT_SERVER));
    this.#token = findToken(options, env);
  }

  get server(): string {
    return this.#target.text;
  }

  /** @returns undefined where the server answers 404 @throws CliFailure for everything else but success */
  async find(path: string): Promise<Reply | undefined> {
    const reply = await this.#send('GET', path, {});
    return reply.status === 404 ? undefined : this.#accept(reply, {});
  }

  /** @throws CliFailure unless the status is 2xx */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Reply> {
    return this.#accept(await this.#send(method, path, options), options);
  }

  /** One object. @throws CliFailure if there is none, or the answer is no object */
  async getJson(path: string): Promise<Json> {
    const { body } = await this.request('GET', path);
    if (!isJson(body)) throw this.#notTenet();
    return body;
  }

  /** @returns undefined where what would have the list does not exist @throws CliFailure for everything else */
  async findList(path: string): Promise<JsonList | undefined> {
    try {
      return await this.list(path);
    } catch (error) {
      if (error instanceof CliFailure && error.exitCode === EXIT.notFound) return undefined;
      throw error;
    }
  }

  /** Every page of a list. @returns the first page's body with the items of all of them, and no `continue` */
  async list(path: string): Promise<JsonList> {
    const items: Json[] = [];
    const unreadable: Json[] = [];
    let first: Json | undefined;
    let next: string | undefined;
    do {
      const query = { limit: String(PAGE_SIZE), ...(next === undefined ? {} : { continue: next }) };
      const { body } = await this.request('GET', path, { query });
      if (!isJson(body) || !Array.isArray(body.items)) throw this.#notTenet();
      first ??= body;
      items.push(...body.items.filter(isJson));
      if (Array.isArray(body.unreadable)) unreadable.push(...body.unreadable.filter(isJson));
      next = typeof body.continue === 'string' && body.continue !== '' ? body.continue : undefined;
    } while (next !== undefined);
    const { continue: _, ...rest } = first;
    return { ...rest, items, ...(unreadable.length === 0 ? {} : { unreadable }) };
  }

  /**
   * Server-sent events, until the server ends them or `signal` aborts. The connection is lost when nothing comes for 45 s.
   * @throws CliFailure unless the server agrees; from the events, when the connection is lost
   */
  async openEvents(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ServerEvent>> {
    const { text: _, ...target } = this.#target;
    const headers = { accept: 'text/event-stream, application/problem+json', ...this.#authorization() };
    const where = `${path}?${new URLSearchParams(query)}`;
    const options = { ...target, method: 'GET', path: where, headers, timeout: SILENCE_MS, signal };
    const response = await ask(options).catch((error) => {
      throw this.#unreachable(error);
    });
    if (response.statusCode !== 200) this.#accept(await readReply(response), {});
    return this.#readEvents(response, signal);
  }

  /** A body as it comes. @throws CliFailure unless the status is 200; from its parts, when the connection is cut */
  async download(path: string): Promise<AsyncIterable<Uint8Array>> {
    const { text: _, ...target } = this.#target;
    const options = { ...target, method: 'GET', path, headers: this.#authorization(), timeout: TIMEOUT_MS };
    const response = await ask(options).catch((error) => {
      throw this.#unreachable(error);
    });
    if (response.statusCode !== 200) this.#accept(await readReply(response), {});
    return this.#readParts(response);
  }

  async *#readParts(response: IncomingMessage): AsyncGenerator<Uint8Array, void, undefined> {
    const parts: AsyncIterator<Uint8Array> = response[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await parts.next().catch((error) => {
          throw this.#unreachable(error);
        });
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      response.destroy();
    }
  }

  async *#readEvents(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<ServerEvent, void, undefined> {
    const events = parseEvents(response.setEncoding('utf8'));
    for (;;) {
      // Only what the connection throws, not what is done with an event.
      const next = await events.next().catch((error) => {
        if (signal.aborted) return undefined;
        throw this.#unreachable(error);
      });
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  }

  #authorization(): Readonly<Record<string, string>> {
    return this.#token.value === undefined ? {} : { authorization: `Bearer ${this.#token.value}` };
  }

  #notTenet(): CliFailure {
    return new CliFailure(EXIT.failure, `${this.server} answered with something unknown: is it Tenet's controller?`);
  }

  #accept(reply: Reply, options: RequestOptions): Reply {
    if (reply.status >= 200 && reply.status < 300) return reply;
    const hint = reply.status === 401 || reply.status === 403 ? this.#tokenHint() : options.hints?.[reply.status];
    throw problemFailure(reply.status, reply.body, hint);
  }

  #tokenHint(): string {
    const origin = this.#token.value === undefined ? 'no token was sent' : 'the token sent is not the right one';
    return `${origin}; it was looked for in ${this.#token.origin}. Name its file with --token-file or TENET_TOKEN_FILE`;
  }

  async #send(method: string, path: string, options: RequestOptions): Promise<Reply> {
    const query = options.query === undefined ? '' : `?${new URLSearchParams(options.query)}`;
    const body = options.content ?? jsonBody(options.body);
    const { text: _, ...target } = this.#target;
    const headers = {
      accept: 'application/json',
      ...this.#authorization(),
      ...(body === undefined ? {} : { 'content-type': body.type }),
      ...(options.ifMatch === undefined ? {} : { 'if-match': options.ifMatch }),
      ...(options.ifNoneMatch === undefined ? {} : { 'if-none-match': options.ifNoneMatch }),
    };
    try {
      const timeout = TIMEOUT_MS + (options.extraMs ?? 0);
      return await exchange({ ...target, method, path: path + query, headers, timeout }, body);
    } catch (error) {
      throw this.#unreachable(error as NodeJS.ErrnoException);
    }
  }

  #unreachable(error: NodeJS.ErrnoException): CliFailure {
    const reason = REASONS[error.code ?? ''] ?? error.message;
    const hint = 'is tenet-controller running there? Name another with --server or TENET_SERVER';
    return new CliFailure(EXIT.unreachable, `cannot reach ${this.server}: ${reason}`, hint, { cause: error });
  }
}

function jsonBody(value: unknown): HttpBody | undefined {
  return value === undefined ? undefined : { type: 'application/json', parts: JSON.stringify(value) };
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'there is no such socket',
  EACCES: 'this user may not use the socket',
  ENOTFOUND: 'the host name is unknown',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'the host is unreachable',
  ENETUNREACH: 'the network is unreachable',
};
