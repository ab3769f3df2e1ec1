/** Sockets: stale ones are replaced, live ones are not, and closing finishes what was begun. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get as httpGet, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { InvalidInput } from '../../controller/errors.ts';
import { formatAddress, type ListenAddress, listen } from '../../controller/listen.ts';

const LOOPBACK: ListenAddress = { kind: 'tcp', host: '127.0.0.1', port: 0 };

async function listenForTest(
  address: ListenAddress,
  handler: Parameters<typeof listen>[1] = (_, response) => response.end('ok'),
) {
  const listener = await listen(address, handler);
  onTestFinished(() => listener.close(0));
  return listener;
}

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenet-listen-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 's.sock');
}

/** What a unix socket answers to a GET. */
async function get(path: string): Promise<string> {
  const [response] = await once(request({ socketPath: path, path: '/' }).end(), 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

/** Leaves a socket file that no process listens on, as a killed process does. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer().listen(`${path}.live`);
  await once(server, 'listening');
  renameSync(`${path}.live`, path); // closing removes the name it was bound to
  server.close();
  await once(server, 'close');
  expect(existsSync(path)).toBe(true);
}

test('a free port is chosen and told', async () => {
  const { url } = await listenForTest(LOOPBACK);
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(await (await fetch(url)).text()).toBe('ok');
});

test('a port that is taken is refused', async () => {
  const { url } = await listenForTest(LOOPBACK);
  const port = Number(new URL(url).port);
  await expect(listen({ ...LOOPBACK, port }, () => undefined)).rejects.toThrow(/EADDRINUSE/);
  await expect(listen({ ...LOOPBACK, port }, () => undefined)).rejects.toThrow(InvalidInput);
});

test('a stale socket is replaced', async () => {
  const path = socketPath();
  await leaveStale(path);
  await listenForTest({ kind: 'unix', path });
  expect(await get(path)).toBe('ok');
});

test('a live socket is refused and lives on', async () => {
  const path = socketPath();
  await listenForTest({ kind: 'unix', path });
  await expect(listen({ kind: 'unix', path }, () => undefined)).rejects.toThrow(/another process listens/);
  expect(await get(path)).toBe('ok');
});

test('a file that is no socket is refused and stays', async () => {
  const path = socketPath();
  writeFileSync(path, 'precious');
  await expect(listen({ kind: 'unix', path }, () => undefined)).rejects.toThrow(/not a socket/);
  expect(existsSync(path)).toBe(true);
});

/** So long that a test which waits for it fails by its own time: what ends sooner ends by itself. */
const AN_HOUR_MS = 3_600_000;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A listener whose requests wait for the test to answer them, in the order in which they come. */
async function listenByHand() {
  const waiting: Exchange[] = [];
  const wanting: ((exchange: Exchange) => void)[] = [];
  const listener = await listenForTest(LOOPBACK, (request, response) => {
    const exchange = { request, response };
    const want = wanting.shift();
    if (want === undefined) waiting.push(exchange);
    else want(exchange);
  });
  const next = () =>
    new Promise<Exchange>((resolve) => {
      const exchange = waiting.shift();
      if (exchange === undefined) wanting.push(resolve);
      else resolve(exchange);
    });
  return { listener, next, waiting };
}

/** A connection that is read as it comes. */
async function dial(url: string) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  return { socket, closed, text: () => text };
}

const ask = (socket: Socket, path: string) => socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);

