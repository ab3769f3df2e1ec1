/** The managed etcd: start, errors that name the cause, crash and restart, clean stop, death with its parent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startEmbeddedEtcd } from '../../controller/embedded-etcd.ts';
import { EtcdStartError } from '../../controller/etcd-preconditions.ts';
import { openEtcdStore } from '../../controller/store/etcd-store.ts';

function makeDataDir(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenet-etcd-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'data');
}

vi.setConfig({ testTimeout: 60_000 }); // each starts an etcd or two

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);

test('it serves at its URL, keeps its data over a restart, and stops when told', async () => {
  const dataDir = makeDataDir();
  for (const expected of [undefined, 'v']) {
    const etcd = await startEmbeddedEtcd({ dataDir, clientPort: 0, unsafeNoFsync: true });
    const store = openEtcdStore({ endpoints: [etcd.etcdUrl] });
    expect((await store.get('k')).entry?.value).toBe(expected);
    await store.commit([], [{ kind: 'put', key: 'k', value: 'v' }]);
    await store.close();
    const pid = etcd.pid ?? 0;
    expect(isAlive(pid)).toBe(true);
    await etcd.close();
    expect(isAlive(pid)).toBe(false);
  }
});

test('a crash is reported and etcd started again, with its data', async () => {
  const warn = vi.fn();
  const options = { dataDir: makeDataDir(), clientPort: 0, unsafeNoFsync: true, logger: { info() {}, warn } };
  const etcd = await startEmbeddedEtcd(options);
  onTestFinished(() => etcd.close());
  const store = openEtcdStore({ endpoints: [etcd.etcdUrl] });
  onTestFinished(() => store.close());
  await store.commit([], [{ kind: 'put', key: 'k', value: 'v' }]);
  const first = etcd.pid ?? 0;
  process.kill(first, 'SIGKILL');
  const read = (): Promise<string | undefined> =>
    store.get('k').then(
      ({ entry }) => entry?.value,
      () => undefined,
    );
  await expect.poll(() => isAlive(first)).toBe(false);
  await expect.poll(read, { timeout: 30_000 }).toBe('v');
  expect(etcd.pid).not.toBe(first);
  expect(warn).toHaveBeenCalledWith(expect.objectContaining({ signalCode: 'SIGKILL' }), expect.any(String));
});

test('closing right after a crash leaves nothing behind', async () => {
  const etcd = await startEmbeddedEtcd({ dataDir: makeDataDir(), clientPort: 0, unsafeNoFsync: true });
  process.kill(etcd.pid ?? 0, 'SIGKILL');
  await expect.poll(() => etcd.pid).toBeUndefined();
  await etcd.close();
  await expect(fetch(`${etcd.etcdUrl}/health`)).rejects.toThrow();
});

test('a port that is taken is named', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  const clientPort = address !== null && typeof address === 'object' ? address.port : 0;
  const start = startEmbeddedEtcd({ dataDir: makeDataDir(), clientPort });
  await expect(start).rejects.toThrow(`port ${clientPort}: the port is taken`);
});

test('a data directory that another etcd uses is refused, naming its process', async () => {
  const dataDir = makeDataDir();
  const etcd = await startEmbeddedEtcd({ dataDir, clientPort: 0, unsafeNoFsync: true });
  onTestFinished(() => etcd.close());
  const second = startEmbeddedEtcd({ dataDir, clientPort: 0, unsafeNoFsync: true });
  await expect(second).rejects.toThrow(`in use by the etcd with process id ${etcd.pid}`);
});

test('without the binary the package to install is named', async () => {
  const start = startEmbeddedEtcd({ dataDir: makeDataDir(), searchPath: '/nowhere' });
  await expect(start).rejects.toThrow('etcd-server');
  await expect(start).rejects.toBeInstanceOf(EtcdStartError);
});

test('a start that fails says what etcd said', async () => {
  const dataDir = makeDataDir();
  mkdirSync(join(dataDir, 'member/snap'), { recursive: true });
  writeFileSync(join(dataDir, 'member/snap/db'), 'not a database');
  const start = startEmbeddedEtcd({ dataDir, clientPort: 0, unsafeNoFsync: true });
  await expect(start).rejects.toThrow(/ended while starting; it said:\n(?:.*\n)*.*invalid database/);
});

test('it dies with a parent that is killed', async () => {
  const dataDir = makeDataDir();
  const script = `
    const { startEmbeddedEtcd } = await import(${JSON.stringify(join(import.meta.dirname, '../../controller/embedded-etcd.ts'))});
    const etcd = await startEmbeddedEtcd({ dataDir: ${JSON.stringify(dataDir)}, clientPort: 0, unsafeNoFsync: true });
    console.log(etcd.pid);`;
  const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(output.toString());
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await expect.poll(() => isAlive(pid)).toBe(false);
});
