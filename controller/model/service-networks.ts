/**
 * Networks in which clouds and carriers serve machines with what is not for their containers: metadata with the machine's secrets, and
 * neighbours behind the same carrier. Closed as if the platform had named them, unless the cluster opens them. Link-local services
 * (169.254.169.254) are closed whatever the cluster says. Pure.
 */
import {
  addressAt,
  type IpPrefix,
  parsePrefix,
  prefixBase,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
  prefixSize,
} from '../../dataplane/address.ts';

/**
 * Carrier-grade NAT (RFC 6598), where Alibaba Cloud has its metadata (100.100.100.200); Azure's WireServer; protocol assignments
 * (RFC 6890), where Oracle Cloud had its metadata (192.0.0.192).
 */
export const SERVICE_NETWORKS: readonly IpPrefix[] = ['100.64.0.0/10', '168.63.129.16/32', '192.0.0.0/24'].map(
  parsePrefix,
);

/** What is closed of them where some networks are open, as the fewest networks. @param open each inside one of them */
export function closedServiceNetworks(open: readonly IpPrefix[]): IpPrefix[] {
  return SERVICE_NETWORKS.flatMap((network) => [...without(network, open)]);
}

function* without(network: IpPrefix, holes: readonly IpPrefix[]): Generator<IpPrefix> {
  const overlapping = holes.filter((hole) => prefixesOverlap(hole, network));
  if (overlapping.length === 0) yield network;
  else if (!overlapping.some((hole) => prefixContains(hole, network))) {
    const length = prefixLength(network) + 1;
    yield* without(prefixOf(prefixBase(network), length), overlapping);
    yield* without(prefixOf(addressAt(network, prefixSize(network) / 2n), length), overlapping);
  }
}
