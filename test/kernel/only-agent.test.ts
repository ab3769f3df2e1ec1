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

test('a second one is refused until the first has ended, and another namespace does not matter', () => {
  const unlock = lockNamespace();
  expect(isFree()).toBe(false);
  run('unshare', ['--net', 'flock', '--nonblock', NAMESPACE, 'true']);
  expect(() => lockNamespace()).toThrow(new NotAlone(process.pid));
  unlock();
  expect(isFree()).toBe(true);
});

test('the refusal names the process, and a killed one holds nothing', async () => {
  const other = spawn('flock', ['--no-fork', NAMESPACE, 'sleep', '60']);
  onTestFinished(() => void other.kill('SIGKILL'));
  await waitFor(() => !isFree(), { what: 'the lock of the other' });
  expect(() => lockNamespace()).toThrow(/another tenet-agent manages this machine already \(process \d+\)/);
  expect(() => lockNamespace()).toThrow(NotAlone);
});
