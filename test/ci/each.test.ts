/** Parts of the test command: each is run to its end, and the verdict names all that failed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const script = join(import.meta.dirname, 'each.sh');
const { TEST_PARTS_FILE: _, TEST_PART: __, TEST_RESULTS: ___, ...outside } = process.env;

function run(...commands: readonly string[]): { status: number | null; stdout: string; parts: string } {
  const results = mkdtempSync(join(tmpdir(), 'each-'));
  onTestFinished(() => rmSync(results, { recursive: true }));
  const env = { ...outside, TEST_RESULTS: results, EACH: script };
  const { status, stdout } = spawnSync('sh', [script, ...commands], { encoding: 'utf8', env });
  return { status, stdout, parts: readFileSync(join(results, 'parts'), 'utf8') };
}

test('what comes after a failure is run as well', () => {
  expect(run('echo one', 'exit 3', 'echo three')).toEqual({
    status: 1,
    stdout: 'one\nthree\n\n  passed  echo one\n  FAILED  exit 3 (status 3)\n  passed  echo three\n',
    parts: '0\techo one\n3\texit 3\n0\techo three\n',
  });
});

test('all that passes is a pass', () => {
  expect(run('true', 'true').status).toBe(0);
});

test('parts of a part are told once, by the outermost, and fail what they are part of', () => {
  const nested = 'sh "$EACH" "exit 1" true';
  expect(run(nested, 'true')).toEqual({
    status: 1,
    stdout: `
  FAILED  ${nested} > exit 1 (status 1)
  passed  ${nested} > true
  FAILED  ${nested} (status 1)
  passed  true
`,
    parts: `1\t${nested} > exit 1\n0\t${nested} > true\n1\t${nested}\n0\ttrue\n`,
  });
});

test('after Ctrl-C, what runs may clean up, and nothing more is begun', async () => {
  const cleaning = `trap 'echo cleaned; exit 0' INT; echo ready; while :; do sleep 0.05; done`;
  const child = spawn('sh', [script, cleaning, 'echo more'], { env: outside, detached: true });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    if (text.includes('ready')) process.kill(-(child.pid ?? 0), 'SIGINT');
  });
  const [status] = await once(child, 'close');
  expect(output).toBe('ready\ncleaned\n');
  expect(status).toBe(130);
});
