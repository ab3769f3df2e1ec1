/**
 * Sums vitest's JSON reports: `node .ci/count.js DIRECTORY` prints `PASSED FAILED SKIPPED` on one line, and on stderr one line
 * for each report. A report that cannot be read, a file that failed before its first test and a project of the three without
 * a single passed test count as one failure each. Judges nothing but the reports.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PROJECTS = ['unit', 'kernel', 'e2e'];

const projectOf = (file) => /\/test\/(kernel|e2e)\//.exec(file)?.[1] ?? 'unit';

/** @returns {{file: string, status: string}[]} one of each test, and one more of a file that failed as a whole */
function readReport(path) {
  const { testResults } = JSON.parse(readFileSync(path, 'utf8'));
  return testResults.flatMap(({ name, status, assertionResults }) => {
    const tests = assertionResults.map((test) => ({ file: name, status: test.status }));
    const failedAsWhole = status === 'failed' && !tests.some((test) => test.status === 'failed');
    return failedAsWhole ? [...tests, { file: name, status: 'failed' }] : tests;
  });
}

const directory = process.argv[2];
const total = { passed: 0, failed: 0, skipped: 0 };
const passedIn = new Map();
for (const name of readdirSync(directory).sort()) {
  try {
    for (const { file, status } of readReport(join(directory, name))) {
      const kind = status === 'passed' || status === 'failed' ? status : 'skipped';
      total[kind] += 1;
      if (kind === 'passed') passedIn.set(projectOf(file), (passedIn.get(projectOf(file)) ?? 0) + 1);
    }
  } catch (error) {
    total.failed += 1;
    console.error(`ci: the report ${name} cannot be read: ${error.message}`);
  }
}
for (const project of PROJECTS) {
  if (passedIn.has(project)) continue;
  total.failed += 1;
  console.error(`ci: no test of the project ${project} passed`);
}
console.log(`${total.passed} ${total.failed} ${total.skipped}`);
