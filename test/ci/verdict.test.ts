/**
 * A flake and a fault told apart, on the reports of real runs of vitest in a small checkout: its tests fail in the ways that tests do, and
 * what may be run again is.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Checkout, failsIn, makeCheckout } from './checkout.ts';
import { type FileRecord, type RunRecord, readReports } from './run-report.ts';
import {
  type Failure,
  findFailures,
  formatCounts,
  formatFailure,
  formatVerdict,
  judge,
  judgeRerun,
  MOST_RUN_AGAIN,
  planReruns,
  type Rerun,
  type WholeRun,
} from './verdict.ts';
import { patternOf, runVitest } from './vitest.ts';

const NAMES = `
import { describe, expect, test } from 'vitest';
describe('a "quoted" (part)', () => {
  describe('of [more] than one > level', () => {
    test.each([1, 2])('fails with %i, 5$ (each) and \`ticks\` \\\\d', (n) => expect(n).toBe(0));
    test('passes', () => {});
  });
});
test('fails', () => { throw new Error('the first of this name'); });
test('fails', () => { throw new Error('the second of this name'); });
test.skip('is skipped', () => {});
test.todo('is to come');
`;
const HOOKS = (hook: string): string => `
import { ${hook}, describe, test } from 'vitest';
describe('a part', () => {
  ${hook}(() => { throw new Error('the hook fails'); });
  test('one', () => {});
  test('two', () => {});
});
`;
const UNHANDLED = `
import { test } from 'vitest';
test('passes', async () => {
  void Promise.reject(new Error('left alone'));
  await new Promise(setImmediate);
});
`;

const CHECK = "sh test/ci/each.sh 'test ! -e lint-fault' 'vitest run --project unit'";
const UNIT = `${CHECK} > vitest run --project unit`;

let checkout: Checkout;
/** of all tests of the checkout */
let whole: WholeRun;

beforeAll(() => {
  checkout = makeCheckout({
    'test/ci/names.test.ts': NAMES,
    'test/ci/before.test.ts': HOOKS('beforeAll'),
    'test/ci/after.test.ts': HOOKS('afterAll'),
    'test/ci/import.test.ts': "import './nothing.ts';\n",
    'test/ci/flake.test.ts': failsIn({ 'a flake': [1], 'another one': [1], 'and a third': [1] }),
    'test/ci/fault.test.ts': failsIn({ 'a fault': [1, 2] }),
    'test/e2e/attacks-planted.test.ts': failsIn({ 'a packet passes': [1] }),
    'test/new.test.ts': failsIn({ 'is not known to the rule': [1] }),
  });
  const results = resultsFolder();
  const { root, env } = checkout;
  const { status, stdout } = spawnSync('sh', ['test/ci/each.sh', CHECK, 'vitest run --project e2e'], {
    cwd: root,
    env: { ...env, TEST_RESULTS: results, PATH: `${root}/node_modules/.bin:${env.PATH}` },
    encoding: 'utf8',
  });
  expect(status, stdout).toBe(1);
  whole = { ...readReports(results), status: status ?? -1, projects: ['unit', 'e2e'] };
}, 120_000);
afterAll(() => checkout?.remove());

const folders: string[] = [];
function resultsFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'results-'));
  folders.push(folder);
  return folder;
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** The run as it would have been with only these of the files that failed, and of them only tests whose name matches. */
function only(files: readonly string[], name = /^/): WholeRun {
  const chosen = (file: FileRecord): FileRecord[] => {
    if (file.file.endsWith('/passing.test.ts')) return [file];
    if (!files.some((each) => file.file.includes(each))) return [];
    return [{ ...file, tests: file.tests.filter((each) => name.test(each.name.join(' > '))) }];
  };
  const runs = whole.runs.map((run): RunRecord => {
    const left = { ...run, files: run.files.flatMap(chosen) };
    return { ...left, ended: findFailures([left]).length > 0 ? 'failed' : 'passed' };
  });
  const failed = (part: string): boolean => runs.some((run) => run.part.startsWith(part) && run.ended === 'failed');
  const parts = whole.parts.map(({ part }) => ({ part, status: failed(part) ? 1 : 0 }));
  return { ...whole, runs, parts, status: findFailures(runs).length > 0 ? 1 : 0 };
}