describe('closing', () => {
  test('lets a request end, and takes no other', async () => {
    const { listener, next } = await listenByHand();
    const pending = fetch(listener.url);
    const { response } = await next();
    const closing = listener.close(AN_HOUR_MS);
    await expect(fetch(listener.url)).rejects.toThrow();
    response.end('done');
    expect(await (await pending).text()).toBe('done');
    await closing;
  });

  test('does not wait for callers that keep their connections: it tells them so in the answer', async () => {
    const { listener, next } = await listenByHand();
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const pending = once(httpGet(listener.url, { agent }), 'response');
    const { response } = await next();
    const closing = listener.close(AN_HOUR_MS);
    response.end('done');
    const [answer] = await pending;
    expect(answer.headers.connection).toBe('close');
    answer.resume();
    await closing;
  });

  test('does not wait for a connection on which nothing is asked any more', async () => {
    const { listener, next } = await listenByHand();
    const { socket, closed, text } = await dial(listener.url);
    ask(socket, '/');
    (await next()).response.end('done');
    await expect.poll(text).toContain('done');
    await listener.close(AN_HOUR_MS);
    await closed;
  });

  test('does not wait for a connection on which nothing was ever asked', async () => {
    const { listener, next } = await listenByHand();
    const silent = await dial(listener.url);
    const stopped = await dial(listener.url);
    stopped.socket.write('GET / HTTP/1.1\r\nho');
    // Connections are taken in their order: once this one is answered, those are there.
    const pending = fetch(listener.url);
    (await next()).response.end('done');
    await pending;
    await listener.close(AN_HOUR_MS);
    await Promise.all([silent.closed, stopped.closed]);
  });

  test('does not wait for a connection on which no HTTP came', async () => {
    const { listener } = await listenByHand();
    // Kept open by its caller, who has been refused.
    const socket = connect({ port: Number(new URL(listener.url).port), host: '127.0.0.1', allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    socket.write('not HTTP at all\r\n\r\n');
    const [refusal] = await once(socket, 'data');
    expect(String(refusal)).toContain('HTTP/1.1 400');
    await listener.close(AN_HOUR_MS);
  });

  test('answers all requests that were sent together, and says in the last answer that it is the last', async () => {
    const { listener, next } = await listenByHand();
    const { socket, closed, text } = await dial(listener.url);
    ask(socket, '/1');
    ask(socket, '/2');
    const [first, second] = [await next(), await next()];
    const closing = listener.close(AN_HOUR_MS);
    // In whichever order they are ready.
    second.response.end('second');
    first.response.end('first');
    await closing;
    await closed;
    expect(text()).toMatch(/first.*second/s);
    const [, one = '', two = ''] = text().split('HTTP/1.1 200');
    expect(one).toMatch(/connection: keep-alive/i);
    expect(two).toMatch(/connection: close/i);
  });

  test('answers a request that comes while an answer is on its way, as the last one', async () => {
    const { listener, next } = await listenByHand();
    const { socket, closed, text } = await dial(listener.url);
    ask(socket, '/1');
    const first = await next();
    first.response.write('beginning'); // its head says that the connection is kept
    await expect.poll(text).toContain('beginning');
    const closing = listener.close(AN_HOUR_MS);
    ask(socket, '/2');
    const second = await next();
    first.response.end('end');
    second.response.end('second');
    await closing;
    await closed;
    expect(text()).toMatch(/keep-alive.*end.*connection: close.*second/is);
  });

  test('takes no request behind the one whose answer is the last', async () => {
    const { listener, next, waiting } = await listenByHand();
    const { socket, closed, text } = await dial(listener.url);
    ask(socket, '/1');
    const first = await next();
    const closing = listener.close(AN_HOUR_MS);
    const heard = once(first.request.socket, 'data'); // told after the server has looked at it
    ask(socket, '/2');
    await heard;
    first.response.end('first');
    await closing;
    await closed;
    expect(text()).toContain('first');
    expect(waiting).toEqual([]);
  });

  test('lets a stream of events come to its end, and its connection with it', async () => {
    const { listener, next } = await listenByHand();
    const { socket, closed, text } = await dial(listener.url);
    ask(socket, '/events');
    const { response } = await next();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    await expect.poll(text).toContain('data: 1');
    const closing = listener.close(AN_HOUR_MS);
    response.write('data: 2\n\n');
    response.end('event: gone\n\n');
    await closing;
    await closed;
    expect(text()).toMatch(/data: 1.*data: 2.*event: gone/s);
  });

  test('cuts no answer short that is written, and not yet read', async () => {
    const large = 32 * 1024 * 1024; // more than sockets buffer
    const { listener, next } = await listenByHand();
    const pending = once(httpGet(listener.url, { agent: new Agent({ keepAlive: true }) }), 'response');
    const { response } = await next();
    response.end(Buffer.alloc(large, 'x'));
    const [answer] = await pending;
    const closing = listener.close(AN_HOUR_MS);
    let read = 0;
    for await (const chunk of answer) read += chunk.length;
    expect(read).toBe(large);
    await closing;
  });
});

test('closing does not wait for ever', async () => {
  let arrive: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const listener = await listenForTest(LOOPBACK, () => arrive());
  const pending = fetch(listener.url).catch(() => 'cut');
  await arrived;
  await listener.close(50);
  expect(await pending).toBe('cut');
});

test('addresses are written as they are given', () => {
  expect(formatAddress({ kind: 'tcp', host: '::1', port: 80 })).toBe('[::1]:80');
  expect(formatAddress({ kind: 'unix', path: '/s' })).toBe('unix:/s');
});
