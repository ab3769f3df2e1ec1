/**
 * .ci/run whole, in a small checkout with planted flakes and faults. Under a network namespace and folders of its own, for it looks for
 * what was left behind on the machine.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { failsIn, makeCheckout } from '../ci/checkout.ts';

/** With a /tmp and a /run of its own. The packages are bound in first: this checkout may be below one of them. */
const ALONE = `
  set -e
  packages=$(realpath node_modules)
  rm node_modules
  mkdir node_modules
  mount --bind "$packages" node_modules
  mount -t tmpfs none /tmp
  mount -t tmpfs none /run
  exec .ci/run`;

function run(files: Readonly<Record<string, string>>): {
  status: number | null;
  end: readonly string[];
  summary: unknown;
} {
  const checkout = makeCheckout(files, '/var/tmp');
  const results = mkdtempSync('/var/tmp/results-');
  onTestFinished(() => {
    checkout.remove();
    rmSync(results, { recursive: true, force: true });
  });
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', ALONE], {
    cwd: checkout.root,
    env: { ...checkout.env, TEST_RESULTS: results },
    encoding: 'utf8',
  });
  const summary = join(results, 'summary.json');
  expect(existsSync(summary), `${stdout}\n${stderr}`).toBe(true);
  // what is said after the last run of vitest
  const end = stdout.slice(stdout.lastIndexOf('Duration')).trim().split('\n').slice(1);
  return { status, end: end.filter((line) => line !== ''), summary: JSON.parse(readFileSync(summary, 'utf8')) };
}

test('a flake and faults are told apart, and the run is red', { timeout: 300_000 }, () => {
  const { status, end, summary } = run({
    'test/ci/planted.test.ts': failsIn({ 'is a fault': [1, 2], 'is a flake': [1] }),
    'test/e2e/attacks-planted.test.ts': failsIn({ 'a packet passes': [1] }),
    'lint-fault': '',
  });
  expect(end.slice(-8)).toEqual([
    'flaky (failed once, passed when run again alone):',
    '  flaky: test/ci/planted.test.ts > is a flake',
    '  to catch one: npm run test:flaky -- FILE NAME',
    'failed:',
    '  failed: test/ci/planted.test.ts > is a fault (failed again when run alone)',
    '  failed: test/e2e/attacks-planted.test.ts > a packet passes (may be about isolation: never run again)',
    '  failed: npm run check > npm run lint ended with status 1',
    '3 passed, 3 failed',
  ]);
  expect(status).toBe(1);
  expect(summary).toMatchObject({
    ok: false,
    passed: 3,
    failed: 3,
    flaky: [{ project: 'unit', name: ['is a flake'] }],
  });
});
