/**
 * Network namespaces: doing something synchronous inside another one, with this thread and no other. A socket opened inside keeps
 * belonging there; everything asynchronous would run back here, or worse, on a pool thread that stays there.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { CLONE_NEWNET, setns, unshare } from './libc.ts';

const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Runs `work` in the namespace of a file such as /run/netns/NAME. A way back that fails ends the process: half a process in a
 * container's namespace must not go on.
 * @throws KernelError if the namespace cannot be entered, Node's ENOENT if there is no such file, whatever `work` throws
 */
export function withNetns<T>(path: string, work: () => T): T {
  const target = openSync(path, 'r');
  try {
    const own = openSync(OWN_NETNS, 'r');
    try {
      setns(target, CLONE_NEWNET, path);
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

/** What tells one namespace from another, whatever it is called. @returns undefined when there is no such file */
export function netnsIdentity(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}
