/** What never reaches the application is answered as all other failures are: a problem document with the id of the request. */
import { once } from 'node:events';
import type { RequestListener, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { PROBLEMS, type ProblemCode } from '../../controller/api/problems.ts';
import { type ListenOptions, listen } from '../../controller/listen.ts';

type Logged = Record<string, unknown>;

/** A connection to a listener of its own, and what the listener logs. */
async function dial(handler: RequestListener = (_, response) => response.end('ok'), options: ListenOptions = {}) {
  const logged: Logged[] = [];
  const log = { info: (fields: Logged) => void logged.push(fields) } as unknown as NonNullable<ListenOptions['log']>;
  const listener = await listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, handler, { log, ...options });
  const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
  onTestFinished(async () => {
    socket.destroy();
    await listener.close(0);
  });
  socket.on('error', () => undefined);
  const chunks: string[] = [];
  socket.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  return { socket, logged, text: () => chunks.join('') };
}

/** All that comes until the other end closes. */
async function answerTo(bytes: string, { socket, text }: { readonly socket: Socket; text(): string }): Promise<string> {
  socket.write(bytes);
  await once(socket, 'close');
  return text();
}

function expectProblem(answer: string, logged: readonly Logged[], code: ProblemCode): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const { status, title } = PROBLEMS[code];
  const headers = new Map(
    head.split('\r\n').flatMap((line) => {
      const [name = '', value] = line.split(': ');
      return value === undefined ? [] : [[name.toLowerCase(), value]];
    }),
  );
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(headers.get('content-type')).toBe('application/problem+json');
  expect(headers.get('connection')).toBe('close');
  const requestId = headers.get('x-request-id');
  expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
  const detail = expect.stringMatching(/./);
  expect(JSON.parse(body)).toEqual({ type: `urn:tenet:problem:${code}`, title, status, code, detail, requestId });
  expect(logged).toEqual([{ reqId: requestId, status, reason: expect.stringMatching(/./) }]);
}

test.each<[string, ProblemCode, string]>([
  ['no HTTP', 'invalid_input', 'not HTTP at all\r\n\r\n'],
  ['headers that are too large', 'headers_too_large', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`],
  ['a request without Host', 'invalid_input', 'GET / HTTP/1.1\r\n\r\n'],
  ['an expectation that is unknown', 'invalid_input', 'GET / HTTP/1.1\r\nhost: x\r\nexpect: a miracle\r\n\r\n'],
  ['a body that is broken', 'invalid_input', 'PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
])('%s', async (_, code, bytes) => {
  // Answers requests that are whole.
  const caller = await dial((request, response) => void request.resume().once('end', () => response.end('ok')));
  expectProblem(await answerTo(bytes, caller), caller.logged, code);
});

test('a request that comes too slowly', async () => {
  const times = { headersTimeout: 20, requestTimeout: 20, connectionsCheckingInterval: 5 };
  const caller = await dial(undefined, { times });
  expectProblem(await answerTo('GET / HTTP/1.1\r\nhost', caller), caller.logged, 'request_timeout');
});

test('a request of HTTP 1.0 needs no Host', async () => {
  const caller = await dial();
  expect(await answerTo('GET / HTTP/1.0\r\n\r\n', caller)).toMatch(/^HTTP\/1\.1 200 .*ok$/s);
  expect(caller.logged).toEqual([]);
});

test('what comes behind a request is not mixed into its answer', async () => {
  const waiting: ServerResponse[] = [];
  const caller = await dial((_, response) => void waiting.push(response));
  caller.socket.write('GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\nno HTTP\r\n\r\n');
  await expect.poll(() => waiting.length).toBe(2);
  waiting[0]?.write('fir');
  await expect.poll(caller.text).toContain('fir');
  caller.socket.write('still no HTTP\r\n\r\n');
  waiting[0]?.end('st');
  waiting[1]?.end('second');
  await once(caller.socket, 'close');
  expect(caller.text()).not.toContain('400');
  expect(caller.text()).toMatch(/200 OK.*fir.*st.*200 OK.*connection: close.*second/is);
});
