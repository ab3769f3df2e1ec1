/** The compiled binary as runtimes run it: its own process, a scripted agent on a real socket, and surroundings that are hostile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, test as base, beforeAll, describe, expect } from 'vitest';
import { type AgentServer, type Handler, serve } from '../../cni-plugin/agent/socket/server.ts';
import type { AgentRequest } from '../../cni-plugin/agent-protocol.ts';
import { buildPlugin } from '../../deploy/build.ts';
import { configuration, environment, RESULT } from './calls.ts';
import { gate } from './gate.ts';

const folder = mkdtempSync(join(tmpdir(), 'tenet-binary-'));
const binary = join(folder, 'tenet');
const agentSocket = join(folder, 'agent.sock');

beforeAll(() => buildPlugin(binary), 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const test = base.extend<{ agent: (handler: Handler) => Promise<AgentServer> }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads a fixture's needs from the pattern
  agent: async ({}, use) => {
    const servers: AgentServer[] = [];
    await use(async (handler) => {
      const server = await serve(agentSocket, handler);
      servers.push(server);
      return server;
    });
    for (const server of servers) await server.close();
  },
});

interface Call {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly stdin?: string;
  readonly cwd?: string;
  /** a program and its arguments to run the binary by */
  readonly by?: readonly string[];
}

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start({ env = {}, config = {}, stdin, cwd = folder, by = [] }: Call = {}): ChildProcess {
  const [program = binary, ...rest] = [...by, binary];
  // CNI_* variables alone: no HOME, no PATH.
  const child = spawn(program, rest, { env: environment(env), cwd, stdio: 'pipe' });
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin ?? JSON.stringify(configuration({ agentSocket, ...config })));
  return child;
}

function outcome(child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
}

const run = (call?: Call): Promise<Outcome> => outcome(start(call));
const succeed: Handler = async ({ command }) => (command === 'ADD' ? { ok: true, result: RESULT } : { ok: true });

describe('with an agent', () => {
  test('ADD prints the result in the configuration’s version', async ({ agent }) => {
    const requests: AgentRequest[] = [];
    await agent(async (request, signal) => {
      requests.push(request);
      return succeed(request, signal);
    });
    const { exitCode, stdout, stderr } = await run({ config: { cniVersion: '0.4.0' } });
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ cniVersion: '0.4.0', ips: [{ version: '4' }, { version: '6' }] });
    expect(requests).toMatchObject([
      { command: 'ADD', containerId: 'c0ffee00c0ffee', config: { cniVersion: '0.4.0' } },
    ]);
  });

  test.for(['DEL', 'CHECK', 'GC', 'STATUS'])('%s succeeds in silence', async (CNI_COMMAND, { agent }) => {
    await agent(succeed);
    expect(await run({ env: { CNI_COMMAND } })).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test('its error is passed on', async ({ agent }) => {
    const error = { code: 7, msg: 'invalid configuration', details: 'K8S_POD_NAMESPACE: unclaimed' };
    await agent(async () => ({ ok: false, error }));
    const { exitCode, stdout } = await run();
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toEqual({ cniVersion: '1.1.0', ...error });
  });

  test('32 at once each get their own answer', async ({ agent }) => {
    let underWay = 0;
    const all = gate();
    await agent(async (request) => {
      underWay++;
      if (underWay === 32) all.open();
      await all.opened;
      return { ok: false, error: { code: 100, msg: request.containerId } };
    });
    const ids = Array.from({ length: 32 }, (_, index) => `container${index}`);
    const outcomes = await Promise.all(ids.map((CNI_CONTAINERID) => run({ env: { CNI_CONTAINERID } })));
    expect(outcomes.map(({ stdout }) => JSON.parse(stdout).msg)).toEqual(ids);
  });

  test('megabytes go both ways', async ({ agent }) => {
    const routes = Array.from({ length: 30_000 }, (_, index) => ({ dst: `10.${index >> 8}.${index & 255}.0/24` }));
    await agent(async ({ config }) => {
      expect(JSON.stringify(config.prevResult).length).toBeGreaterThan(700_000);
      return { ok: true, result: { ...RESULT, routes } };
    });
    const { stdout } = await run({ config: { prevResult: { routes } } });
    expect(JSON.parse(stdout).routes).toHaveLength(60_000);
  });

  test('a killed binary tells the agent that the runtime gave up', async ({ agent }) => {
    const [called, calledOff] = [gate(), gate()];
    await agent(async (_request, signal) => {
      signal.addEventListener('abort', calledOff.open);
      called.open();
      await calledOff.opened;
      return { ok: true };
    });
    const child = start();
    await called.opened;
    child.kill('SIGKILL');
    await calledOff.opened;
  });

  test('a runtime that does not read the result is no crash', async ({ agent }) => {
    const [called, closed] = [gate(), gate()];
    await agent(async (request, signal) => {
      called.open();
      await closed.opened;
      return succeed(request, signal);
    });
    const child = start();
    await called.opened;
    child.stdout?.destroy();
    closed.open();
    expect(await outcome(child)).toMatchObject({ exitCode: 1, stderr: '' });
  });
});

