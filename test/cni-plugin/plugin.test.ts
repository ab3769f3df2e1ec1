/** One call from environment and stdin to stdout and exit code, with an agent that is a function. */
import { describe, expect, test } from 'vitest';
import { type Ask, NoAnswer } from '../../cni-plugin/agent-client.ts';
import { type AgentRequest, MESSAGE_BYTES_LIMIT } from '../../cni-plugin/agent-protocol.ts';
import { runPlugin } from '../../cni-plugin/plugin.ts';
import { configuration, environment, RESULT } from './calls.ts';

const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const;

interface Call {
  env?: Record<string, string | undefined>;
  config?: Record<string, unknown>;
  readStdin?: () => Promise<string>;
  ask?: Ask;
}

async function run({ env = {}, config = {}, readStdin, ask = async () => '{"ok":true}' }: Call) {
  const stdin = readStdin ?? (async () => JSON.stringify(configuration(config)));
  const { stdout, exitCode } = await runPlugin(environment(env), { readStdin: stdin, ask });
  return { exitCode, stdout, answer: stdout === '' ? undefined : JSON.parse(stdout) };
}

const answering =
  (response: unknown): Ask =>
  async () =>
    JSON.stringify(response);

describe('a call', () => {
  test('asks the agent on the configured socket and prints ADD’s result', async () => {
    const asked: [string, AgentRequest][] = [];
    const ask: Ask = async (path, line) => {
      asked.push([path, JSON.parse(line)]);
      return JSON.stringify({ ok: true, result: RESULT });
    };
    const { answer, exitCode } = await run({ config: { agentSocket: '/tmp/a.sock', cniVersion: '1.0.0' }, ask });
    expect(exitCode).toBe(0);
    expect(answer).toMatchObject({ cniVersion: '1.0.0', ips: [{ address: '10.128.0.7/32' }, {}] });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.[0]).toBe('/tmp/a.sock');
    expect(asked[0]?.[1]).toMatchObject({ command: 'ADD', ifname: 'eth0', args: { K8S_POD_NAMESPACE: 'shop' } });
  });

  test.each(['DEL', 'CHECK', 'GC', 'STATUS'])('%s prints nothing when it succeeds', async (CNI_COMMAND) => {
    expect(await run({ env: { CNI_COMMAND } })).toMatchObject({ stdout: '', exitCode: 0 });
  });

  test.each(VERBS)('%s prints the agent’s error under the configuration’s version', async (CNI_COMMAND) => {
    const error = { code: 100, msg: 'no address left', details: 'subnet 10.0.0.0/24' };
    const call = await run({ env: { CNI_COMMAND }, ask: answering({ ok: false, error }) });
    expect(call).toMatchObject({ exitCode: 1, answer: { cniVersion: '1.1.0', ...error } });
  });

  test('an ADD with a prevResult hands it on', async () => {
    const prevResult = { interfaces: [{ name: 'lo' }], ips: [] };
    const { answer } = await run({ config: { prevResult }, ask: answering({ ok: true, result: RESULT }) });
    expect(answer.interfaces).toHaveLength(3);
    expect(answer.ips[0].interface).toBe(2);
  });

  test('VERSION needs no agent', async () => {
    const ask: Ask = () => Promise.reject(new Error('asked'));
    const { answer, exitCode } = await run({ env: { CNI_COMMAND: 'VERSION' }, config: { cniVersion: '0.4.0' }, ask });
    expect(exitCode).toBe(0);
    expect(answer.cniVersion).toBe('0.4.0');
  });
});

describe('without an answer', () => {
  test.each(VERBS)('%s is to be repeated', async (CNI_COMMAND) => {
    const ask: Ask = () => Promise.reject(new NoAnswer('/run/tenet/agent.sock: connect: ENOENT'));
    const { answer, exitCode } = await run({ env: { CNI_COMMAND }, ask });
    expect(exitCode).toBe(1);
    expect(answer.code).toBe(CNI_COMMAND === 'STATUS' ? 50 : 11);
    expect(answer.details).toContain('ENOENT');
  });

  test('within the time allowed the wait ends and the agent is told', async () => {
    const ask: Ask = (_path, _line, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new NoAnswer(String(signal.reason)))));
    const { answer } = await run({ env: { TENET_AGENT_TIMEOUT_MS: '20' }, ask });
    expect(answer).toMatchObject({ code: 11, details: 'nothing within 20 ms' });
  });

  test('stdin that never ends is an I/O failure', async () => {
    const call = await run({ env: { TENET_AGENT_TIMEOUT_MS: '20' }, readStdin: () => new Promise(() => undefined) });
    expect(call).toMatchObject({ exitCode: 1, answer: { cniVersion: '1.1.0', code: 5 } });
  });

  test('stdin that cannot be read is an I/O failure', async () => {
    const { answer } = await run({ readStdin: () => Promise.reject(new Error('EBADF')) });
    expect(answer).toMatchObject({ code: 5, details: expect.stringContaining('EBADF') });
  });

  test('stdin is not read without a command: a person’s terminal never ends', async () => {
    const { answer } = await run({ env: { CNI_COMMAND: undefined }, readStdin: () => new Promise(() => undefined) });
    expect(answer).toMatchObject({ code: 4, msg: 'CNI_COMMAND is missing' });
  });
});

describe('an answer that is none', () => {
  test.each([
    '',
    'x',
    '[]',
    'null',
    '{}',
    '{"ok":1}',
    '{"ok":true}',
    '{"ok":true,"result":{}}',
    '{"ok":false,"error":{"code":1}}',
  ])('%j fails ADD with 999', async (line) => {
    const { answer, exitCode } = await run({ ask: async () => line });
    expect(exitCode).toBe(1);
    expect(answer.code).toBe(999);
  });

  test('a bug in the way to the agent is told as 999', async () => {
    const { answer } = await run({ ask: () => Promise.reject(new TypeError('oh')) });
    expect(answer).toMatchObject({ code: 999, details: 'TypeError: oh' });
  });
});

describe('errors', () => {
  test.each([
    ['1.0.0', '1.0.0'],
    ['0.3.1', '0.3.1'],
    ['9.9.9', '1.1.0'],
  ])('about a %s configuration are told in %s', async (cniVersion, told) => {
    const { answer } = await run({ config: { cniVersion, name: '' } });
    expect(answer.cniVersion).toBe(told);
  });

  test.each([
    ['nested deeper than 64', '['.repeat(50_000)],
    ['nested deeper than 64', `{"name":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
    ['more than 1000000 values', `{"name":[${'0,'.repeat(1_000_001)}0]}`],
  ])('a configuration %s is refused before it is parsed', async (why, stdin) => {
    const { answer, exitCode } = await run({ readStdin: async () => stdin });
    expect({ exitCode, ...answer }).toMatchObject({ exitCode: 1, code: 7, msg: expect.stringContaining(why) });
  });

  test('a time allowed that no timer can hold is no time at all', async () => {
    const ask: Ask = async () => '{"ok":true}';
    const readStdin = () => new Promise<string>((resolve) => setTimeout(resolve, 50, JSON.stringify(configuration())));
    const env = { CNI_COMMAND: 'DEL', TENET_AGENT_TIMEOUT_MS: '1e12' };
    expect(await run({ env, readStdin, ask })).toMatchObject({ exitCode: 0 });
  });

  test('a configuration too long for the agent is refused here', async () => {
    const { answer } = await run({ config: { filler: 'x'.repeat(MESSAGE_BYTES_LIMIT) } });
    expect(answer).toMatchObject({ code: 7, msg: expect.stringContaining('longer than') });
  });
});
