/**
 * Tells a flake from a fault: from the reports of a whole run, which failed tests are run again, and from what became of them then,
 * whether the run is good. Pure: reads no file and runs nothing.
 */
import { mayRunAgain } from './run-again.ts';
import type { FileRecord, Reports, RunRecord } from './run-report.ts';

/** So many flaky tests are luck no more. */
export const FLAKY_LIMIT = 3;
/** When more than this failed, something is broken, and to run them again only takes time. */
export const MOST_RUN_AGAIN = 10;
/** timeout(1) says that time ran out, or that it had to kill. */
const TIME_RAN_OUT = [124, 137];

/** A test that failed, or with no name a file that failed outside of its tests, with all that failed in it. */
export interface Failure {
  readonly project: string;
  readonly file: string;
  readonly name?: readonly string[];
  readonly errors: readonly string[];
}

/** What became of a failure when it was run again, alone. */
export interface Rerun {
  readonly failure: Failure;
  readonly passed: boolean;
  /** tests of this second run */
  readonly counts: Counts;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface WholeRun extends Reports {
  /** exit status of the test command */
  readonly status: number;
  /** projects of which a test must have passed */
  readonly projects: readonly string[];
}

export interface Verdict extends Counts {
  readonly ok: boolean;
  readonly flaky: readonly Failure[];
  /** tests and files, with the reason why they are no flakes */
  readonly failures: readonly (Failure & { readonly why: string })[];
  /** everything else that is wrong */
  readonly faults: readonly string[];
}

/** In the order of the files' names: runs of vitest end in any. */
export function findFailures(runs: readonly RunRecord[]): readonly Failure[] {
  const files = runs.flatMap((run) => run.files);
  return files.toSorted((a, b) => (a.file < b.file ? -1 : 1)).flatMap(failuresOf);
}

function failuresOf({ project, file, errors, tests }: FileRecord): readonly Failure[] {
  const failed = tests.filter(({ status }) => status === 'failed');
  if (errors.length > 0) return [{ project, file, errors: [...errors, ...failed.flatMap((test) => test.errors)] }];
  // tests of one name are run again together, and so are one failure
  const failures = new Map<string, Failure>();
  for (const { name, errors } of failed) {
    const key = keyOf({ project, file, name });
    failures.set(key, { project, file, name, errors: [...(failures.get(key)?.errors ?? []), ...errors] });
  }
  return [...failures.values()];
}

/** What is to be run again: nothing after a run that hung, nothing where too much failed, never a file about isolation. */
export function planReruns({ status, runs }: WholeRun): readonly Failure[] {
  const failures = findFailures(runs);
  if (TIME_RAN_OUT.includes(status) || failures.length > MOST_RUN_AGAIN) return [];
  return failures.filter(({ file }) => mayRunAgain(file));
}

/** Did it pass this time? It must have been run, and nothing else may have gone wrong with it. */
export function judgeRerun(failure: Failure, status: number | undefined, runs: readonly RunRecord[]): Rerun {
  const key = keyOf(failure);
  const tests = runs
    .flatMap(({ files }) => files)
    .flatMap(({ project, file, tests }) => tests.map((test) => ({ ...test, project, file })))
    .filter(({ project, file, name }) => keyOf({ project, file, ...(failure.name && { name }) }) === key);
  const counts = countTests(tests);
  const sound = status === 0 && runs.every(({ ended }) => ended === 'passed');
  return { failure, counts, passed: sound && counts.passed > 0 && counts.failed === 0 };
}

/** @param otherFaults what went wrong beside the tests, in words */
export function judge(run: WholeRun, reruns: readonly Rerun[], otherFaults: readonly string[] = []): Verdict {
  const planned = new Set(planReruns(run).map(keyOf));
  const byKey = new Map(reruns.map((rerun) => [keyOf(rerun.failure), rerun]));
  const rerunOf = (failure: Failure): Rerun | undefined =>
    planned.has(keyOf(failure)) ? byKey.get(keyOf(failure)) : undefined;
  const isFlaky = (failure: Failure): boolean => rerunOf(failure)?.passed === true;
  const whyNoFlake = (failure: Failure): string => {
    if (!mayRunAgain(failure.file)) return 'may be about isolation: never run again';
    if (TIME_RAN_OUT.includes(run.status)) return 'not run again after a run that hung';
    if (!planned.has(keyOf(failure))) return 'not run again: too much failed';
    return rerunOf(failure) ? 'failed again when run alone' : 'was to be run again, and there was no time';
  };

  const all = findFailures(run.runs);
  const flaky = all.filter(isFlaky);
  const failures = all
    .filter((failure) => !isFlaky(failure))
    .map((failure) => ({ ...failure, why: whyNoFlake(failure) }));
  const faults = [...findFaults(run, all.length), ...otherFaults];
  if (flaky.length >= FLAKY_LIMIT)
    faults.push(`${flaky.length} tests are flaky, and fewer than ${FLAKY_LIMIT} are tolerated`);

  const counts = run.runs
    .flatMap(({ files }) => files)
    .map((file) => countFile(file, failuresOf(file).filter(isFlaky).map(rerunOf)));
  const sum = (of: keyof Counts): number => counts.reduce((total, each) => total + each[of], 0);
  const failed = sum('failed') + faults.length;
  return { ok: failed === 0, passed: sum('passed'), failed, skipped: sum('skipped'), flaky, failures, faults };
}

/** @param mended what of the file failed, and passed when run again */
function countFile({ tests, errors }: FileRecord, mended: readonly (Rerun | undefined)[]): Counts {
  const first = countTests(tests);
  const [again] = mended;
  if (errors.length > 0) return again?.counts ?? { ...first, failed: Math.max(first.failed, 1) };
  const passed = mended.reduce((total, rerun) => total + (rerun?.counts.passed ?? 0), 0);
  return { ...first, passed: first.passed + passed, failed: first.failed - passed };
}

/** @param explained how many tests and files failed, which is why the command may have */
function findFaults({ status, runs, unreadable, parts, projects }: WholeRun, explained: number): string[] {
  const faults = [...unreadable];
  for (const { part, ended, unhandledErrors } of runs) {
    const which = part === '' ? 'a run of vitest' : part;
    if (ended === undefined) faults.push(`cut short: ${which}`);
    if (ended === 'interrupted') faults.push(`interrupted: ${which}`);
    for (const error of unhandledErrors) faults.push(`an error outside of all tests in ${which}: ${error}`);
  }
  const passedIn = new Set(
    runs.flatMap(({ files }) =>
      files.filter(({ tests }) => tests.some((test) => test.status === 'passed')).map(({ project }) => project),
    ),
  );
  for (const project of projects) if (!passedIn.has(project)) faults.push(`no test of the project ${project} passed`);
  for (const { part, status: its } of parts) {
    if (its === 0) continue;
    const within = (other: string): boolean => other === part || other.startsWith(`${part} > `);
    const byTests = runs.some((run) => run.ended === 'failed' && within(run.part) && findFailures([run]).length > 0);
    const byPart = parts.some((other) => other.status !== 0 && other.part !== part && within(other.part));
    if (!byTests && !byPart) faults.push(`${part} ended with status ${its}`);
  }
  if (TIME_RAN_OUT.includes(status)) faults.push('the test command was over its time');
  else if (status !== 0 && explained + faults.length === 0) faults.push(`the test command ended with status ${status}`);
  return faults;
}

/** For people: the blocks about what is flaky and what failed, empty when there is nothing to say. */
export function formatVerdict({ flaky, failures, faults }: Verdict): string {
  const lines: string[] = [];
  if (flaky.length > 0) lines.push('flaky (failed once, passed when run again alone):');
  for (const failure of flaky) lines.push(`  flaky: ${formatFailure(failure)}`);
  if (flaky.length > 0) lines.push('  to catch one: npm run test:flaky -- FILE NAME');
  if (failures.length + faults.length > 0) lines.push('failed:');
  for (const failure of failures) lines.push(`  failed: ${formatFailure(failure)} (${failure.why})`);
  for (const fault of faults) lines.push(`  failed: ${fault}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** `FILE > NAME`, or `FILE` when it failed as a whole. */
export function formatFailure({ file, name = [] }: Failure): string {
  return [file, ...name].join(' > ');
}

/** `N passed, N failed`, and `, N skipped` where there are some. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function countTests(tests: FileRecord['tests']): Counts {
  const passed = tests.filter(({ status }) => status === 'passed').length;
  const failed = tests.filter(({ status }) => status === 'failed').length;
  return { passed, failed, skipped: tests.length - passed - failed };
}

function keyOf({ project, file, name }: Omit<Failure, 'errors'>): string {
  return JSON.stringify([project, file, name ?? 'the whole file']);
}
