/** Items of a node's state: one key for each kernel object, and when two of them want the same. */
import { describe, expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { type Item, itemKey, itemLink, sameItem } from '../../dataplane/state.ts';

const mac = parseMac('0a:58:0a:81:00:05');
const address = parseIp('10.129.0.5');

/** One item of each kind, its key, and its link. */
const ITEMS: readonly (readonly [Item, string, string | undefined])[] = [
  [
    {
      ...{ kind: 'overlayLink', name: 'tnt42', vni: 42, local: parseIp('192.0.2.1'), port: 4789, underlay: 'eth0' },
      ...{ mac, mtu: 1450, up: true },
    },
    'link tnt42',
    'tnt42',
  ],
  [{ kind: 'podLink', name: 'tnp0a1b2c3d4e5f', mtu: 1450, up: true }, 'link tnp0a1b2c3d4e5f', 'tnp0a1b2c3d4e5f'],
  [{ kind: 'address', link: 'tnt42', address }, 'address 10.129.0.5 dev tnt42', 'tnt42'],
  [{ kind: 'neighbour', link: 'tnt42', address, mac }, 'neighbour 10.129.0.5 dev tnt42', 'tnt42'],
  [{ kind: 'fdb', link: 'tnt42', mac, remote: address }, 'fdb 0a:58:0a:81:00:05 dev tnt42', 'tnt42'],
  [
    { kind: 'route', type: 'unicast', destination: parsePrefix('10.129.4.0/24'), link: 'tnt42', gateway: address },
    'route 10.129.4.0/24',
    'tnt42',
  ],
  [{ kind: 'route', type: 'blackhole', destination: parsePrefix('10.128.0.0/14') }, 'route 10.128.0.0/14', undefined],
  [
    { kind: 'element', collection: 'guard', fields: ['tnp0a1b2c3d4e5f', mac, address] },
    `element guard tnp0a1b2c3d4e5f ${mac} ${address}`,
    undefined,
  ],
  [
    {
      ...{ kind: 'ruleSet', pools: [parsePrefix('10.128.0.0/14')], platformNetworks: [], vxlanPort: 4789 },
      underlay: 'eth0',
      segment: parsePrefix('192.168.9.0/24'),
      blockPrefixLength: { v4: 26, v6: 122 },
      masqueradePorts: { from: 61_000, to: 65_535 },
      flows: { ofPod: 32_768, ofTenant: 65_536 },
    },
    'rules',
    undefined,
  ],
];

describe('an item', () => {
  it.each(ITEMS)('%o has one key, and the link it speaks of', (item, key, link) => {
    expect(itemKey(item)).toBe(key);
    expect(itemLink(item)).toBe(link);
  });

  it('wants the same as its copy, whatever the order of its fields', () => {
    for (const [item] of ITEMS) {
      expect(sameItem(item, structuredClone(item))).toBe(true);
      expect(sameItem(item, Object.fromEntries(Object.entries(item).reverse()) as unknown as Item)).toBe(true);
    }
  });

  it('wants something else when any field differs, is missing or is more', () => {
    for (const [item] of ITEMS) {
      for (const field of Object.keys(item)) {
        const without = Object.fromEntries(Object.entries(item).filter(([name]) => name !== field)) as unknown as Item;
        expect(sameItem(item, without), field).toBe(false);
        expect(sameItem(without, item), field).toBe(false);
        expect(sameItem(item, { ...item, [field]: 'different' } as unknown as Item), field).toBe(false);
      }
    }
  });
});
