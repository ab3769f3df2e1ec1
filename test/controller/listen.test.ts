/** Sockets: stale ones are replaced, live ones are not, and closing finishes what was begun. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
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

/** Leaves a socket file that nobody listens on, as a killed process does. */
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

test('closing lets a request end, and takes no other', async () => {
  let finish: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let answer: () => void = () => undefined;
  const listener = await listenForTest(LOOPBACK, (_, response) => {
    answer = () => response.end('done');
    finish();
  });
  const pending = fetch(listener.url);
  await arrived;
  const closing = listener.close(5000);
  await expect(fetch(listener.url)).rejects.toThrow();
  answer();
  expect(await (await pending).text()).toBe('done');
  await closing;
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

test.each([
  ['not HTTP at all\r\n\r\n', '400'],
  [`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, '431'],
])('what is no request is answered with a problem: %#', async (bytes, status) => {
  const { url } = await listenForTest(LOOPBACK);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  expect(text).toContain(`HTTP/1.1 ${status}`);
  expect(text).toContain('application/problem+json');
});

test('addresses are written as they are given', () => {
  expect(formatAddress({ kind: 'tcp', host: '::1', port: 80 })).toBe('[::1]:80');
  expect(formatAddress({ kind: 'unix', path: '/s' })).toBe('unix:/s');
});
