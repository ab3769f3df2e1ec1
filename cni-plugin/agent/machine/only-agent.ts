/**
 * One agent for each network namespace, whatever their names and directories: two would undo each other's rules. The lock is on the
 * namespace itself, and ends with the process.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
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

/** A process that is no agent holds the lock: whether an agent does can no longer be told. */
export interface Impostor {
  readonly pid: number;
}

/**
 * Every user of the machine can take this lock, but agents run as root: what others hold keeps no agent from its start.
 * @throws NotAlone
 */
export function lockNamespace(): Impostor | undefined {
  const fd = openSync(NAMESPACE, 'r');
  // Held until the process ends.
  if (tryLock(fd)) return undefined;
  const { ino } = fstatSync(fd);
  closeSync(fd);
  const holders = findHolders(ino);
  const mayBeAgent = holders.find((pid) => ownerOf(pid) === 0);
  const [first] = holders;
  if (mayBeAgent !== undefined || first === undefined) throw new NotAlone(mayBeAgent);
  return { pid: first };
}

/** Lines such as `1: FLOCK  ADVISORY  WRITE 4711 00:04:4026531840 0 EOF`. @see Documentation/filesystems/locks.rst */
function findHolders(inode: number): number[] {
  const line = new RegExp(`^\\d+: FLOCK +ADVISORY +(?:READ|WRITE) +(\\d+) \\S+:${inode} `, 'gm');
  const found = [...readFileSync('/proc/locks', 'utf8').matchAll(line)].map(([, pid]) => Number(pid));
  // 0: of another namespace of processes
  return found.filter((pid) => pid > 0);
}

/** @returns undefined for a process that has ended */
function ownerOf(pid: number): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}
