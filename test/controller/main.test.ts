/** The real process: what it says, how it starts without its store, how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { flagOf } from '../../controller/config.ts';
import { InvalidInput } from '../../controller/errors.ts';
import { listen } from '../../controller/listen.ts';
import { readOrCreateToken } from '../../controller/token.ts';
import { until } from './api/fixture.ts';

const MAIN = join(import.meta.dirname, '../../controller/main.ts');

interface Started {
  readonly child: ChildProcess;
  /** all of stdout and stderr so far */
  output(): string;
  /** such as `http://127.0.0.1:4711`, once it is told */
  url(): Promise<string>;
  readonly folder: string;
}

/** A controller whose files are in a folder of its own; killed at the end of the test if it still runs. */
function start(flags: readonly string[], folder = makeFolder()): Started {
  const own = ['--listen', '127.0.0.1:0', '--token-file', join(folder, 'token')];
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...own, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const url = async (): Promise<string> => {
    for (;;) {
      const told = /(http:\/\/127\.0\.0\.1:\d+)\/docs/.exec(text)?.[1];
      if (told !== undefined) return told;
      if (child.exitCode !== null) throw new Error(`it has ended: ${text}`);
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    }
  };
  return { child, output: () => text, url, folder };
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenet-main-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function exitCodeOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

test('starts with an etcd of its own, serves, says where, and ends cleanly', async () => {
  const folder = makeFolder();
  const etcd = ['--embedded-etcd', join(folder, 'etcd'), '--etcd-listen', '127.0.0.1:0'];
  const { child, output, url } = start([...etcd, '--default-tenant', 'acme'], folder);
  const base = await url();
  const token = readFileSync(join(folder, 'token'), 'utf8').trim();
  const headers = { authorization: `Bearer ${token}` };
  await until('ready', async () => (await fetch(`${base}/readyz`)).status === 200);
  await until('the default tenant', async () => (await fetch(`${base}/v1/tenants/acme`, { headers })).status === 200);
  expect(output()).toContain(`REST is served on ${base}`);
  expect(output()).toContain(`REST API docs are at ${base}/docs`);
  expect(output()).toContain(`the bearer token is in ${join(folder, 'token')}`);
  child.kill('SIGTERM');
  expect(await exitCodeOf(child)).toBe(0);
  expect(output()).not.toContain(token);

  const again = start([...etcd, '--pool', '10.0.0.0/8'], folder);
  expect(await exitCodeOf(again.child)).toBe(2);
  expect(again.output()).toMatch(/error: --pool: is \["10\.128\.0\.0\/9"\]/);
}, 120_000);

test('waits for an etcd that is away, and can be ended meanwhile', async () => {
  const { child, url } = start(['--etcd', 'http://127.0.0.1:1']);
  const base = await url();
  expect((await fetch(`${base}/healthz`)).status).toBe(200);
  const ready = await fetch(`${base}/readyz`);
  expect([ready.status, ready.headers.get('retry-after')]).toEqual([503, '2']);
  child.kill('SIGINT');
  expect(await exitCodeOf(child)).toBe(0);
}, 120_000);

test('flags that cannot be end it with 2, each named', async () => {
  const { child, output } = start(['--etcd', 'http://127.0.0.1:1', '--listen', 'nowhere']);
  expect(await exitCodeOf(child)).toBe(2);
  expect(output()).toContain('error: --listen: ');
}, 120_000);

test('what is only found wrong later is named by its flag too', async () => {
  const fieldOf = (error: unknown) =>
    (error instanceof InvalidInput ? error.errors[0]?.field : undefined) ?? String(error);
  const elsewhere = listen({ kind: 'tcp', host: '192.0.2.1', port: 1 }, () => undefined);
  expect(flagOf(await elsewhere.then(String, fieldOf))).toBe('--listen');
  const token = new Promise<string>((resolve) => resolve(readOrCreateToken('/dev/null/token')));
  expect(flagOf(await token.then(String, fieldOf))).toBe('--token-file');
});
