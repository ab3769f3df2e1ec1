/** What may be written over any time: a burst, one record that goes beyond it, and the share. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WriteBudget } from '../../../../cni-plugin/agent/reports/write-budget.ts';

const SHARE = 16 * 1024;
const BURST = 8 * 1024;
const RECORD = 7_000;

test('however large the records and many the nodes, no more is written than the share of the time', () => {
  const records = fc.array(fc.integer({ min: 100, max: RECORD }), { minLength: 50, maxLength: 200 });
  fc.assert(
    fc.property(records, fc.integer({ min: 1, max: 1_000 }), (sizes, nodes) => {
      const budget = new WriteBudget(0);
      let nowMs = 0;
      let written = 0;
      for (const size of sizes) {
        nowMs += budget.waitMs(nowMs, nodes);
        expect(budget.waitMs(nowMs, nodes)).toBe(0);
        budget.spend(size);
        written += size;
        expect(written).toBeLessThanOrEqual(BURST + RECORD + (nowMs / 1000) * (SHARE / nodes) + 1);
      }
      // And not much less: nothing is kept from being written that may be.
      expect(written).toBeGreaterThanOrEqual((nowMs / 1000) * (SHARE / nodes) - 1);
    }),
  );
});

test('a node that was silent for a day may write no more at once than one that has just begun', () => {
  const budget = new WriteBudget(0);
  expect(budget.waitMs(86_400_000, 1)).toBe(0);
  budget.spend(BURST + 1);
  expect(budget.waitMs(86_400_000, 1)).toBeGreaterThan(0);
});
