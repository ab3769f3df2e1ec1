/**
 * Addresses that stand for all others beyond the cluster: as policies tell them apart by networks and holes in them, one of each kind
 * is enough to ask about. IPv4, as containers have. Pure.
 */
import { familyOf, type IpAddress, type IpPrefix, numberToIp } from '../../dataplane/address.ts';
import { type AddressRange, rangeOf } from '../model/prefix-set.ts';
import type { IpBlock } from '../model/records.ts';
import { SERVICE_NETWORKS } from '../model/service-networks.ts';
import { type End, RESERVED, type WorldIndex } from './world.ts';

/** An address beyond the cluster, and the smallest network it was named by, if by any. */
export interface Representative {
  readonly end: Exclude<End, { kind: 'endpoint' }>;
  readonly network?: IpPrefix;
}

interface Region {
  readonly inside: AddressRange;
  readonly holes: readonly AddressRange[];
}

/** One address for each set of blocks that some address beyond the cluster is in, and each exception of the cluster. */
export function findRepresentatives(index: WorldIndex, blocks: readonly IpBlock[]): Representative[] {
  const regions = blocks
    .filter(({ cidr }) => familyOf(cidr) === 4)
    .map(({ cidr, except = [] }): Region => ({ inside: rangeOf(cidr), holes: except.map(rangeOf) }));
  const found = new Map<string, Representative>();
  for (const value of candidates(index, regions)) {
    const end = index.endAt(numberToIp(value, 4));
    if (end.kind !== 'external') continue;
    const within = regions.filter((region) => isIn(region, value));
    const signature = within.map((region) => regions.indexOf(region)).join();
    if (!found.has(signature)) found.set(signature, { end, ...smallest(within) });
  }
  const exceptions = [...new Set(index.world.cluster.exceptions.map(({ address }) => address))];
  return [...found.values(), ...exceptions.flatMap((address) => standFor(index, address))];
}

function standFor(index: WorldIndex, address: IpAddress): Representative[] {
  const end = index.endAt(address);
  return end.kind === 'endpoint' || familyOf(address) === 6 ? [] : [{ end }];
}

/** The first address, or the one after it where there are more, of each stretch between two ends of networks. */
function candidates({ world, platformNetworks }: WorldIndex, regions: readonly Region[]): bigint[] {
  const { pools, openNetworks = [] } = world.cluster;
  const closed = [...pools, ...platformNetworks, ...RESERVED, ...SERVICE_NETWORKS, ...openNetworks]
    .filter((each) => familyOf(each) === 4)
    .map(rangeOf);
  const ranges = [...closed, ...regions.flatMap(({ inside, holes }) => [inside, ...holes])];
  const edges = [...new Set([0n, ...ranges.flatMap(({ start, end }) => [start, end])])];
  const sorted = edges.filter((edge) => edge < 1n << 32n).sort((a, b) => (a < b ? -1 : 1));
  // A node's address can be any of them: then the next one stands for it.
  return sorted.flatMap((edge, i) => {
    const room = (sorted[i + 1] ?? 1n << 32n) - edge;
    return room > 2n ? [edge + 1n, edge + 2n, edge] : room === 2n ? [edge, edge + 1n] : [edge];
  });
}

function isIn({ inside, holes }: Region, value: bigint): boolean {
  const has = ({ start, end }: AddressRange) => value >= start && value < end;
  return has(inside) && !holes.some(has);
}

function smallest(within: readonly Region[]): Pick<Representative, 'network'> {
  const [first] = within.toSorted((a, b) => Number(a.inside.end - a.inside.start - (b.inside.end - b.inside.start)));
  return first === undefined ? {} : { network: first.inside.prefix };
}