const rerunOf = (failure: Failure, passed: boolean): Rerun => ({
  failure,
  passed,
  counts: { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 },
});
const judgeAll = (run: WholeRun, passed: boolean) =>
  judge(
    run,
    findFailures(run.runs).map((each) => rerunOf(each, passed)),
  );
const named = (failures: readonly Failure[]) => failures.map(formatFailure);

describe('the report of a run', () => {
  test('has every failed test under its titles, and files that failed outside of tests', () => {
    expect(named(findFailures(whole.runs)).sort()).toEqual([
      'test/ci/after.test.ts',
      'test/ci/before.test.ts',
      'test/ci/fault.test.ts > a fault',
      'test/ci/flake.test.ts > a flake',
      'test/ci/flake.test.ts > and a third',
      'test/ci/flake.test.ts > another one',
      'test/ci/import.test.ts',
      'test/ci/names.test.ts > a "quoted" (part) > of [more] than one > level > fails with 1, 5$ (each) and `ticks` \\d',
      'test/ci/names.test.ts > a "quoted" (part) > of [more] than one > level > fails with 2, 5$ (each) and `ticks` \\d',
      'test/ci/names.test.ts > fails',
      'test/e2e/attacks-planted.test.ts > a packet passes',
      'test/new.test.ts > is not known to the rule',
    ]);
  });

  test('has the project of each file and the part of the command that ran it', () => {
    expect(whole.runs.map(({ part, ended }) => [part, ended]).sort()).toEqual([
      [UNIT, 'failed'],
      ['vitest run --project e2e', 'failed'],
    ]);
    const projects = whole.runs.flatMap(({ files }) => files).map(({ file, project }) => [file, project]);
    expect(projects).toContainEqual(['test/e2e/attacks-planted.test.ts', 'e2e']);
    expect(projects).toContainEqual(['test/ci/flake.test.ts', 'unit']);
  });

  test('has both failures of two tests of one name', () => {
    const failure = findFailures(whole.runs).find(({ name }) => name?.join() === 'fails');
    expect(failure?.errors).toEqual([
      expect.stringContaining('the first of'),
      expect.stringContaining('the second of'),
    ]);
  });
});

describe('run again', () => {
  test('is what the rule names, and nothing else', () => {
    expect(named(planReruns(only(['flake', 'attacks', 'new'])))).toEqual([
      'test/ci/flake.test.ts > a flake',
      'test/ci/flake.test.ts > another one',
      'test/ci/flake.test.ts > and a third',
    ]);
  });

  test('is nothing when the run hung, and nothing when too much failed', () => {
    expect(planReruns({ ...only(['flake']), status: 124 })).toEqual([]);
    expect(findFailures(whole.runs).length).toBeGreaterThan(MOST_RUN_AGAIN);
    expect(planReruns(whole)).toEqual([]);
  });
});

