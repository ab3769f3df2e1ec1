/** `tenetctl denials` against the real REST application on the memory store: once, followed, over lost connections, interrupted. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Denial } from '../../../controller/model/records.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { TcpProxy } from '../store/tcp-proxy.ts';
import { startController, type TestController } from './controller.ts';
import { tenetctl } from './tenetctl.ts';

const shop = { ip: parseIp('10.140.4.1'), tenant: 'blue', namespace: 'web', name: 'shop' };
const db = { ip: parseIp('10.140.4.2'), tenant: 'blue', namespace: 'blue', name: 'db' };
const peer = { ip: parseIp('10.141.4.2'), tenant: 'red', namespace: 'red', name: 'x' };

function denial(second: number, fields: Partial<Denial> = {}): Denial {
  const at = `2026-11-24T11:58:${String(second).padStart(2, '0')}.000Z`;
  return { at, from: shop, to: db, protocol: 'TCP', port: 5432, direction: 'ingress', ...fields };
}

function icmp(second: number): Denial {
  const { port: _, ...rest } = denial(second);
  return { ...rest, to: { ip: parseIp('192.0.2.9') }, protocol: 'ICMP', direction: 'egress' };
}

async function setUp() {
  const controller = await startController();
  onTestFinished(() => controller.close());
  const env = { TENET_SERVER: controller.url, TENET_TOKEN: controller.token };
  const run = (...args: readonly string[]) => tenetctl(args, env);
  await run('create', 'tenant', 'blue', '--subnet', '10.140.4.0/24');
  return { controller, run, env };
}

/** `tenetctl denials blue --follow`, until it is interrupted. */
async function follow(controller: TestController, server: string, ...args: readonly string[]) {
  const interrupting = new AbortController();
  let [out, err] = ['', ''];
  const watcher = {
    interrupted: interrupting.signal,
    out: (text: string) => {
      out = text;
    },
    err: (text: string) => {
      err = text;
    },
  };
  const env = { TENET_SERVER: server, TENET_TOKEN: controller.token };
  const ended = tenetctl(['denials', 'blue', '--follow', ...args], env, '', watcher);
  onTestFinished(async () => {
    interrupting.abort();
    await ended;
  });
  return {
    ended,
    interrupt: () => interrupting.abort(),
    out: () => out,
    err: () => err,
    /** seconds of the lines so far */
    seconds: () => [...out.matchAll(/11:58:(\d\d)/g)].map((found) => Number(found[1])),
  };
}

const poll = <T>(read: () => T) => expect.poll(read, { timeout: 15_000, interval: 5 });

test('a table of the latest, newest last, and the question to ask', async () => {
  const { controller, run } = await setUp();
  await controller.refuse('blue', 'node1', 2, [icmp(1), denial(3)]);
  await controller.refuse('blue', 'node2', 1, [denial(2, { from: peer })]);
  expect(await run('denials', 'blue')).toEqual({
    code: 0,
    err: '  hint: tenetctl explain --from web/shop --to blue/db --port 5432 says why\n',
    out: [
      'TIME                       FROM                     TO                     PORT       DIRECTION   NODE',
      '2026-11-24T11:58:01.000Z   web/shop (10.140.4.1)    192.0.2.9              ICMP       egress      node1',
      '2026-11-24T11:58:02.000Z   red/red/x (10.141.4.2)   blue/db (10.140.4.2)   5432/TCP   ingress     node2',
      '2026-11-24T11:58:03.000Z   web/shop (10.140.4.1)    blue/db (10.140.4.2)   5432/TCP   ingress     node1',
      '',
    ].join('\n'),
  });
});

test('fewer of them, as json, of a namespace, none, of no tenant', async () => {
  const { controller, run } = await setUp();
  expect(await run('denials', 'blue')).toEqual({
    code: 0,
    out: '',
    err: 'No denials found.\n',
  });
  await controller.refuse('blue', 'node1', 3, [denial(1), icmp(2), denial(3, { from: peer, protocol: '47' })]);
  expect((await run('denials', 'blue', '--limit', '1', '-o', 'json')).out).toBe(
    `${JSON.stringify(await controller.get('/v1/tenants/blue/denials?limit=1'), null, 2)}\n`,
  );
  const web = await run('denials', 'blue', '-n', 'web');
  expect(web.out.match(/11:58:\d\d/g)).toEqual(['11:58:01', '11:58:02']);
  expect(web.err).toBe('  hint: tenetctl explain --from web/shop --to 192.0.2.9 --protocol ICMP says why\n');
  expect((await run('denials', 'blue')).err).toBe('');
  expect(await run('denials', 'red')).toMatchObject({ code: 3, out: '', err: expect.stringContaining('"red"') });
  expect(await run('denials', 'red', '--follow')).toMatchObject({ code: 3, out: '' });
  expect((await run('denials', 'blue', '--limit', '1001')).code).toBe(2);
});

