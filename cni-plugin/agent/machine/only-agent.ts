/**
 * One agent for each network namespace, whatever their names and directories: two would undo each other's rules. The lock is on the
 * namespace itself, and ends with the process.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { tryLock } from '../../../dataplane/system/libc.ts';

const NAMESPACE = '/proc/self/ns/net';

/** Another agent is at work in this network namespace. */
export class NotAlone extends Error {
  readonly code = 'not_alone';
  /** @param pid as far as this process may know */
  constructor(pid: number | undefined) {
    const which = pid === undefined ? '' : ` (process ${pid})`;
    super(
      `another tenet-agent manages this machine already${which}: stop it first, for two would undo each other's rules`,
    );
  }
}

/** @returns a function that ends it @throws NotAlone */
export function lockNamespace(): () => void {
  const fd = openSync(NAMESPACE, 'r');
  if (tryLock(fd)) return () => closeSync(fd);
  const { ino } = fstatSync(fd);
  closeSync(fd);
  throw new NotAlone(findHolder(ino));
}

/** Lines such as `1: FLOCK  ADVISORY  WRITE 4711 00:04:4026531840 0 EOF`. @see Documentation/filesystems/locks.rst */
function findHolder(inode: number): number | undefined {
  const [, pid] =
    new RegExp(`FLOCK +ADVISORY +WRITE +(\\d+) \\S+:${inode} `).exec(readFileSync('/proc/locks', 'utf8')) ?? [];
  return Number(pid) > 0 ? Number(pid) : undefined;
}
