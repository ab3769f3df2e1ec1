/** What may be run again after it failed: files that are there, and none that judges packets, floods, or draws at random. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MAY_RUN_AGAIN, mayRunAgain } from './run-again.ts';

const root = join(import.meta.dirname, '..', '..');
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => `test/${path}`);

test('every entry has a file', () => {
  const covers = (entry: string) => (file: string) => (entry.endsWith('/') ? file.startsWith(entry) : file === entry);
  expect(MAY_RUN_AGAIN.filter((entry) => !files.some(covers(entry)))).toEqual([]);
});

test('nothing with a cluster may, and nothing about rules, policies, what is given out, or links of containers', () => {
  const never =
    /^test\/(e2e|conformance|contract)\/|evaluation|polic|isolation|allocation|creation|election|guard|rules|nftables|ipset/;
  expect(files.filter((file) => never.test(file) && mayRunAgain(file))).toEqual([]);
  expect(files.filter((file) => never.test(file)).length).toBeGreaterThan(40);
});

test('none that may imports what sends packets, floods, or draws at random', () => {
  const telling =
    /^(import|\}) .*from '.*(e2e\/|fast-check|conformance\/|lab\/(lab|container|fabric)\.ts|lab\/probe\/(?!deadline)).*'/m;
  const found = files.filter((file) => telling.test(readFileSync(join(root, file), 'utf8')));
  expect(found.filter(mayRunAgain)).toEqual([]);
  expect(found.length).toBeGreaterThan(30);
});

test('a file that is not named may not', () => {
  for (const file of ['test/new.test.ts', 'test/e2e/attacks-new.test.ts', 'test/controller/main.test.ts.bak', ''])
    expect(mayRunAgain(file), file).toBe(false);
  expect(mayRunAgain('test/controller/main.test.ts')).toBe(true);
});
