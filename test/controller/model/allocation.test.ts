/** Allocation is always right, and finds the last free one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findFreeSubnet, findFreeVni } from '../../../controller/model/allocation.ts';
import { PrefixSet } from '../../../controller/model/prefix-set.ts';
import {
  addressAt,
  addressBits,
  familyOf,
  type IpPrefix,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
  prefixSize,
} from '../../../dataplane/address.ts';

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const POOLS = ['10.128.0.0/20', '172.16.32.0/21', 'fd00:1::/52'].map(parsePrefix);

/** Some prefix inside one of the pools. */
const somePrefix = fc.tuple(fc.constantFrom(...POOLS), fc.nat(12), random).map(([pool, extra, where]) => {
  const length = Math.min(prefixLength(pool) + extra, addressBits(familyOf(pool)));
  return prefixOf(addressAt(pool, (prefixSize(pool) * BigInt(Math.floor(where * 2 ** 30))) >> 30n), length);
});

/** Several that do not overlap. */
const takenPrefixes = fc.array(somePrefix).map((prefixes) => {
  const taken: IpPrefix[] = [];
  for (const prefix of prefixes) if (!taken.some((other) => prefixesOverlap(other, prefix))) taken.push(prefix);
  return taken;
});

/** The obvious way: every slot of every pool, in order. */
function allFree(taken: readonly IpPrefix[], family: 4 | 6, length: number): IpPrefix[] {
  return POOLS.filter((pool) => familyOf(pool) === family && prefixLength(pool) <= length).flatMap((pool) => {
    const size = 1n << BigInt(addressBits(family) - length);
    const slots = Array.from({ length: Number(prefixSize(pool) / size) }, (_, slot) =>
      prefixOf(addressAt(pool, BigInt(slot) * size), length),
    );
    return slots.filter((slot) => !taken.some((other) => prefixesOverlap(other, slot)));
  });
}

describe('a free subnet', () => {
  test('is one of those that are free, and found whenever there is one', () => {
    fc.assert(
      fc.property(
        takenPrefixes,
        fc.constantFrom(4, 6) as fc.Arbitrary<4 | 6>,
        fc.nat(6),
        random,
        (taken, family, extra, dice) => {
          const length = family === 4 ? 20 + extra : 52 + extra;
          const free = allFree(taken, family, length);
          const found = findFreeSubnet(new PrefixSet(taken), POOLS, family, length, dice);
          if (free.length === 0) expect(found).toBeUndefined();
          else expect(free).toContain(found);
        },
      ),
    );
  });

  test('is the last one, wherever the search begins', () => {
    fc.assert(
      fc.property(fc.nat(1023), random, (last, dice) => {
        const pool = parsePrefix('10.0.0.0/16');
        const slots = Array.from({ length: 1024 }, (_, slot) => prefixOf(addressAt(pool, slot * 64), 26));
        const taken = new PrefixSet(slots.filter((_, slot) => slot !== last));
        expect(findFreeSubnet(taken, [pool], 4, 26, dice)).toBe(slots[last]);
        taken.add(slots[last] ?? pool);
        expect(findFreeSubnet(taken, [pool], 4, 26, dice)).toBeUndefined();
      }),
      { numRuns: 30 },
    );
  });

  test('begins anywhere in the pools, so that two controllers seldom pick the same', () => {
    const picks = [0, 0.25, 0.5, 0.75].map((dice) =>
      findFreeSubnet(new PrefixSet(), [parsePrefix('10.128.0.0/9')], 4, 22, dice),
    );
    expect(picks).toEqual(['10.128.0.0/22', '10.160.0.0/22', '10.192.0.0/22', '10.224.0.0/22']);
  });

  test('is not sought in a pool smaller than itself', () => {
    expect(findFreeSubnet(new PrefixSet(), [parsePrefix('10.0.0.0/24')], 4, 22, 0.5)).toBeUndefined();
  });

  test('in a pool of 65,536, all but one taken, is found', () => {
    const pool = parsePrefix('10.0.0.0/8');
    const taken = new PrefixSet(
      Array.from({ length: 65_536 }, (_, slot) => prefixOf(addressAt(pool, slot * 256), 24)).filter(
        (_, slot) => slot !== 7,
      ),
    );
    expect(findFreeSubnet(taken, [pool], 4, 24, 0.5)).toBe('10.0.7.0/24');
  });
});

describe('a free VNI', () => {
  test('is free, in bounds, and found whenever there is one', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 2, max: 40 })), random, (taken, dice) => {
        const set = new Set(taken);
        const found = findFreeVni((vni) => set.has(vni), dice, { first: 2, last: 40 });
        if (set.size === 39) expect(found).toBeUndefined();
        else {
          expect(found).toBeGreaterThanOrEqual(2);
          expect(found).toBeLessThanOrEqual(40);
          expect(set.has(found ?? 0)).toBe(false);
        }
      }),
    );
  });

  test('is the last of all sixteen million', () => {
    expect(findFreeVni((vni) => vni !== 5, 0.9)).toBe(5);
    expect(findFreeVni(() => true, 0.9)).toBeUndefined();
  });

  test('is never 0 or 1, and never more than 24 bits', () => {
    expect(findFreeVni(() => false, 0)).toBe(2);
    expect(findFreeVni(() => false, 1 - 2 ** -53)).toBe(0xffffff);
  });
});

describe('a set of prefixes', () => {
  test('knows overlap in both directions, and in no other case', () => {
    fc.assert(
      fc.property(takenPrefixes, somePrefix, (taken, probe) => {
        const found = new PrefixSet(taken).overlapping(probe);
        if (found === undefined) expect(taken.filter((each) => prefixesOverlap(each, probe))).toEqual([]);
        else expect(taken.filter((each) => prefixesOverlap(each, probe))).toContain(found);
      }),
    );
  });

  test('loses exactly what is deleted', () => {
    const set = new PrefixSet(['10.0.0.0/24', '10.0.1.0/24'].map(parsePrefix));
    set.delete(parsePrefix('10.0.0.0/23'));
    set.delete(parsePrefix('10.0.0.0/25'));
    expect(set.overlapping(parsePrefix('10.0.0.0/32'))).toBe('10.0.0.0/24');
    set.delete(parsePrefix('10.0.0.0/24'));
    expect(set.overlapping(parsePrefix('10.0.0.0/32'))).toBeUndefined();
    expect(set.overlapping(parsePrefix('10.0.0.0/23'))).toBe('10.0.1.0/24');
  });

  test('takes a prefix in place of those it overlaps', () => {
    const set = new PrefixSet(['10.0.0.0/25', '10.0.0.128/25', '10.0.2.0/24'].map(parsePrefix));
    set.add(parsePrefix('10.0.0.0/23'));
    expect([...set.from(4, 0n)].map(({ prefix }) => prefix)).toEqual(['10.0.0.0/23', '10.0.2.0/24']);
    expect(prefixContains(parsePrefix('10.0.0.0/23'), parsePrefix('10.0.1.0/24'))).toBe(true);
  });
});
