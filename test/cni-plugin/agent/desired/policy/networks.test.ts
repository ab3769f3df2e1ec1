/** Networks divided into regions: a longest-prefix look-up in them allows exactly what the networks around an address allow together. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AllowedNetwork, divide, type Region } from '../../../../../cni-plugin/agent/desired/policy/networks.ts';
import { PortRanges } from '../../../../../cni-plugin/agent/desired/policy/port-ranges.ts';
import { ipToNumber, numberToIp, parsePrefix, prefixContains, prefixOf } from '../../../../../dataplane/address.ts';
import { NET_BITS } from '../../../../../dataplane/state.ts';

const network = (port: number, cidr: string, ...except: string[]): AllowedNetwork => ({
  block: { cidr: parsePrefix(cidr), except: except.map(parsePrefix) },
  addTo: (ports) => ports.add([{ protocol: 'TCP', port }], () => []),
});
const regionsOf = (...networks: readonly AllowedNetwork[]): Region[] => divide(networks, () => new PortRanges());

/** As the rules do it: the longest that holds the address, and nothing else. */
function lookUp(regions: readonly Region[], address: number): string {
  const ip = numberToIp(BigInt(address), 4);
  for (const bits of NET_BITS) {
    const found = regions.find((each) => each.bits === bits && prefixOf(ip, bits).startsWith(`${each.base}/`));
    if (found !== undefined) return found.ports.format();
  }
  return '';
}

function truth(networks: readonly AllowedNetwork[], address: number): string {
  const ip = numberToIp(BigInt(address), 4);
  const ports = new PortRanges();
  for (const { block, addTo } of networks) {
    const isHole = (block.except ?? []).some((hole) => prefixContains(hole, ip));
    if (prefixContains(block.cidr, ip) && !isHole) addTo(ports);
  }
  return ports.format();
}

// A small corner of the address space, so that networks meet.
const CORNER = Number(ipToNumber(numberToIp(BigInt(0x0a800000), 4)));
const prefix = fc
  .tuple(fc.nat(1023), fc.integer({ min: 20, max: 32 }))
  .map(([offset, bits]) => prefixOf(numberToIp(BigInt(CORNER + offset), 4), bits));
const anyNetwork = fc
  .record({ port: fc.integer({ min: 1, max: 4 }), cidr: prefix, except: fc.array(prefix, { maxLength: 3 }) })
  .map(({ port, cidr, except }) =>
    network(port, cidr, ...except.filter((each) => prefixContains(cidr, each) && each !== cidr)),
  );

test('whatever networks and holes there are', () => {
  fc.assert(
    fc.property(
      fc.array(anyNetwork, { maxLength: 6 }),
      fc.array(fc.nat(1100), { maxLength: 40 }),
      (networks, offsets) => {
        const regions = regionsOf(...networks);
        for (const offset of offsets) {
          const address = CORNER + offset;
          expect(lookUp(regions, address)).toBe(truth(networks, address));
        }
      },
    ),
  );
});

test('every region is of a length that is looked up, and there is one of each', () => {
  const regions = regionsOf(network(1, '10.0.0.0/9'), network(2, '10.64.0.0/10', '10.64.0.0/17'));
  expect(regions.every(({ bits }) => (NET_BITS as readonly number[]).includes(bits))).toBe(true);
  expect(new Set(regions.map(({ base, bits }) => `${base}/${bits}`)).size).toBe(regions.length);
});

test('of IPv6 there are none yet', () => {
  expect(regionsOf(network(1, 'fd00::/8'))).toEqual([]);
});
