/** One agent for each network namespace. */
import { spawn } from 'node:child_process';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { lockNamespace, NotAlone } from '../../cni-plugin/agent/machine/only-agent.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { enterOwnNamespace, run } from './namespace.ts';

const NAMESPACE = '/proc/self/ns/net';

beforeAll(() => enterOwnNamespace());

const isFree = () => {
  try {
    run('flock', ['--nonblock', NAMESPACE, 'true']);
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
};

/** Another process that holds the lock until it is killed. */
async function holder(flag: '--shared' | '--exclusive', uid = 0) {
  const child = spawn('flock', ['--no-fork', flag, NAMESPACE, 'sleep', '60'], { uid });
  onTestFinished(() => void child.kill('SIGKILL'));
  await waitFor(() => !isFree(), { what: 'the lock of another' });
  return child;
}

test.each(['--exclusive', '--shared'] as const)(
  'one that root holds (%s) is refused by name until it ends',
  async (flag) => {
    const other = await holder(flag);
    expect(() => lockNamespace()).toThrow(new NotAlone(other.pid));
    run('unshare', ['--net', 'flock', '--nonblock', NAMESPACE, 'true']);
    other.kill('SIGKILL');
    await waitFor(isFree, { what: 'a killed one holds nothing' });
  },
);

test('what a user of the machine holds keeps no agent from its start', async () => {
  const other = await holder('--shared', 65_534);
  expect(lockNamespace()).toEqual({ pid: other.pid });
  const root = spawn('flock', ['--no-fork', '--shared', NAMESPACE, 'sleep', '60']);
  onTestFinished(() => void root.kill('SIGKILL'));
  const refused = () => {
    try {
      lockNamespace();
      return undefined;
    } catch (error) {
      return error;
    }
  };
  await waitFor(() => refused() !== undefined, { what: 'root holds it as well' });
  expect(refused()).toEqual(new NotAlone(root.pid));
  for (const child of [other, root]) child.kill('SIGKILL');
  await waitFor(isFree, { what: 'both have ended' });
});

test('an agent keeps it', () => {
  expect(lockNamespace()).toBeUndefined();
  expect(isFree()).toBe(false);
  run('unshare', ['--net', 'flock', '--nonblock', NAMESPACE, 'true']);
  expect(() => lockNamespace()).toThrow(new NotAlone(process.pid));
});
