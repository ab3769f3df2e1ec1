/** `npm run test:flaky`, in a small checkout: it counts, shows the first failure, leaves nothing running, and says what it cannot do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Checkout, failsIn, makeCheckout } from './checkout.ts';

let checkout: Checkout;
beforeAll(() => {
  checkout = makeCheckout({
    'test/seldom.test.ts': failsIn({ 'fails seldom': [2], 'never fails': [] }),
    'test/slow.test.ts': "import { test } from 'vitest';\ntest('waits', () => new Promise(() => {}), 600_000);\n",
  });
});
afterAll(() => checkout?.remove());

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onBusy called with its pid once it has processes that spin, and vitest, under it */
async function flaky(args: readonly string[], onBusy?: (pid: number) => void): Promise<Outcome> {
  // not by tsx's own command, which is one more process between
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/ci/flaky.ts', ...args], {
    cwd: checkout.root,
    env: { ...checkout.env, TMPDIR: checkout.root }, // what a killed one leaves goes with it
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text) => {
      said[name] += text;
    });
  const closed = once(child, 'close');
  if (onBusy) {
    await expect.poll(() => childrenOf(child.pid ?? 0).length, { timeout: 30_000 }).toBe(5);
    onBusy(child.pid ?? 0);
  }
  const [status] = await closed;
  return { status, ...said };
}

/** Its processes and theirs, as pids. */
function childrenOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  );
}

const runs = (text: string): number => (text.match(/^\[\d\/\d\] /gm) ?? []).length;

test('says how often the file failed, and shows the first failure', { timeout: 120_000 }, async () => {
  const { status, stdout } = await flaky(['test/seldom.test.ts', '--times', '3', '--busy', '0']);
  expect(stdout.match(/^\[.*?(ok|FAIL)/gm)).toEqual(['[1/3] ok', '[2/3] FAIL', '[3/3] ok']);
  expect(stdout).toContain('fails seldom fails in run 2');
  expect(stdout).toMatch(/^1 of 3 failed$/m);
  expect(status).toBe(1);
});

test('repeats one test alone', { timeout: 120_000 }, async () => {
  const only = ['test/seldom.test.ts', 'never fails', '--project', 'unit'];
  const { status, stdout } = await flaky([...only, '--times', '1', '--busy', '0']);
  expect([status, runs(stdout)]).toEqual([0, 1]);
  expect(stdout).toMatch(/^0 of 1 failed$/m);
});

test.each([
  [['test/nothing.test.ts'], 'There is no file test/nothing.test.ts.'],
  [['test/seldom.test.ts', '--times', '0'], 'It must be a number from 1 to 9999.'],
  [['package.json', '--busy', '0'], 'package.json is no test of any project'],
  [['test/seldom.test.ts', 'fails', '--busy', '0'], 'test/seldom.test.ts has no test of the name fails'],
])('refuses %j', { timeout: 60_000 }, async (args, words) => {
  const { status, stdout, stderr } = await flaky(args);
  expect([status, runs(stdout)]).toEqual([2, 0]);
  expect(stderr).toContain(words);
});

test.each(['SIGINT', 'SIGKILL'] as const)('leaves nothing spinning after %s', { timeout: 120_000 }, async (signal) => {
  let started: readonly string[] = [];
  const { status, stdout } = await flaky(['test/slow.test.ts'], (pid) => {
    started = childrenOf(pid);
    process.kill(pid, signal);
  });
  const spinning = () => started.filter((pid) => commandOf(pid).includes('process.ppid'));
  await expect.poll(spinning, { timeout: 30_000 }).toEqual([]);
  if (signal === 'SIGINT') {
    expect([status, started.filter((pid) => commandOf(pid) !== '')]).toEqual([130, []]);
    expect(stdout).toMatch(/^0 of 0 failed, then interrupted$/m);
  }
  // vitest goes on when its parent was killed, for nothing could tell it
  for (const pid of started) if (commandOf(pid).includes(checkout.root)) process.kill(-Number(pid), 'SIGKILL');
});

/** Empty once it has ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}
