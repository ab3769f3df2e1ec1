/**
 * Network namespaces: doing something synchronous inside another one, with this thread and no other. A socket opened inside keeps
 * belonging there; everything asynchronous would run back here, or worse, on a pool thread that stays there.
 */
import { closeSync, constants, fstatSync, openSync, type Stats, statfsSync, statSync } from 'node:fs';
import { InvalidNetns, KernelError } from '../errors.ts';
import { CLONE_NEWNET, namespaceType, O_PATH, setns, unshare } from './libc.ts';

const OWN_NETNS = '/proc/thread-self/ns/net';
/** @see include/uapi/linux/magic.h */
const NSFS_MAGIC = 0x6e736673;

/**
 * Opens a file such as /run/netns/NAME. The path is a caller's word and may name anything: what is there is looked at first by a
 * descriptor that neither reads nor waits (O_PATH), for opening a FIFO waits for its other end, and opening a device can do things.
 * @returns a descriptor to close
 * @throws InvalidNetns unless it is a network namespace
 */
export function openNetns(path: string): number {
  const seen = openedOr(path, () => openSync(path, O_PATH));
  try {
    // The file that was looked at, whatever the path names by now.
    const itself = `/proc/self/fd/${seen}`;
    if (statfsSync(itself).type !== NSFS_MAGIC) throw new InvalidNetns(path, `it is ${kindOf(fstatSync(seen))}`);
    const fd = openedOr(path, () => openSync(itself, constants.O_RDONLY | constants.O_NONBLOCK));
    try {
      if (namespaceType(fd) !== CLONE_NEWNET) throw new InvalidNetns(path, 'it is a namespace of another kind');
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } finally {
    closeSync(seen);
  }
}

/** @throws InvalidNetns for whatever keeps a path from being opened */
function openedOr(path: string, open: () => number): number {
  try {
    return open();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new InvalidNetns(path, code === 'ENOENT' ? 'there is no such file' : String(code), { cause });
  }
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSocket()) return 'a socket';
  return stats.isFile() ? 'another file' : 'a device';
}

/**
 * Runs `work` in the namespace of a file such as /run/netns/NAME. A way back that fails ends the process: half a process in a
 * container's namespace must not go on.
 * @throws InvalidNetns if the namespace cannot be entered, whatever `work` throws
 */
export function withNetns<T>(path: string, work: () => T): T {
  const target = openNetns(path);
  try {
    const own = openSync(OWN_NETNS, 'r');
    try {
      enter(target, path);
      try {
        const result = work();
        if (isThenable(result)) throw new TypeError('withNetns takes synchronous work');
        return result;
      } finally {
        returnTo(own);
      }
    } finally {
      closeSync(own);
    }
  } finally {
    closeSync(target);
  }
}

function enter(target: number, path: string): void {
  try {
    setns(target, CLONE_NEWNET, path);
  } catch (cause) {
    if (cause instanceof KernelError) throw new InvalidNetns(path, cause.message, { cause });
    throw cause;
  }
}

function returnTo(own: number): void {
  try {
    setns(own, CLONE_NEWNET, OWN_NETNS);
  } catch (error) {
    console.error('cannot return to our own network namespace', error);
    process.abort();
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value;
}

/** Moves this thread into a new namespace of its own. For tests: a forked test process has nothing to go back to. */
export function unshareNetns(): void {
  unshare(CLONE_NEWNET);
}

/**
 * What tells one namespace from another, whatever it is called. Opens nothing.
 * @returns undefined when there is no such file
 * @throws InvalidNetns for what can be no path
 */
export function netnsIdentity(path: string): string | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat && `${stat.dev}:${stat.ino}`;
  } catch (cause) {
    throw new InvalidNetns(path, String((cause as NodeJS.ErrnoException).code), { cause });
  }
}
