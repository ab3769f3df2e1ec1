/**
 * A small checkout to try CI's own tools in: its own tests, projects and git, this checkout's node_modules, .ci and test/ci. Without a test
 * given, one passes in each project.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');

/** Everything that vitest or CI of the real checkout tells the processes it starts. */
const OUTER = /^(TEST_|VITEST|TENET_|npm_|CI$|NODE_ENV$|NODE_OPTIONS$)/;

const CONFIG = `
import { RunReport } from './test/ci/run-report.ts';
const results = process.env.TEST_RESULTS;
export default {
  test: {
    reporters: ['default', ...(results ? [new RunReport(results)] : [])],
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/e2e/**'] } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'] } },
    ],
  },
};
`;

const PACKAGE = {
  name: 'small',
  type: 'module',
  scripts: {
    test: 'sh test/lab/setup.sh npm run test:all',
    'test:all': "sh test/ci/each.sh 'npm run check' 'vitest run --project e2e'",
    check: "sh test/ci/each.sh 'npm run lint' 'npm run test:unit'",
    lint: 'test ! -e lint-fault',
    'test:unit': 'vitest run --project unit',
  },
};

export interface Checkout {
  readonly root: string;
  /** the environment of a person at a terminal */
  readonly env: NodeJS.ProcessEnv;
  write(file: string, text: string): void;
  remove(): void;
}

/** @param folder where it is made: the machine's folder for such things unless given */
export function makeCheckout(files: Readonly<Record<string, string>>, folder = tmpdir()): Checkout {
  const root = mkdtempSync(join(folder, 'checkout-'));
  const write = (file: string, text: string): void => {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  for (const part of ['.ci', 'test/ci'])
    cpSync(join(ROOT, part), join(root, part), { recursive: true, filter: (path) => !path.endsWith('.test.ts') });
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  write('vitest.config.ts', CONFIG);
  write('package.json', JSON.stringify(PACKAGE));
  write('.gitignore', 'node_modules\n.count-*\n');
  write('test/lab/setup.sh', 'exec "$@"\n');
  const passing = "import { test } from 'vitest';\ntest('passes', () => {});\n";
  for (const file of ['test/passing.test.ts', 'test/e2e/passing.test.ts']) write(file, passing);
  for (const [file, text] of Object.entries(files)) write(file, text);
  execFileSync('git', ['init', '--quiet'], { cwd: root });
  execFileSync('git', ['add', '--all'], { cwd: root });
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OUTER.test(name)));
  return { root, env, write, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** Source of a file of tests, each of which fails in those of its runs (numbered from 1) and passes in all others. */
export function failsIn(tests: Readonly<Record<string, readonly number[]>>): string {
  return `
import { appendFileSync, readFileSync } from 'node:fs';
import { test } from 'vitest';
test.each(Object.entries(${JSON.stringify(tests)}))('%s', (name, failing) => {
  const counter = '.count-' + name;
  appendFileSync(counter, '.');
  const run = readFileSync(counter, 'utf8').length;
  if (failing.includes(run)) throw new Error(name + ' fails in run ' + run);
});
`;
}
