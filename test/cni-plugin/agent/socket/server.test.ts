/** The agent's socket against clients of every kind: polite, silent, malformed, killed; and its start and end. */
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, describe, expect, vi } from 'vitest';
import {
  type AgentServer,
  type Handler,
  type ServeOptions,
  serve,
} from '../../../../cni-plugin/agent/socket/server.ts';
import { type AgentResponse, MESSAGE_BYTES_LIMIT } from '../../../../cni-plugin/agent-protocol.ts';
import { agentRequest, RESULT } from '../../calls.ts';
import { gate } from '../../gate.ts';

interface Fixtures {
  readonly path: string;
  readonly start: (handler: Handler, options?: ServeOptions) => Promise<AgentServer>;
}

const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads a fixture's needs from the pattern
  path: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'tenet-server-'));
    await use(join(folder, 'run/agent.sock'));
    rmSync(folder, { recursive: true });
  },
  start: async ({ path }, use) => {
    const servers: AgentServer[] = [];
    await use(async (handler, options) => {
      const server = await serve(path, handler, options);
      servers.push(server);
      return server;
    });
    for (const server of servers) await server.close();
  },
});

const succeed: Handler = async () => ({ ok: true });
const LINE = `${JSON.stringify(agentRequest())}\n`;

function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once('error', reject);
    socket.once('connect', () => resolve(socket));
  });
}

/** Sends text and returns all that comes back before the server closes. */
async function converse(path: string, text: string): Promise<string> {
  const socket = await connect(path);
  socket.write(text);
  return received(socket);
}

function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(text));
  });
}

async function answerTo(path: string, text: string): Promise<AgentResponse> {
  const answer = await converse(path, text);
  expect(answer.endsWith('\n')).toBe(true);
  return JSON.parse(answer);
}

describe('a request', () => {
  test('gets the handler’s answer as one line, and the connection ends', async ({ path, start }) => {
    const handler = vi.fn(succeed);
    await start(handler);
    expect(await converse(path, LINE)).toBe('{"ok":true}\n');
    expect(handler.mock.calls[0]?.[0]).toEqual(agentRequest());
  });

  test('may arrive byte by byte, cut inside a character', async ({ path, start }) => {
    await start(async (request) => ({ ok: false, error: { code: 100, msg: String(request.args.NAME) } }));
    const socket = await connect(path);
    const answer = received(socket);
    for (const byte of Buffer.from(`${JSON.stringify(agentRequest({ args: { NAME: 'zoë' } }))}\n`)) {
      await new Promise((written) => socket.write(Uint8Array.of(byte), written));
    }
    expect(JSON.parse(await answer)).toMatchObject({ error: { msg: 'zoë' } });
  });

  test('of a megabyte arrives whole', async ({ path, start }) => {
    await start(async ({ config }) => ({
      ok: false,
      error: { code: 100, msg: `${JSON.stringify(config.prevResult).length}` },
    }));
    const request = agentRequest({}, { prevResult: 'x'.repeat(1_000_000) });
    expect(await answerTo(path, `${JSON.stringify(request)}\n`)).toMatchObject({ error: { msg: '1000002' } });
  });

  test('is one to a connection: what follows it is ignored', async ({ path, start }) => {
    const handler = vi.fn(succeed);
    await start(handler);
    expect(await converse(path, LINE + LINE)).toBe('{"ok":true}\n');
    expect(handler).toHaveBeenCalledTimes(1);
  });

  test('does not wait for another: 32 are under way at once', async ({ path, start }) => {
    let underWay = 0;
    const all = gate();
    await start(async (request) => {
      underWay++;
      if (underWay === 32) all.open();
      await all.opened;
      return { ok: false, error: { code: 100, msg: request.containerId } };
    });
    const ids = Array.from({ length: 32 }, (_, index) => `container${index}`);
    const answers = await Promise.all(
      ids.map((containerId) => answerTo(path, `${JSON.stringify(agentRequest({ containerId }))}\n`)),
    );
    expect(answers.map((answer) => !answer.ok && answer.error.msg)).toEqual(ids);
  });
});

