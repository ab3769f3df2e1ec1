/** Numbers made of what they stand for. */
import { expect, test } from 'vitest';
import { Numbers } from '../../../../../cni-plugin/agent/desired/policy/numbers.ts';

test('are the same in every life, and above every VNI', () => {
  const [one, other] = [new Numbers(), new Numbers()];
  other.take('something before');
  for (const text of ['a', 'b', 'c']) {
    expect(one.take(text)).toBe(other.take(text));
    expect(one.take(text)).toBeGreaterThan(0xffffff);
    expect(one.textOf(one.take(text))).toBe(text);
  }
});

test('of different things differ, also where they would be the same; one that is given back can be had again', () => {
  const numbers = new Numbers();
  const first = numbers.take('a');
  const many = new Set(Array.from({ length: 50_000 }, (_, index) => numbers.take(`text ${index}`)));
  expect(many.size).toBe(50_000);
  expect(many.has(first)).toBe(false);
  numbers.release(first);
  expect(numbers.textOf(first)).toBeUndefined();
  expect(numbers.take('a')).toBe(first);
});