describe('the verdict', () => {
  test('without a failure is good', () => {
    const { flaky, failures, faults, ...rest } = judge(only([]), []);
    expect({ flaky, failures, faults }).toEqual({ flaky: [], failures: [], faults: [] });
    expect(rest).toEqual({ ok: true, passed: 2, failed: 0, skipped: 0 });
  });

  test('on one flake, or two, is good and names them', () => {
    const one = judgeAll(only(['flake'], /^a flake/), true);
    expect(formatVerdict(one)).toBe(`flaky (failed once, passed when run again alone):
  flaky: test/ci/flake.test.ts > a flake
  to catch one: npm run test:flaky -- FILE NAME
`);
    expect([one.ok, formatCounts(one)]).toEqual([true, '3 passed, 0 failed']);
    const two = judgeAll(only(['flake'], /^an/), true);
    expect([two.ok, formatCounts(two), two.flaky.length]).toEqual([true, '4 passed, 0 failed', 2]);
  });

  test('on three flakes is bad', () => {
    const three = judgeAll(only(['flake']), true);
    expect([three.ok, formatCounts(three), three.flaky.length]).toEqual([false, '5 passed, 1 failed', 3]);
    expect(three.faults).toEqual(['3 tests are flaky, and fewer than 3 are tolerated']);
  });

  test('on a test that fails twice is bad, once for it', () => {
    const judged = judgeAll(only(['fault']), false);
    expect(formatVerdict(judged)).toBe(
      'failed:\n  failed: test/ci/fault.test.ts > a fault (failed again when run alone)\n',
    );
    expect([judged.ok, formatCounts(judged)]).toEqual([false, '2 passed, 1 failed']);
  });

  test('on isolation is bad, whatever a second run says', () => {
    for (const file of ['attacks', 'new']) {
      const judged = judgeAll(only([file]), true);
      expect([judged.ok, formatCounts(judged), judged.flaky]).toEqual([false, '2 passed, 1 failed', []]);
      expect(judged.failures.map(({ why }) => why)).toEqual(['may be about isolation: never run again']);
    }
  });

  test('on a flake that there was no time for is bad', () => {
    expect(judge(only(['flake'], /^a flake/), []).failures.map(({ why }) => why)).toEqual([
      'was to be run again, and there was no time',
    ]);
  });

  test('counts a file that failed outside of its tests as one failure, or as its second run', () => {
    expect(formatCounts(judge(only(['before']), []))).toBe('2 passed, 1 failed, 2 skipped');
    expect(formatCounts(judge(only(['after']), []))).toBe('4 passed, 1 failed');
    expect(formatCounts(judge(only(['import']), []))).toBe('2 passed, 1 failed');
    const run = only(['before']);
    const again = findFailures(run.runs).map((failure) => ({
      failure,
      passed: true,
      counts: { passed: 2, failed: 0, skipped: 0 },
    }));
    expect(formatCounts(judge(run, again))).toBe('4 passed, 0 failed');
  });

  test('counts what is skipped and to come', () => {
    expect(formatCounts(judge(only(['names'], /^is /), []))).toBe('2 passed, 0 failed, 2 skipped');
  });
});

describe('a fault is', () => {
  const faultsOf = (run: Partial<WholeRun>) => judge({ ...only([]), ...run }, []).faults;

  test('a part that fails by itself, beside tests that may have been luck', () => {
    const flake = only(['flake'], /^a flake/);
    const parts = flake.parts.map((each) => (each.part.endsWith('lint-fault') ? { ...each, status: 1 } : each));
    const judged = judgeAll({ ...flake, parts }, true);
    expect([judged.ok, judged.flaky.length, judged.faults]).toEqual([
      false,
      1,
      [`${CHECK} > test ! -e lint-fault ended with status 1`],
    ]);
  });

  test('a run of vitest that failed with all its tests passed', () => {
    const parts = only([]).parts.map((each) => (each.part === UNIT ? { ...each, status: 1 } : each));
    expect(faultsOf({ parts })).toEqual([`${UNIT} ended with status 1`]);
  });

  test('a project of which nothing passed', () => {
    expect(faultsOf({ projects: ['unit', 'e2e', 'kernel'] })).toEqual(['no test of the project kernel passed']);
    expect(faultsOf({ runs: [] })).toEqual(['no test of the project unit passed', 'no test of the project e2e passed']);
  });

  test('a report that cannot be read, and one of a run cut short or interrupted', () => {
    expect(faultsOf({ unreadable: ['the report run-1.json cannot be read'] })).toHaveLength(1);
    const { runs } = only([]);
    const cut = runs.map(({ ended: _, ...run }) => run);
    expect(faultsOf({ runs: cut })).toEqual(expect.arrayContaining([`cut short: ${UNIT}`]));
    expect(faultsOf({ runs: runs.map((run) => ({ ...run, ended: 'interrupted' as const })) })).toHaveLength(2);
  });

  test('time that ran out, and a command that fails without a reason', () => {
    expect(faultsOf({ status: 124 })).toEqual(['the test command was over its time']);
    expect(faultsOf({ status: 3 })).toEqual(['the test command ended with status 3']);
  });

  test('what is wrong beside the tests', () => {
    const judged = judge(only([]), [], ['something was left behind']);
    expect([judged.ok, formatCounts(judged)]).toEqual([false, '2 passed, 1 failed']);
  });
});

/** Runs vitest on one file, or one test, of the checkout. */
async function again(failure: Omit<Failure, 'errors'>): Promise<Rerun> {
  const { root } = checkout;
  const run = { root, ...failure, results: resultsFolder(), timeoutMs: 60_000, onOutput: () => {} };
  const { status, runs } = await runVitest(run);
  return judgeRerun({ ...failure, errors: [] }, status, runs);
}

