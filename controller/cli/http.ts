/**
 * HTTP as tenetctl speaks it: one request, one reply, over TCP or a unix socket. Knows no server, and no failure but the socket's.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface Reply {
  readonly status: number;
  /** parsed JSON, or undefined for an empty body */
  readonly body: unknown;
  /** value for If-Match of a later write */
  readonly etag: string | undefined;
}

export interface HttpBody {
  /** media type */
  readonly type: string;
  readonly parts: string | AsyncIterable<Uint8Array>;
}

/** One request, one reply. Rejects with the socket's error, or when the server is silent for too long. */
export async function exchange(options: RequestOptions, body?: HttpBody): Promise<Reply> {
  return await readReply(await ask(options, body));
}

/** The reply's head, its body yet to come; silence ends that as well, with an error. */
export function ask(options: RequestOptions, body?: HttpBody): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...options, agent: false }, (response) => {
      silent = (error) => response.destroy(error);
      resolve(response);
    });
    let silent = (error: Error): unknown => request.destroy(error);
    request.on('timeout', () => silent(new Error(`no answer within ${(options.timeout ?? 0) / 1000} seconds`)));
    request.on('error', reject);
    send(request, body);
  });
}

export async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return { status: response.statusCode ?? 0, body: parseBody(text), etag: response.headers.etag };
}

function parseBody(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return text;
  }
}

/** What goes wrong with a body that comes in parts ends the request with that error. */
function send(request: ClientRequest, body: HttpBody | undefined): void {
  if (body === undefined) request.end();
  else if (typeof body.parts === 'string') request.end(body.parts);
  else void pipeline(Readable.from(body.parts), request).catch((error: Error) => request.destroy(error));
}
