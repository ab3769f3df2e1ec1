/** What is news of what a node says. */
import { expect, test } from 'vitest';
import { computeNews } from '../../../controller/model/denials.ts';
import { denials } from '../../../controller/model/kinds/denials.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Denial, Denials } from '../../../controller/model/records.ts';
import { parseIp } from '../../../dataplane/address.ts';

const AT = '2026-11-30T12:00:00.000Z';
const END = { ip: parseIp('10.128.4.17') };
const DENIAL: Denial = { at: AT, from: END, to: END, protocol: 'TCP', direction: 'egress' };
const said = (sequence: number, unasked?: number, started = AT): Denials => ({
  at: AT,
  sequence,
  started,
  ...(unasked !== undefined && { unasked }),
  denials: Array.from({ length: Math.min(sequence, 20) }, () => DENIAL),
});
const news = (before: Denials | undefined, now: Denials) => {
  const { fresh, missed } = computeNews('node1', before, now);
  return { fresh: fresh.map(({ sequence }) => sequence), missed };
};

test('what a node had refused before it was asked is no news', () => {
  expect(news(undefined, said(7, 7))).toEqual({ fresh: [], missed: 0 });
  expect(news(undefined, said(9, 7))).toEqual({ fresh: [8, 9], missed: 0 });
  expect(news(undefined, said(100, 50)).missed).toBe(30);
  // An agent that began anew while it was asked.
  expect(news(said(50, 40), said(2, 0, '2026-11-30T13:00:00.000Z')).fresh).toEqual([1, 2]);
});

test('what was refused while no caller asked in between is news to one that listened before', () => {
  expect(news(said(5, 0), said(8, 8))).toEqual({ fresh: [6, 7, 8], missed: 0 });
});

test('a number that is none makes it unreadable', () => {
  const read = (record: object) => denials.find({ key: 'denials/blue/node1', value: formatRecord(record) });
  expect(read(said(1, 1))).toBeDefined();
  expect(read({ ...said(1), unasked: 'all' })).toBeUndefined();
});
