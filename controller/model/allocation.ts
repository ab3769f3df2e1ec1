/**
 * Picks what is free: a VNI, a subnet out of the pools. From a random place on, so that controllers that choose at the same
 * moment seldom choose the same, and to the last free one however full the pool is. What is taken and the random number are
 * given. Pure.
 */
import {
  addressBits,
  familyOf,
  type IpFamily,
  type IpPrefix,
  numberToIp,
  prefixLength,
  prefixOf,
} from '../../dataplane/address.ts';
import { type PrefixSet, rangeOf } from './prefix-set.ts';

/** VXLAN network identifiers have 24 bits (RFC 7348); 0 is not used, 1 is the system tenant's. */
export const FIRST_VNI = 2;
export const LAST_VNI = 0xffffff;

/**
 * A VNI that is not taken. Steps over taken ones one by one, so it costs as much as the longest run of them.
 * @param random 0 <= random < 1
 * @returns undefined when all of them are taken
 */
export function findFreeVni(
  isTaken: (vni: number) => boolean,
  random: number,
  { first = FIRST_VNI, last = LAST_VNI } = {},
): number | undefined {
  const count = last - first + 1;
  const start = Math.floor(random * count);
  for (let step = 0; step < count; step++) {
    const vni = first + ((start + step) % count);
    if (!isTaken(vni)) return vni;
  }
  return undefined;
}

/** Slots of the length asked for in one pool, numbered from the first pool's first on. */
interface SlottedPool {
  readonly start: bigint;
  readonly firstSlot: bigint;
  readonly slots: bigint;
}

/**
 * A subnet of `length` bits, aligned, inside a pool of the family, sharing no address with a taken one.
 * @param random 0 <= random < 1
 * @returns undefined when no aligned place of that size is free
 */
export function findFreeSubnet(
  taken: PrefixSet,
  pools: readonly IpPrefix[],
  family: IpFamily,
  length: number,
  random: number,
): IpPrefix | undefined {
  const size = 1n << BigInt(addressBits(family) - length);
  const slotted = slotPools(
    pools.filter((pool) => familyOf(pool) === family && prefixLength(pool) <= length),
    size,
  );
  const total = slotted.reduce((sum, { slots }) => sum + slots, 0n);
  const start = (total * BigInt(Math.floor(random * 2 ** 52))) >> 52n;
  const found =
    freeSlot(taken, slotted, family, size, start, total) ?? freeSlot(taken, slotted, family, size, 0n, start);
  return found === undefined ? undefined : prefixOf(numberToIp(found, family), length);
}

function slotPools(pools: readonly IpPrefix[], size: bigint): SlottedPool[] {
  let firstSlot = 0n;
  return pools.map((pool) => {
    const { start, end } = rangeOf(pool);
    const slotted = { start, firstSlot, slots: (end - start) / size };
    firstSlot += slotted.slots;
    return slotted;
  });
}

/** Base address of the first free slot among those numbered [from, to). */
function freeSlot(
  taken: PrefixSet,
  pools: readonly SlottedPool[],
  family: IpFamily,
  size: bigint,
  from: bigint,
  to: bigint,
): bigint | undefined {
  for (const { start, firstSlot, slots } of pools) {
    const begin = from > firstSlot ? from - firstSlot : 0n;
    const end = to < firstSlot + slots ? to - firstSlot : slots;
    if (begin >= end) continue;
    const limit = start + end * size;
    let candidate = start + begin * size;
    for (const range of taken.from(family, candidate)) {
      if (range.start >= candidate + size || candidate >= limit) break;
      if (range.end > candidate) candidate = start + ((range.end - start + size - 1n) / size) * size;
    }
    if (candidate < limit) return candidate;
  }
  return undefined;
}