describe('without an answer', () => {
  const verbs = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const;

  test.for(verbs)('%s is to be repeated when no agent listens', async (CNI_COMMAND) => {
    const { exitCode, stdout } = await run({ env: { CNI_COMMAND } });
    expect(exitCode).toBe(1);
    const code = CNI_COMMAND === 'STATUS' ? 50 : 11;
    expect(JSON.parse(stdout)).toMatchObject({ code, details: `${agentSocket}: connect: ENOENT` });
  });

  test.for(['at once', 'after half an answer'])('ADD is to be repeated when the agent dies %s', async (when) => {
    const dying = createServer((socket) => {
      socket.once('data', () => (when === 'at once' ? socket.destroy() : socket.end('{"ok":tr')));
    });
    await new Promise<void>((resolve) => dying.listen(agentSocket, resolve));
    const { stdout } = await run();
    await new Promise((resolve) => dying.close(resolve));
    expect(JSON.parse(stdout)).toMatchObject({ code: 11, details: expect.stringContaining('closed before an answer') });
  });

  test('ADD is to be repeated when the agent is too slow, which learns of it', async ({ agent }) => {
    const calledOff = gate();
    let isAsked = false;
    await agent(async (_request, signal) => {
      isAsked = true;
      signal.addEventListener('abort', calledOff.open);
      // It may have come first.
      if (signal.aborted) calledOff.open();
      await calledOff.opened;
      return { ok: true };
    });
    // On a busy machine the time may be over before the agent is asked.
    for (let timeoutMs = 250; !isAsked; timeoutMs *= 2) {
      const { stdout } = await run({ env: { TENET_AGENT_TIMEOUT_MS: String(timeoutMs) } });
      const details = expect.stringContaining(`nothing within ${timeoutMs} ms`);
      expect(JSON.parse(stdout)).toMatchObject({ code: 11, details });
    }
    await calledOff.opened;
  });
});

describe('stdin of any size and shape', () => {
  const MEBIBYTE = 1024 ** 2;
  // Perl is on every Debian; RUSAGE_CHILDREN is -1, ru_maxrss (KiB) at byte 32. @see getrusage(2)
  const getrusage = process.arch === 'arm64' ? 165 : 98;
  const peak = `system { $ARGV[0] } @ARGV; my $code = $? >> 8; my $usage = "\\0" x 144;
    syscall(${getrusage}, -1, $usage); print STDERR unpack("x32 q", $usage); exit $code`;

  test.for([
    ['20 MiB of opening brackets', '['.repeat(20 * MEBIBYTE), 7],
    ['the longest there is, of opening brackets', '['.repeat(16 * MEBIBYTE), 7],
    ['the longest there is, of objects', `[${'{},'.repeat(5 * MEBIBYTE)}{}]`, 7],
    [
      'the longest there is, of as many objects as are parsed',
      `[${' '.repeat(14 * MEBIBYTE)}${'{},'.repeat(499_990)}{}]`,
      6,
    ],
    ['20 MiB of one string', `"${'x'.repeat(20 * MEBIBYTE)}"`, 7],
    ['nested 50,000 deep, and whole', `${'['.repeat(50_000)}${']'.repeat(50_000)}`, 7],
  ] as const)('%s is refused, and takes little', async ([, stdin, code]) => {
    const { exitCode, stdout, stderr } = await run({ stdin, by: ['perl', '-e', peak] });
    expect({ exitCode, code: JSON.parse(stdout).code }).toEqual({ exitCode: 1, code });
    expect(Number(stderr)).toBeGreaterThan(0);
    expect(Number(stderr) / 1024).toBeLessThan(400);
  });
});

describe('whatever surrounds it', () => {
  test('VERSION needs nothing but its command', async () => {
    const { exitCode, stdout } = await outcome(
      start({ by: ['/usr/bin/env', '-i', 'CNI_COMMAND=VERSION'], stdin: '{"cniVersion":"0.4.0"}' }),
    );
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).cniVersion).toBe('0.4.0');
  });

  test.for(['<&-', '<&- 2>&-', '</dev/null'])(
    'stdin closed or empty (%s) is an error, not a hang',
    async (redirection) => {
      const { exitCode, stdout } = await run({ by: ['/bin/sh', '-c', `exec "$0" ${redirection}`] });
      expect(exitCode).toBe(1);
      expect(JSON.parse(stdout).code).toBe(6);
    },
  );

  test('files where it is started, and Node’s variables, are not obeyed', async ({ agent }) => {
    await agent(succeed);
    const cwd = join(folder, 'hostile');
    mkdirSync(cwd);
    const trap = join(cwd, 'trap.js');
    writeFileSync(trap, `require('node:fs').writeFileSync(${JSON.stringify(join(cwd, 'caught'))}, '');`);
    for (const name of ['.env', '.env.local', '.env.production']) {
      writeFileSync(join(cwd, name), `CNI_COMMAND=VERSION\nTENET_AGENT_TIMEOUT_MS=1\nBUN_OPTIONS=--preload ${trap}\n`);
    }
    for (const name of ['bunfig.toml', '.bunfig.toml'])
      writeFileSync(join(cwd, name), `preload = [${JSON.stringify(trap)}]\n`);
    writeFileSync(join(cwd, 'package.json'), '{"type":"module","main":"trap.js"}');
    writeFileSync(join(cwd, 'tsconfig.json'), 'not JSON');
    const before = readdirSync(cwd);
    const env = { HOME: cwd, XDG_CONFIG_HOME: cwd, NODE_OPTIONS: `--require ${trap}`, NODE_ENV: 'test' };
    const { exitCode, stdout, stderr } = await run({ cwd, env });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ interfaces: [{}, { name: 'eth0' }] });
    expect(readdirSync(cwd)).toEqual(before);
  });
});
