/** tenetctl backup and restore: what they write and where, what they say and exit with, and what they refuse. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startController } from './controller.ts';
import { tenetctl } from './tenetctl.ts';

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenetctl-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A controller with a tenant, and a folder for files. */
async function setUp() {
  const controller = await startController();
  onTestFinished(() => controller.close());
  const folder = temporaryFolder();
  const env = { TENET_SERVER: controller.url, TENET_TOKEN: controller.token };
  const run = (...args: readonly string[]) => tenetctl(args, env);
  expect((await run('create', 'tenant', 'blue')).code).toBe(0);
  return { controller, env, run, folder, file: join(folder, 'cluster.backup') };
}

test('a backup is a file that its owner alone can read, and says what is in it', async () => {
  const { run, folder, file } = await setUp();
  const { code, out, err } = await run('backup', file);
  expect({ code, out }).toEqual({ code: 0, out: '' });
  expect(err).toMatch(new RegExp(`^2 tenants and 0 policies at revision \\d+ written to ${file}\n$`));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(['cluster.backup']);
  expect(JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '')).toMatchObject({ tenet: 'backup', format: 1 });
});

test('- is standard output, and standard input', async () => {
  const { controller, env, run } = await setUp();
  const { code, out, err } = await run('backup', '-');
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining('written to standard output') });
  expect((await run('delete', 'tenant', 'blue')).code).toBe(0);
  const restoring = tenetctl(['restore', '-', '--yes'], env, out);
  await controller.endRecovery('recovered');
  expect((await restoring).code).toBe(0);
  expect((await run('get', 'tenant', 'blue')).code).toBe(0);
});

test('a restore brings back what was deleted, and tells what it removed', async () => {
  const { controller, run, file } = await setUp();
  expect((await run('backup', file)).code).toBe(0);
  expect((await run('delete', 'tenant', 'blue')).code).toBe(0);
  expect((await run('create', 'tenant', 'green')).code).toBe(0);
  const restoring = run('restore', file, '--yes');
  await controller.endRecovery('recovered');
  const { code, out, err } = await restoring;
  expect({ code, err }).toEqual({ code: 0, err: 'not kept: tenant green: it is not in the backup\n' });
  expect(out).toMatch(/^KIND +WRITTEN +REMOVED\n/);
  expect(out).toMatch(/^tenant +1 +1$/m);
  expect((await run('get', 'tenant', 'blue')).code).toBe(0);
  expect((await run('get', 'tenant', 'green')).code).toBe(3);
  const again = run('restore', file, '--yes', '-o', 'json');
  await controller.endRecovery('recovered');
  expect(JSON.parse((await again).out)).toMatchObject({ restored: {}, removed: {}, notKept: [], recovered: true });
});

test('without --yes a restore says what is in the file, and does nothing', async () => {
  const { run, file } = await setUp();
  expect((await run('backup', file)).code).toBe(0);
  expect((await run('delete', 'tenant', 'blue')).code).toBe(0);
  const { code, out, err } = await run('restore', file);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(/is whole: 2 tenants and 0 policies, of 20.*\n.*nothing was done\. --yes/);
  expect((await run('get', 'tenant', 'blue')).code).toBe(3);
});

test('nodes that do not claim in time are named, and the exit code is 6', async () => {
  const { controller, run, file } = await setUp();
  await controller.addNode('node1', '192.0.2.11', { live: false });
  expect((await run('backup', file)).code).toBe(0);
  const restoring = run('restore', file, '--yes', '--timeout', '2m');
  await controller.endRecovery('late');
  const { code, out, err } = await restoring;
  expect({ code, out }).toEqual({ code: 6, out: 'the cluster was what the backup says already\n' });
  expect(err).toMatch(/waiting for node1 to hold again what they held\n.*tenetctl node status/);
});

test('a file that was changed is refused before it is sent, by its line', async () => {
  const { run, file } = await setUp();
  expect((await run('backup', file)).code).toBe(0);
  const [whole, changed] = [readFileSync(file, 'utf8'), readFileSync(file, 'utf8').replace('vni\\":1,', 'vni\\":7,')];
  expect(changed).not.toBe(whole);
  writeFileSync(file, changed);
  const { code, err } = await run('restore', file, '--yes');
  expect({ code, err }).toEqual({
    code: 2,
    err: expect.stringMatching(/cluster\.backup: line \d+: .*the file was changed/),
  });
});

test('what cannot be read or written, or is no time, is wrong usage or a failure, in words', async () => {
  const { run, folder, file } = await setUp();
  expect(await run('restore', file, '--yes')).toMatchObject({
    code: 2,
    err: `tenetctl: ${file} cannot be read: it does not exist\n`,
  });
  expect(await run('restore', file, '--timeout', '1h')).toMatchObject({
    code: 2,
    err: expect.stringContaining('timeout:'),
  });
  const nowhere = join(folder, 'none', 'file');
  expect(await run('backup', nowhere)).toMatchObject({
    code: 1,
    err: `tenetctl: ${nowhere} cannot be written: ENOENT\n`,
  });
  expect(await run('backup', folder)).toMatchObject({ code: 1, err: expect.stringContaining('cannot be written') });
  expect(readdirSync(folder)).toEqual([]);
});

test('a backup that is cut on its way leaves the file before it in place, and nothing beside it', async () => {
  const { run, env, folder, file } = await setUp();
  expect((await run('backup', file)).code).toBe(0);
  const before = readFileSync(file, 'utf8');
  let cut = (text: string) => text;
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'content-length': Buffer.byteLength(before) });
    const sent = cut(before);
    response.write(sent, () => (sent === before ? response.end() : response.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const other = { ...env, TENET_SERVER: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  cut = (text) => text.slice(0, text.length >> 1);
  expect(await tenetctl(['backup', file], other)).toMatchObject({
    code: 6,
    err: expect.stringContaining('cannot reach'),
  });
  expect(readFileSync(file, 'utf8')).toBe(before);
  expect(readdirSync(folder)).toEqual(['cluster.backup']);
  cut = (text) => text;
  expect(await tenetctl(['backup', file], other)).toMatchObject({ code: 0 });
});

test('a backup without its end is no backup, though the connection ended well', async () => {
  const { run, env, folder, file } = await setUp();
  expect((await run('backup', file)).code).toBe(0);
  const whole = readFileSync(file, 'utf8').trimEnd().split('\n');
  const server = createServer((_, response) => response.end(`${whole.slice(0, -1).join('\n')}\n`));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const other = { ...env, TENET_SERVER: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  const next = join(folder, 'next.backup');
  expect(await tenetctl(['backup', next], other)).toMatchObject({
    code: 1,
    err: expect.stringContaining('did not come whole'),
  });
  expect(readdirSync(folder)).toEqual(['cluster.backup']);
});
