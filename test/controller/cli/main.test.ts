/**
 * The program as a process: arguments in, exit code out, standard input read, a closed pipe forgiven.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const main = join(import.meta.dirname, '..', '..', '..', 'controller', 'cli', 'main.ts');
const env = { PATH: process.env.PATH, TENET_SERVER: 'http://127.0.0.1:1', TENET_TOKEN: 'x' };

function run(args: readonly string[], input = '') {
  return spawnSync(process.execPath, ['--import', 'tsx', main, ...args], { env, input, encoding: 'utf8' });
}

test('exits with the code of the command, words on stderr, no stack trace', () => {
  const { status, stdout, stderr } = run(['get', 'tenants']);
  expect({ status, stdout }).toEqual({ status: 6, stdout: '' });
  expect(stderr).toMatch(/^tenetctl: cannot reach http:\/\/127\.0\.0\.1:1: nothing listens there\n {2}hint: /);
  expect(stderr).not.toMatch(/\n {4}at /);
});

test('reads a manifest from standard input', () => {
  const { status, stderr } = run(['apply', '-f', '-'], 'kind: Pod');
  expect(status).toBe(2);
  expect(stderr).toContain('standard input: kind: must be Tenant, Namespace, NetworkPolicy, Peering or List');
});

test('a reader that closes early is no failure', () => {
  const command = `"$0" --import tsx "$1" --help | true; exit \${PIPESTATUS[0]}`;
  expect(spawnSync('bash', ['--norc', '-c', command, process.execPath, main], { env, encoding: 'utf8' })).toMatchObject(
    {
      status: 0,
      stderr: '',
    },
  );
});
