/** What a probe proves: the semantics every packet test of Tenet leans on. */
import { describe, expect, test } from 'vitest';
import { type Cell, judge, runMatrix } from './matrix.ts';

const at = { elapsedMs: 5 };
const silence = { outcome: 'timeout', ...at } as const;
const answer = { outcome: 'open', id: 'target', ...at } as const;

describe('judge', () => {
  test('an answer by the right listener is "allowed"', () => {
    expect(judge({ id: 'target' }, answer, undefined)).toMatchObject({ kind: 'allowed' });
  });

  test('an answer by another listener proves nothing', () => {
    expect(judge({ id: 'target' }, { ...answer, id: 'other' }, undefined)).toMatchObject({
      kind: 'neither',
      why: 'answered by other',
    });
  });

  test('silence is "denied" only beside a witness who reached the same listener', () => {
    expect(judge({ id: 'target' }, silence, answer)).toMatchObject({ kind: 'denied' });
    expect(judge({ id: 'target' }, silence, undefined)).toMatchObject({ kind: 'neither' });
    expect(judge({ id: 'target' }, silence, silence)).toMatchObject({ kind: 'neither' });
    expect(judge({ id: 'target' }, silence, { ...answer, id: 'other' })).toMatchObject({ kind: 'neither' });
  });

  test.each(['refused', 'unreachable'] as const)('%s is not "denied"', (outcome) => {
    expect(judge({ id: 'target' }, { outcome, ...at }, answer)).toMatchObject({ kind: 'neither' });
  });

  test('a server without an id is reached by connecting, and missed by silence', () => {
    expect(judge({}, { outcome: 'open', ...at }, undefined)).toMatchObject({ kind: 'allowed' });
    expect(judge({}, silence, { outcome: 'open', ...at })).toMatchObject({ kind: 'denied' });
  });
});

test('a row is as expected only if what it proves is what was expected', async () => {
  const cell = (expected: Cell['expected'], outcome: 'open' | 'timeout' | 'refused'): Cell => ({
    from: 'a',
    to: 'b',
    expected,
    probe: () => Promise.resolve({ outcome, ...at }),
    witness: () => Promise.resolve({ outcome: 'open', ...at }),
  });
  const rows = await runMatrix([
    cell('allowed', 'open'),
    cell('denied', 'timeout'),
    cell('denied', 'open'),
    cell('allowed', 'timeout'),
    cell('denied', 'refused'),
  ]);
  expect(rows.map(({ asExpected }) => asExpected)).toEqual([true, true, false, false, false]);
});