describe('a malformed request', () => {
  const changed = (changes: object): string => JSON.stringify({ ...agentRequest(), ...changes });
  test.for([
    ['nothing', ''],
    ['no JSON', 'x'],
    ['a list', '[]'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['a verb the binary answers', changed({ command: 'VERSION' })],
    ['a verb of every object', changed({ command: 'toString' })],
    ['a number for a container', changed({ containerId: 5 })],
    ['a path for a container', changed({ containerId: '../x' })],
    ['a path for an interface', changed({ ifname: 'a/b' })],
    ['no interface', changed({ ifname: '' })],
    ['null for a namespace', changed({ netns: null })],
    ['no arguments', changed({ args: null })],
    ['lists in lists without end', '['.repeat(100_000)],
    ['a path that is too long', changed({ netns: `/${'n'.repeat(5_000)}` })],
    ['a path that cannot be one', changed({ netns: '/run/netns/a\0b' })],
    ['arguments without end', changed({ args: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [at, ''])) })],
    ['a number for an argument', changed({ args: { IP: 5 } })],
    ['text for a configuration', changed({ config: 'x' })],
  ] as const)('such as %s is answered with error 6', async ([, line], { path, start }) => {
    const handler = vi.fn(succeed);
    await start(handler);
    expect(await answerTo(path, `${line}\n`)).toMatchObject({ ok: false, error: { code: 6 } });
    expect(handler).not.toHaveBeenCalled();
    expect(await answerTo(path, LINE)).toEqual({ ok: true });
  });

  test('without an end is cut off at the limit', async ({ path, start }) => {
    await start(succeed);
    const answer = await answerTo(path, 'x'.repeat(MESSAGE_BYTES_LIMIT + 1));
    expect(answer).toMatchObject({ ok: false, error: { code: 6, msg: expect.stringContaining('longer than') } });
  });

  test('that never comes is not waited for', async ({ path, start }) => {
    await start(succeed, { transferTimeoutMs: 20 });
    expect(await converse(path, '{"command":')).toBe('');
    // On a busy machine a whole request may be late as well.
    await expect.poll(() => answerTo(path, LINE)).toEqual({ ok: true });
  });
});

describe('clients together', () => {
  test('may hold so many connections: more are closed as they come, until one ends', async ({ path, start }) => {
    await start(succeed, { maxConnections: 2 });
    const first = await connect(path);
    const second = await connect(path);
    expect(await converse(path, LINE)).toBe('');
    const ended = received(first);
    first.end(LINE);
    await ended;
    expect(await answerTo(path, LINE)).toEqual({ ok: true });
    second.destroy();
  });

  test('may have so much unread: what goes beyond it is to be tried again, until there is room', async ({
    path,
    start,
  }) => {
    await start(succeed, { unreadLimit: 2_000 });
    const half = await connect(path);
    half.write('x'.repeat(1_500));
    const long = `${JSON.stringify(agentRequest({}, { prevResult: 'x'.repeat(1_000) }))}\n`;
    const ask = async () => await answerTo(path, long);
    await expect.poll(ask).toMatchObject({ ok: false, error: { code: 11 } });
    half.destroy();
    await expect.poll(ask).toEqual({ ok: true });
  });

  const routes = Array.from({ length: 100_000 }, () => ({ dst: '10.0.0.0/8' }));
  const long: Handler = async () => ({ ok: true, result: { ...RESULT, routes } });

  test('that take a long answer get all of it', async ({ path, start }) => {
    await start(long);
    expect(JSON.parse(await converse(path, LINE))).toMatchObject({ result: { routes: { length: routes.length } } });
  });

  test('that do not take their answer are not waited for', async ({ path, start }) => {
    let isFirst = true;
    const handler: Handler = async (...call) => {
      if (!isFirst) return { ok: true };
      isFirst = false;
      return await long(...call);
    };
    await start(handler, { transferTimeoutMs: 200, maxConnections: 1 });
    const deaf = await connect(path);
    deaf.pause();
    deaf.write(LINE);
    await expect.poll(() => isFirst).toBe(false);
    // There is room for another once it has been dropped. What is slow on a busy machine is dropped too, and tried again.
    await expect.poll(() => answerTo(path, LINE)).toEqual({ ok: true });
    deaf.destroy();
  });
});

