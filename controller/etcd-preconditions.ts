/**
 * What must be true before a managed etcd is started, checked beforehand because etcd itself says it late, badly or never.
 * It starts nothing.
 */
import { once } from 'node:events';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

/** etcd did not start. The message says why, as far as can be told. */
export class EtcdStartError extends Error {
  readonly code = 'etcd_start';
}

/** Path of an executable in one of the folders of `searchPath`, which is written like PATH. */
export function findBinary(name: string, searchPath: string): string | undefined {
  const folders = searchPath.split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** etcd itself would wait for the other process's lock for ever. @throws EtcdStartError */
export function checkNotInUse(dataDir: string): void {
  const database = statSync(join(dataDir, 'member/snap/db'), { throwIfNoEntry: false });
  if (!database) return;
  // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`, see proc_locks(5)
  for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
    const [, , , , pid = '', file = ''] = line.split(/\s+/);
    if (file.endsWith(`:${database.ino}`) && commandOf(pid) === 'etcd')
      throw new EtcdStartError(`${dataDir} is in use by the etcd with process id ${pid}`);
  }
}

function commandOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * A port on which no process listens at this moment. Asked first, because another etcd on it would pass for ours being ready.
 * @param port 0 for any
 * @throws EtcdStartError the port is taken
 */
export async function findFreePort(address: string, port: number): Promise<number> {
  const server = createServer().listen(port, address);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new EtcdStartError(`etcd cannot listen on ${address} port ${port}: ${messageOf(error)}`, { cause: error });
  }
  const bound = server.address();
  server.close();
  await once(server, 'close');
  return bound !== null && typeof bound === 'object' ? bound.port : port;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.includes('EADDRINUSE') ? 'the port is taken' : error.message;
}