describe('a second run', { timeout: 60_000 }, () => {
  test('is of exactly the test, whatever its name', async () => {
    const [failure] = findFailures(whole.runs).filter(({ file }) => file.includes('names'));
    if (failure === undefined) throw new Error('names.test.ts has not failed');
    expect(await again(failure)).toMatchObject({ passed: false, counts: { passed: 0, failed: 1, skipped: 0 } });
  });

  test('passes if the test does, though others of its file would not', async () => {
    const name = ['a "quoted" (part)', 'of [more] than one > level', 'passes'];
    const rerun = await again({ project: 'unit', file: 'test/ci/names.test.ts', name });
    expect(rerun).toMatchObject({ passed: true, counts: { passed: 1, failed: 0, skipped: 0 } });
  });

  test('of a test that is not there is no pass', async () => {
    const name = ['a flake that is not there'];
    expect((await again({ project: 'unit', file: 'test/ci/flake.test.ts', name })).passed).toBe(false);
  });

  test('with an error outside of all tests is no pass, and a run with one has a fault', async () => {
    const file = 'test/ci/unhandled.test.ts';
    checkout.write(file, UNHANDLED);
    const { root } = checkout;
    const results = resultsFolder();
    const { status, runs } = await runVitest({ root, file, results, timeoutMs: 60_000, onOutput: () => {} });
    expect(findFailures(runs)).toEqual([]);
    expect(judgeRerun({ project: 'unit', file, errors: [] }, status, runs).passed).toBe(false);
    const { faults } = judge({ ...only([]), runs: [...only([]).runs, ...runs] }, []);
    expect(faults).toEqual([expect.stringMatching(/^an error outside of all tests in a run of vitest: .*left alone/s)]);
  });

  test('of a printed name means the same test', () => {
    const [name, printed] = [['a > b', 'c'], 'a > b > c'];
    for (const pattern of [patternOf(name), patternOf(printed)]) {
      expect('a > b c').toMatch(new RegExp(pattern));
      expect('a > b cd').not.toMatch(new RegExp(pattern));
    }
  });
});

test('the steps of .ci/run: what may is run again and says so, what passed is green', { timeout: 120_000 }, () => {
  const { root, env } = checkout;
  const results = resultsFolder();
  const judgeStep = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['node_modules/tsx/dist/cli.mjs', 'test/ci/judge.ts', ...args], {
      cwd: root,
      env,
      encoding: 'utf8',
    });
  const { runs, parts } = only(['flake', 'fault', 'attacks'], /^a /);
  for (const [index, run] of runs.entries()) writeFileSync(join(results, `run-${index}.json`), JSON.stringify(run));
  writeFileSync(join(results, 'parts'), parts.map(({ status, part }) => `${status}\t${part}\n`).join(''));

  const rerun = judgeStep('rerun', results, '--status', '1');
  expect(rerun.status, rerun.stderr).toBe(0);
  expect(rerun.stdout.match(/^ci: .*$/gm)).toEqual([
    'ci: run again, alone: test/ci/fault.test.ts > a fault',
    'ci: run again, alone: test/ci/flake.test.ts > a flake',
  ]);
  expect(rerun.stdout).toContain('a fault fails in run 2');
  const verdict = judgeStep('verdict', results, '--status', '1', '--fault', 'a link was left behind');
  expect(verdict.stdout.trim().split('\n')).toEqual([
    'flaky (failed once, passed when run again alone):',
    '  flaky: test/ci/flake.test.ts > a flake',
    '  to catch one: npm run test:flaky -- FILE NAME',
    'failed:',
    '  failed: test/ci/fault.test.ts > a fault (failed again when run alone)',
    '  failed: test/e2e/attacks-planted.test.ts > a packet passes (may be about isolation: never run again)',
    '  failed: a link was left behind',
    '3 passed, 3 failed',
  ]);
  expect(verdict.status).toBe(1);
  expect(JSON.parse(readFileSync(join(results, 'summary.json'), 'utf8'))).toMatchObject({
    passed: 3,
    failed: 3,
    flaky: [{ project: 'unit', file: 'test/ci/flake.test.ts', name: ['a flake'], errors: [expect.any(String)] }],
  });
});
