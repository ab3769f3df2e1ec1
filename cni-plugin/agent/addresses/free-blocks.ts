/** Which blocks of a tenant's subnets are free, in the order to try them. Pure but for the random number it is given. */
import {
  addressAt,
  addressBits,
  familyOf,
  type IpAddress,
  type IpPrefix,
  prefixBase,
  prefixOf,
  prefixSize,
} from '../../../dataplane/address.ts';

/**
 * From a random one on in each subnet, so that nodes seldom want the same. IPv4 alone: that is what endpoints get.
 * @param lengthOf prefix length of blocks of an address's family
 * @param random 0 <= n < 1
 */
export function* freeBlocks(
  subnets: readonly IpPrefix[],
  lengthOf: (base: IpAddress) => number,
  taken: ReadonlySet<IpPrefix>,
  random: () => number,
): Generator<IpPrefix> {
  for (const subnet of subnets.filter((each) => familyOf(each) === 4)) {
    const length = lengthOf(prefixBase(subnet));
    const blockSize = 1n << BigInt(addressBits(familyOf(subnet)) - length);
    const count = Number(prefixSize(subnet) / blockSize);
    const start = Math.floor(random() * count);
    for (let step = 0; step < count; step++) {
      const index = BigInt((start + step) % count);
      const block = prefixOf(addressAt(subnet, index * blockSize), length);
      if (!taken.has(block)) yield block;
    }
  }
}
