/** The token file: made once, for root alone, whatever happens at the same time. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { InvalidInput } from '../../controller/errors.ts';
import { readOrCreateToken } from '../../controller/token.ts';

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenet-token-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('is made with its folder, readable by its owner alone, and stays the same', () => {
  const folder = makeFolder();
  const path = join(folder, 'deep', 'token');
  const token = readOrCreateToken(path);
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readOrCreateToken(path)).toBe(token);
  expect(readdirSync(join(folder, 'deep'))).toEqual(['token']);
});

test('is never made twice in the same way', () => {
  const folder = makeFolder();
  expect(readOrCreateToken(join(folder, 'a'))).not.toBe(readOrCreateToken(join(folder, 'b')));
});

test('that an operator wrote is taken as it is', () => {
  const path = join(makeFolder(), 'token');
  writeFileSync(path, '  my-own-long-enough-token\n');
  chmodSync(path, 0o640);
  expect(readOrCreateToken(path)).toBe('my-own-long-enough-token');
});

test.each(['', 'short', 'has a space in the middle of it'])('that is no token is refused: %j', (content) => {
  const path = join(makeFolder(), 'token');
  writeFileSync(path, content);
  expect(() => readOrCreateToken(path)).toThrow(InvalidInput);
});

test('in a place where none can be is refused', () => {
  const path = join(makeFolder(), 'file');
  writeFileSync(path, 'x');
  expect(() => readOrCreateToken(join(path, 'token'))).toThrow(InvalidInput);
});

test('is the same for all of several processes that start at once', async () => {
  const path = join(makeFolder(), 'token');
  const module = new URL('../../controller/token.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then((m) => process.stdout.write(m.readOrCreateToken(${JSON.stringify(path)})))`;
  const run = () => promisify(execFile)(process.execPath, ['--import', 'tsx', '-e', script]);
  const outputs = await Promise.all(Array.from({ length: 6 }, run));
  expect(new Set(outputs.map(({ stdout }) => stdout)).size).toBe(1);
  expect(outputs[0]?.stdout).toBe(readOrCreateToken(path));
});
