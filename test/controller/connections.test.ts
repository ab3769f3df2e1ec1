/** Many connections, few of them with a token: who stays, who goes, and what is asked of them before they have shown it. */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { tokenCheck } from '../../controller/api/authentication.ts';
import { type ConnectionOptions, Connections } from '../../controller/connections.ts';
import { listen } from '../../controller/listen.ts';
import { startApp, TOKEN } from './api/fixture.ts';

const AUTHORIZATION = `Bearer ${TOKEN}`;
const hasToken = tokenCheck(TOKEN);

/** The whole application behind a listener. @param handler instead of the application */
async function start(options: Partial<ConnectionOptions>, handler?: Parameters<typeof listen>[1]) {
  const { app } = await startApp();
  const connections = new Connections({
    isAuthentic: ({ headers }) => hasToken(headers.authorization),
    anonymousMs: 600_000,
    ...options,
  });
  const routing: Parameters<typeof listen>[1] = handler ?? ((asked, response) => app.routing(asked, response));
  const listener = await listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, routing, { connections });
  onTestFinished(() => listener.close(0));
  return Number(new URL(listener.url).port);
}

/** One connection that says what it is told to. */
class Caller {
  readonly #socket: Socket;
  readonly closed: Promise<unknown>;
  heard = '';

  static async of(port: number): Promise<Caller> {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return new Caller(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined); // 'close' follows
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.heard += text;
    });
    this.closed = once(socket, 'close');
    onTestFinished(() => void socket.destroy());
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.readable;
  }

  /** @returns the status, undefined when the connection ended without one */
  async get(path: string, authorization?: string): Promise<string | undefined> {
    this.heard = '';
    const fields = authorization === undefined ? '' : `authorization: ${authorization}\r\n`;
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${fields}\r\n`);
    const answered = async () => {
      while (!/\r\n\r\n./s.test(this.heard)) await once(this.#socket, 'data');
      return /^HTTP\/1.1 (\d+)/.exec(this.heard)?.[1];
    };
    return await Promise.race([answered(), this.closed.then(() => undefined)]);
  }
}

const callers = async (count: number, port: number): Promise<Caller[]> => {
  const all: Caller[] = [];
  for (let each = 0; each < count; each++) all.push(await Caller.of(port));
  return all;
};

test('where there are as many as may be, the oldest without the token makes room for one that has it', async () => {
  const port = await start({ limit: 4 });
  const [first, second, third] = await callers(3, port);
  const known = await Caller.of(port);
  expect(await known.get('/v1/tenants', AUTHORIZATION)).toBe('200');
  // One that was refused is no better known.
  expect(await first?.get('/v1/tenants', 'Bearer wrong')).toBe('401');
  const [next] = await callers(1, port);
  await first?.closed;
  expect(await next?.get('/v1/tenants', AUTHORIZATION)).toBe('200');
  for (const each of [known, next, second, third]) expect(await each?.get('/healthz')).toBe('200');
});

test('however many come without a token, those that have it get in and stay', async () => {
  const port = await start({ limit: 10 });
  const known = await Caller.of(port);
  expect(await known.get('/v1/tenants', AUTHORIZATION)).toBe('200');
  const crowd: Caller[] = [];
  for (let round = 0; round < 10; round++) {
    crowd.push(...(await callers(10, port)));
    const newcomer = await Caller.of(port);
    expect(await newcomer.get('/v1/tenants', AUTHORIZATION)).toBe('200');
    expect(await known.get('/v1/tenants', AUTHORIZATION)).toBe('200');
  }
  // 11 have shown the token, though only 10 may be there: of those the longest idle went.
  await Promise.all(crowd.slice(0, 80).map(({ closed }) => closed));
});

test('with the token everywhere, the one that has been idle longest makes room; one at work never does', async () => {
  const answers: (() => void)[] = [];
  const port = await start({ limit: 2 }, (asked, response) => {
    if (asked.url === '/slow') answers.push(() => response.end('slow'));
    else response.end('quick');
  });
  const [idle, busy] = await callers(2, port);
  expect(await idle?.get('/quick', AUTHORIZATION)).toBe('200');
  const slow = busy?.get('/slow', AUTHORIZATION);
  await expect.poll(() => answers.length).toBe(1);
  const [next] = await callers(1, port);
  await idle?.closed;
  const alsoSlow = next?.get('/slow', AUTHORIZATION);
  await expect.poll(() => answers.length).toBe(2);
  const [refused] = await callers(1, port);
  await refused?.closed;
  for (const answer of answers) answer();
  expect(await slow).toBe('200');
  expect(await alsoSlow).toBe('200');
});

test('one that does not show the token in time is closed, whatever else it asks; one that did stays', async () => {
  const port = await start({ anonymousMs: 600_000 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const known = await Caller.of(port);
  expect(await known.get('/v1/tenants', AUTHORIZATION)).toBe('200');
  const [silent, probe, stranger] = await callers(3, port);
  expect(await probe?.get('/healthz')).toBe('200');
  expect(await stranger?.get('/v1/tenants')).toBe('401');
  vi.advanceTimersByTime(599_999);
  for (const each of [silent, probe, stranger]) expect(each?.isOpen).toBe(true);
  vi.advanceTimersByTime(1);
  await Promise.all([silent?.closed, probe?.closed, stranger?.closed]);
  // It was there before them.
  expect(known.isOpen).toBe(true);
  expect(await known.get('/v1/tenants', AUTHORIZATION)).toBe('200');
});

test.each([
  ['the token', AUTHORIZATION, 201, true],
  ['no token', undefined, 401, false],
  ['a wrong token', 'Bearer wrong', 401, false],
])('a caller that asks before it sends the body, with %s, is told so', async (_, authorization, status, continues) => {
  const port = await start({});
  const body = JSON.stringify({ name: 'blue' });
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const asking = request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/v1/tenants',
    agent,
    headers: {
      expect: '100-continue',
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(authorization && { authorization }),
    },
  });
  asking.on('error', () => undefined);
  let isAskedForBody = false;
  asking.on('continue', () => {
    isAskedForBody = true;
    asking.end(body);
  });
  asking.flushHeaders();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  response.resume();
  expect({ status: response.statusCode, isAskedForBody }).toEqual({ status, isAskedForBody: continues });
  // What comes next on that connection would be taken for the body: there is no next.
  if (!continues) expect(response.headers.connection).toBe('close');
  asking.destroy();
});
