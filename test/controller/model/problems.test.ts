/** The book of problems: each is said once when it begins and once when it is over, and what is told of them is bounded. */
import { expect, test } from 'vitest';
import { MOST_TOLD, ProblemBook, readNodeProblems, toNodeProblems } from '../../../controller/model/problems.ts';

function open() {
  const said: string[] = [];
  let seconds = 0;
  const book = new ProblemBook({
    now: () => `2026-01-01T00:00:${String(seconds++).padStart(2, '0')}Z`,
    onChange: ({ about, text }, change) => said.push(`${about} ${change}: ${text}`),
  });
  return { book, said };
}

test('one that goes on is said once, and keeps the time of its beginning when its text changes', () => {
  const { book, said } = open();
  for (const text of ['a', 'a', 'b']) book.note('kernel_refused', { about: 'link tnt42', text });
  book.solved('kernel_refused', 'link tnt42');
  book.solved('kernel_refused', 'link tnt42');
  expect(said).toEqual(['link tnt42 begun: a', 'link tnt42 changed: b', 'link tnt42 ended: b']);
  book.note('kernel_refused', { about: 'link tnt42', text: 'a' });
  expect(book.all()).toMatchObject([{ since: '2026-01-01T00:00:01Z' }]);
});

test('what is found now replaces what was found before, of that kind and beginning', () => {
  const { book } = open();
  book.note('fault', { about: 'rules', text: 'x' });
  for (const about of ['endpoints of red', 'endpoints of blue', 'registration'])
    book.note('store_refused', { about, text: 'x' });
  book.replace('store_refused', [{ about: 'endpoints of red', text: 'x' }], 'endpoints of');
  expect(book.all().map(({ about }) => about)).toEqual(['rules', 'endpoints of red', 'registration']);
});

test('however many and long they are, a record of them is bounded and says how many are left out', () => {
  const { book } = open();
  for (let i = 0; i < 3 * MOST_TOLD; i++) book.note('fault', { about: `a${i}`, text: 'x'.repeat(10_000) });
  const told = toNodeProblems(book.all());
  expect(told).toMatchObject({ more: 2 * MOST_TOLD });
  expect(JSON.stringify(told).length).toBeLessThan(25_000);
  expect(readNodeProblems(JSON.parse(JSON.stringify(told)))).toEqual(told);
  expect(toNodeProblems([])).toBeUndefined();
});

test('what is not of the shape it should be is left out when it is read', () => {
  const good = { kind: 'fault', about: 'a', since: '2026-01-01T00:00:00Z', text: 'x' };
  const odd = [null, 7, {}, { ...good, kind: 'constructor' }, { ...good, text: 1 }, { ...good, tenant: {} }];
  expect(readNodeProblems({ problems: [good, ...odd], more: 'many' })).toEqual({ problems: [good] });
  expect(readNodeProblems({})).toEqual({ problems: [] });
});
