/** Holds the sampler to fairness: turns in order, the uncounted not counted, percentiles by rank. */
import { expect, test } from 'vitest';
import { percentile, sampleInterleaved } from '../../bench/sample.ts';

const UNBOUNDED = { budgetMs: 60_000, fewest: 1 };

test('subjects take turns, and an operation undoes the one before it', async () => {
  const calls: string[] = [];
  const subject = (name: string) => ({
    name,
    turns: 2,
    operations: { add: () => calls.push(`${name}+`), delete: () => calls.push(`${name}-`) },
  });
  await sampleInterleaved([subject('a'), subject('b')], { ...UNBOUNDED, rounds: 1 });
  const round = ['a+', 'a-', 'a+', 'a-', 'b+', 'b-', 'b+', 'b-'];
  expect(calls).toEqual([...round, ...round]);
});

test('the first round counts nowhere, the first ten of a long turn only as cold', async () => {
  const work = { add: () => undefined };
  const timings = await sampleInterleaved(
    [
      { name: 'short', turns: 1, operations: work },
      { name: 'long', turns: 110, operations: work },
    ],
    { ...UNBOUNDED, rounds: 3 },
  );
  expect(timings.map(({ subject, operation, runs }) => [subject, operation, runs])).toEqual([
    ['short', 'add', 3],
    ['long', 'add', 300],
  ]);
  for (const { value, p95, cold } of timings) {
    expect(value).toBeGreaterThanOrEqual(0);
    expect(p95).toBeGreaterThanOrEqual(value);
    expect(cold).toBeGreaterThanOrEqual(0);
  }
});

test('time that is used up ends it, though not before the fewest rounds', async () => {
  let runs = 0;
  const subject = { name: 'a', turns: 1, operations: { add: () => runs++ } };
  const [timing] = await sampleInterleaved([subject], { rounds: 100, budgetMs: 0, fewest: 4 });
  expect(timing?.runs).toBe(4);
  expect(runs).toBe(5);
});

test('percentiles are values that were measured', () => {
  const oneToHundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentile(oneToHundred, 50)).toBe(50);
  expect(percentile(oneToHundred, 95)).toBe(95);
  expect(percentile([7], 95)).toBe(7);
  expect(percentile([], 50)).toBeNaN();
});
