import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closedServiceNetworks, SERVICE_NETWORKS } from '../../../controller/model/service-networks.ts';
import { numberToIp, parseIp, parsePrefix, prefixContains, prefixOf } from '../../../dataplane/address.ts';

describe('networks closed by default', () => {
  it('hold what clouds serve machines with', () => {
    for (const address of ['100.100.100.200', '168.63.129.16', '192.0.0.192'].map(parseIp))
      expect(SERVICE_NETWORKS.some((network) => prefixContains(network, address))).toBe(true);
  });

  it('are whole while nothing is open, and gone when all is', () => {
    expect(closedServiceNetworks([])).toEqual(SERVICE_NETWORKS);
    expect(closedServiceNetworks(SERVICE_NETWORKS)).toEqual([]);
  });

  it('are closed around what is open, in few networks', () => {
    const left = closedServiceNetworks([parsePrefix('100.100.100.200/32')]);
    expect(left).toHaveLength(22 + 2);
    expect(closedServiceNetworks([parsePrefix('100.64.0.0/11')])).toEqual([
      '100.96.0.0/11',
      ...SERVICE_NETWORKS.slice(1),
    ]);
  });

  it('hold an address exactly if none that is open does', () => {
    const address = fc.integer({ min: 0x64400000, max: 0x647fffff }).map((n) => numberToIp(BigInt(n), 4));
    const network = fc.tuple(address, fc.integer({ min: 10, max: 32 })).map(([a, length]) => prefixOf(a, length));
    fc.assert(
      fc.property(fc.array(network, { maxLength: 16 }), address, (open, asked) => {
        const isIn = (networks: readonly (typeof open)[number][]) => networks.some((n) => prefixContains(n, asked));
        expect(isIn(closedServiceNetworks(open))).toBe(!isIn(open));
      }),
    );
  });
});