test('a flow too many says so, and no policy is asked about it', async () => {
  const { controller, run } = await setUp();
  await controller.refuse('blue', 'node1', 1, [denial(1, { direction: 'egress', reason: 'flows' })]);
  const { out, err } = await run('denials', 'blue');
  expect(out).toMatch(/5432\/TCP +egress, too many flows +node1\n/);
  expect(err).toBe('');
});

test('followed: what there is, then each as it comes, once, over lost connections; interrupting is no failure', async () => {
  const { controller } = await setUp();
  const proxy = await TcpProxy.open(controller.url);
  onTestFinished(() => proxy.close());
  await controller.refuse('blue', 'node1', 2, [denial(1), denial(2)]);
  const following = await follow(controller, proxy.url, '--limit', '1');
  await poll(following.seconds).toEqual([2]);
  await controller.refuse('blue', 'node1', 3, [denial(1), denial(2), denial(3)]);
  await poll(following.seconds).toEqual([2, 3]);
  proxy.refuse();
  await controller.refuse('blue', 'node1', 4, [denial(2), denial(3), denial(4)]);
  await poll(following.err).toMatch(/lost; trying again\n$/);
  await controller.refuse('blue', 'node2', 1, [denial(5)]);
  proxy.allow();
  await poll(following.seconds).toEqual([2, 3, 4, 5]);
  proxy.cut();
  await controller.refuse('blue', 'node2', 2, [denial(5), denial(6)]);
  await poll(following.seconds).toEqual([2, 3, 4, 5, 6]);
  await controller.refuse('blue', 'node2', 99, [denial(7)]);
  await poll(following.seconds).toEqual([2, 3, 4, 5, 6, 7]);
  following.interrupt();
  expect(await following.ended).toEqual({
    code: 0,
    out: following.out(),
    err: [
      '  hint: tenetctl explain --from web/shop --to blue/db --port 5432 says why',
      `tenetctl: the connection to ${proxy.url} is lost; trying again`,
      'tenetctl: connected again',
      'tenetctl: 96 more denials are not shown',
      '',
    ].join('\n'),
  });
});

test('followed as json: a line each; it ends when the tenant does', async () => {
  const { controller, run } = await setUp();
  await controller.refuse('blue', 'node1', 1, [denial(1)]);
  const following = await follow(controller, controller.url, '-o', 'json');
  await poll(following.seconds).toEqual([1]);
  await controller.refuse('blue', 'node1', 2, [denial(1), denial(2)]);
  await poll(following.seconds).toEqual([1, 2]);
  const lines = following.out().trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ sequence: 1 }, { sequence: 2, node: 'node1' }]);
  await run('delete', 'tenant', 'blue');
  expect(await following.ended).toMatchObject({ code: 3, err: 'tenetctl: tenant "blue" has been deleted\n' });
});

test('followed where no controller listens, it fails at once', async () => {
  expect(await tenetctl(['denials', 'blue', '-f'], { TENET_SERVER: 'http://127.0.0.1:1' })).toMatchObject({
    code: 6,
    out: '',
  });
});

test('Ctrl-C ends the process with 0 and without a word', async () => {
  const { controller, env } = await setUp();
  await controller.refuse('blue', 'node1', 1, [denial(1)]);
  const main = join(import.meta.dirname, '..', '..', '..', 'controller', 'cli', 'main.ts');
  const args = ['--import', 'tsx', main, 'denials', 'blue', '--follow', '-o', 'json'];
  const child: ChildProcess = spawn(process.execPath, args, { env: { PATH: process.env.PATH, ...env } });
  onTestFinished(() => void child.kill('SIGKILL'));
  let err = '';
  child.stderr?.on('data', (text) => {
    err += text;
  });
  if (child.stdout === null) throw new Error('its output is not read');
  await once(child.stdout, 'data');
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(err).toBe('');
});
