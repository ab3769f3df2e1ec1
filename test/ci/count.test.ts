/**
 * How CI counts: every way in which vitest's reports can hide a failure counts as one.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const script = join(import.meta.dirname, '..', '..', '.ci', 'count.js');

type Status = 'passed' | 'failed' | 'pending' | 'todo';
const file = (name: string, statuses: readonly Status[], status: 'passed' | 'failed' = 'passed') => ({
  name: `/clone/test/${name}`,
  status,
  assertionResults: statuses.map((each) => ({ status: each })),
});
const complete = [
  file('a.test.ts', ['passed']),
  file('kernel/b.test.ts', ['passed']),
  file('e2e/c.test.ts', ['passed']),
];

/** Counts reports given as objects, or as text where they are broken. */
function count(...reports: readonly (string | readonly object[])[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'count-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const [index, report] of reports.entries()) {
    const text = typeof report === 'string' ? report : JSON.stringify({ testResults: report });
    writeFileSync(join(directory, `${index}.json`), text);
  }
  return spawnSync(process.execPath, [script, directory], { encoding: 'utf8' }).stdout.trim();
}

test('sums passed, failed and skipped tests of all reports', () => {
  const more = [file('d.test.ts', ['passed', 'failed', 'pending', 'todo'], 'failed')];
  expect(count(complete, more)).toBe('4 1 2');
});

test('a file that failed before its tests is a failure', () => {
  expect(count([...complete, file('d.test.ts', [], 'failed')])).toBe('3 1 0');
  expect(count([...complete, file('d.test.ts', ['pending'], 'failed')])).toBe('3 1 1');
});

test('a report cut short is a failure', () => {
  expect(count(complete, '{"testResults": [')).toBe('3 1 0');
});

test('a project of which nothing passed is a failure', () => {
  expect(count([])).toBe('0 3 0');
  expect(count([...complete.slice(0, 2), file('e2e/c.test.ts', ['pending'])])).toBe('2 1 1');
});
