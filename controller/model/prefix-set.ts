/**
 * A set of prefixes that do not overlap, kept in address order, so that overlap and gaps are found by bisection. It knows
 * nothing of tenants or claims. Pure.
 */
import { familyOf, type IpFamily, type IpPrefix, ipToNumber, prefixBase, prefixSize } from '../../dataplane/address.ts';

/** Addresses [start, end) of one prefix. */
export interface AddressRange {
  readonly prefix: IpPrefix;
  readonly start: bigint;
  readonly end: bigint;
}

export function rangeOf(prefix: IpPrefix): AddressRange {
  const start = ipToNumber(prefixBase(prefix));
  return { prefix, start, end: start + prefixSize(prefix) };
}

/** Adding costs O(n) moves of memory, everything else O(log n). */
export class PrefixSet {
  readonly #ranges: Readonly<Record<IpFamily, AddressRange[]>> = { 4: [], 6: [] };

  constructor(prefixes: Iterable<IpPrefix> = []) {
    for (const prefix of prefixes) this.add(prefix);
  }

  /** Any one member that shares an address with `prefix`. */
  overlapping(prefix: IpPrefix): IpPrefix | undefined {
    const { start, end } = rangeOf(prefix);
    const ranges = this.#ranges[familyOf(prefix)];
    const first = ranges[this.#indexAfter(ranges, start)];
    return first !== undefined && first.start < end ? first.prefix : undefined;
  }

  /** Members of a family that end after address `start`, in order. The set must not change meanwhile. */
  *from(family: IpFamily, start: bigint): Generator<AddressRange, void> {
    const ranges = this.#ranges[family];
    for (let index = this.#indexAfter(ranges, start); index < ranges.length; index++) {
      const range = ranges[index];
      if (range !== undefined) yield range;
    }
  }

  /** Adds a prefix in place of all members that it overlaps: the caller knows that they are gone. */
  add(prefix: IpPrefix): void {
    const ranges = this.#ranges[familyOf(prefix)];
    const range = rangeOf(prefix);
    const first = this.#indexAfter(ranges, range.start);
    let last = first;
    while ((ranges[last]?.start ?? range.end) < range.end) last++;
    ranges.splice(first, last - first, range);
  }

  /** Takes out exactly this prefix, if it is a member. */
  delete(prefix: IpPrefix): void {
    const ranges = this.#ranges[familyOf(prefix)];
    const index = this.#indexAfter(ranges, rangeOf(prefix).start);
    if (ranges[index]?.prefix === prefix) ranges.splice(index, 1);
  }

  /** Index of the first range that ends after `address`. */
  #indexAfter(ranges: readonly AddressRange[], address: bigint): number {
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ranges[middle]?.end ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
