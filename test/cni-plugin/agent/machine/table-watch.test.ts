import { expect, test } from 'vitest';
import { type TableFill, TableWatch } from '../../../../cni-plugin/agent/machine/table-watch.ts';
import { ProblemBook } from '../../../../controller/model/problems.ts';

/** A watch of a table of 100 connections, and what it said when it saw so many of them. */
function watch() {
  let fill: TableFill | undefined;
  const said: string[] = [];
  const book = new ProblemBook({ now: () => '2026-12-01T00:00:00.000Z' });
  const table = new TableWatch({
    read: () => fill,
    desired: { setCrowded: (isCrowded) => void said.push(isCrowded ? 'crowded' : 'roomy') },
    reconciler: { request: () => void said.push('request') },
    book,
  });
  return {
    book,
    look: (count: number | undefined) => {
      fill = count === undefined ? undefined : { count, size: 100 };
      table.look();
      return said.splice(0);
    },
  };
}

test('a table that is nearly full is told once, and again once half of it is free', () => {
  const { look } = watch();
  expect(look(74)).toEqual([]);
  expect(look(75)).toEqual(['crowded', 'request']);
  expect(look(100)).toEqual([]);
  expect(look(50)).toEqual([]);
  expect(look(49)).toEqual(['roomy', 'request']);
  expect(look(74)).toEqual([]);
});

test('it is a problem meanwhile', () => {
  const { look, book } = watch();
  look(80);
  expect(book.all()).toMatchObject([{ kind: 'table_crowded', text: expect.stringContaining('80 of 100') }]);
  look(10);
  expect(book.all()).toEqual([]);
});

test('a kernel that does not say has no crowd', () => {
  const { look } = watch();
  expect(look(undefined)).toEqual([]);
  look(80);
  expect(look(undefined)).toEqual([]);
});