describe('a handler', () => {
  test('that throws is told of, its client gets 999, and the next request is served', async ({ path, start }) => {
    const onError = vi.fn();
    const bug = new TypeError('oh');
    await start(
      async ({ command }) => {
        if (command === 'ADD') throw bug;
        return { ok: true };
      },
      { onError },
    );
    expect(await answerTo(path, LINE)).toMatchObject({ ok: false, error: { code: 999, details: 'TypeError: oh' } });
    expect(onError).toHaveBeenCalledWith(bug);
    expect(await answerTo(path, `${JSON.stringify(agentRequest({ command: 'DEL' }))}\n`)).toEqual({ ok: true });
  });

  test.for(['destroy', 'end'] as const)('learns that its client has gone by %s', async (way, { path, start }) => {
    const signals: AbortSignal[] = [];
    const done = gate();
    await start(async (_request, signal) => {
      signals.push(signal);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      done.open();
      return { ok: true };
    });
    const socket = await connect(path);
    socket.write(LINE);
    await expect.poll(() => signals.length).toBe(1);
    expect(signals[0]?.aborted).toBe(false);
    socket[way]();
    await done.opened;
    expect(String(signals[0]?.reason)).toContain('gave up');
  });

  test('is not told so once it has answered', async ({ path, start }) => {
    const signals: AbortSignal[] = [];
    const server = await start(async (_request, signal) => {
      signals.push(signal);
      return { ok: true };
    });
    await converse(path, LINE);
    await server.close();
    expect(signals.map((signal) => signal.aborted)).toEqual([false]);
  });
});

describe('the socket', () => {
  test('is root’s alone, in a folder that need not be there, whatever the umask', async ({ path, start }) => {
    const umask = process.umask(0);
    try {
      await start(succeed);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(process.umask()).toBe(0);
    } finally {
      process.umask(umask);
    }
  });

  test('left by an agent that died is replaced', async ({ path, start }) => {
    const server = await start(succeed);
    const stale = join(path, '../stale.sock');
    const dead = createServer().listen(stale);
    await new Promise((resolve) => dead.once('listening', resolve));
    // Node removes the file when it closes a server, a killed process does not.
    await server.close();
    renameSync(stale, path);
    await new Promise((resolve) => dead.close(resolve));
    expect(statSync(path).isSocket()).toBe(true);
    await start(succeed);
    expect(await answerTo(path, LINE)).toEqual({ ok: true });
  });

  test('of an agent that lives is left to it', async ({ path, start }) => {
    await start(succeed);
    await expect(serve(path, succeed)).rejects.toMatchObject({ code: 'conflict' });
    expect(await answerTo(path, LINE)).toEqual({ ok: true });
  });

  test('does not replace what is not a socket', async ({ path, start }) => {
    await (await start(succeed)).close();
    writeFileSync(path, 'precious');
    await expect(serve(path, succeed)).rejects.toMatchObject({ code: 'conflict' });
    expect(statSync(path).size).toBe(8);
  });
});

describe('close', () => {
  test('lets requests under way finish, refuses new ones, drops idle connections', async ({ path, start }) => {
    const started = gate();
    const finish = gate();
    const server = await start(async () => {
      started.open();
      await finish.opened;
      return { ok: true };
    });
    const answer = converse(path, LINE);
    const idle = received(await connect(path));
    await started.opened;
    const closed = server.close();
    expect(await idle).toBe('');
    await expect(connect(path)).rejects.toMatchObject({ code: 'ENOENT' });
    finish.open();
    expect(await answer).toBe('{"ok":true}\n');
    await closed;
    await server.close();
  });

  test('calls off what takes too long', async ({ path, start }) => {
    const started = gate();
    const server = await start(
      async (_request, signal) => {
        started.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return { ok: true };
      },
      { drainTimeoutMs: 20 },
    );
    const answer = converse(path, LINE);
    await started.opened;
    await server.close();
    expect(await answer).toBe('');
  });
});
