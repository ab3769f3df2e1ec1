/**
 * Network namespaces of kernel tests: the test process in one of its own, further ones by name, and iproute2 to look into all of them.
 * Refuses to run anything in the namespace the machine lives in.
 */
import { execFileSync } from 'node:child_process';
import { netnsIdentity, unshareNetns } from '../../dataplane/system/netns.ts';

const OWN_NETNS = '/proc/thread-self/ns/net';

let entered: string | undefined;

/** Moves this process into a namespace of its own, `lo` up, for good. Before the first socket is opened. */
export function enterOwnNamespace(): void {
  const before = netnsIdentity(OWN_NETNS);
  unshareNetns();
  const after = netnsIdentity(OWN_NETNS);
  if (after === undefined || after === before) throw new Error('still in the namespace of the machine');
  entered = after;
  ip('link', 'set', 'lo', 'up');
}

/** Another namespace, known to `ip netns`. */
export interface OtherNamespace {
  readonly name: string;
  readonly path: string;
  remove(): void;
}

let count = 0;

export function addNamespace(): OtherNamespace {
  assertOwn();
  count++;
  const name = `tenet-test-${process.pid}-${count}`;
  run('ip', ['netns', 'add', name]);
  const path = `/run/netns/${name}`;
  let there = true;
  const remove = () => {
    if (there) run('ip', ['netns', 'del', name]);
    there = false;
  };
  return { name, path, remove };
}

/** Runs `ip` in our own namespace, or with `-n NAME` in another. @throws Error with what it said */
export function ip(...args: string[]): string {
  assertOwn();
  return run('ip', args);
}

/** As {@link ip}, asking for JSON with details; what it leaves empty is an empty list. */
export function ipJson<T = Readonly<Record<string, unknown>>>(...args: string[]): T[] {
  const text = ip('-json', '-d', ...args);
  return text.trim() === '' ? [] : JSON.parse(text);
}

export function run(file: string, args: readonly string[], input?: string): string {
  return execFileSync(file, args, {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  });
}

/** Before anything that changes a namespace. */
export function assertOwn(): void {
  if (entered === undefined || netnsIdentity(OWN_NETNS) !== entered) throw new Error('not in a namespace of our own');
}
