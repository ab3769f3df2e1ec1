/** Unions of ports: one spelling for the same ports, prefixes that are exactly them, names that are each endpoint's own. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PortRanges, portPrefixes, portsNamed } from '../../../../../cni-plugin/agent/desired/policy/port-ranges.ts';
import type { PolicyPort } from '../../../../../controller/model/records.ts';

const format = (...ports: readonly PolicyPort[]): string => {
  const union = new PortRanges();
  union.add(ports, () => []);
  return union.format();
};

describe('a union', () => {
  test.each<[string, readonly PolicyPort[]]>([
    ['', []],
    ['6:80-80', [{ protocol: 'TCP', port: 80 }]],
    ['6:0-65535', [{ protocol: 'TCP' }, { protocol: 'TCP', port: 80 }]],
    [
      '6:80-82;17:80-80',
      [
        { protocol: 'UDP', port: 80 },
        { protocol: 'TCP', port: 81, endPort: 82 },
        { protocol: 'TCP', port: 80 },
      ],
    ],
    [
      '132:7-7,9-9',
      [
        { protocol: 'SCTP', port: 9 },
        { protocol: 'SCTP', port: 7 },
      ],
    ],
    [
      '6:10-30',
      [
        { protocol: 'TCP', port: 10, endPort: 20 },
        { protocol: 'TCP', port: 15, endPort: 30 },
      ],
    ],
  ])('is written %s', (text, ports) => expect(format(...ports)).toBe(text));

  test('of no ports at all is every protocol and port', () => {
    const union = new PortRanges();
    union.add([{ protocol: 'TCP', port: 80 }], () => []);
    union.add(undefined, () => []);
    expect(union.format()).toBe('*');
  });

  test('has the ports that a name stands for, and none for a name that no endpoint has', () => {
    const own = [
      { name: 'http', containerPort: 8080, protocol: 'TCP' },
      { name: 'http', containerPort: 53, protocol: 'UDP' },
    ] as const;
    const union = new PortRanges();
    const ports: PolicyPort[] = [
      { protocol: 'TCP', port: 'http' },
      { protocol: 'TCP', port: 'https' },
    ];
    union.add(ports, (name, protocol) => portsNamed(own, name, protocol));
    expect(union.format()).toBe('6:8080-8080');
  });
});

const range = fc.tuple(fc.nat(65_535), fc.nat(65_535)).map(([a, b]): PolicyPort => {
  return { protocol: 'TCP', port: Math.min(a, b), endPort: Math.max(a, b) };
});

test('prefixes are exactly the ports, disjoint, and few', () => {
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 4 }), (ranges) => {
      const wanted = new Uint8Array(65_536);
      for (const { port, endPort = 0 } of ranges) wanted.fill(1, Number(port), endPort + 1);
      const found = new Uint8Array(65_536);
      const prefixes = [...portPrefixes(format(...ranges))];
      for (const { port, bits, protocol } of prefixes) {
        expect(protocol).toBe(6);
        for (let i = 0; i < 2 ** (16 - bits); i++) found[port + i] = (found[port + i] ?? 0) + 1;
      }
      expect(Buffer.compare(wanted, found)).toBe(0);
      expect(prefixes.length).toBeLessThanOrEqual(104 * ranges.length);
    }),
    { numRuns: 60 },
  );
});

test('every port of a protocol is one prefix; every protocol needs none', () => {
  expect([...portPrefixes(format({ protocol: 'UDP' }))]).toEqual([{ protocol: 17, port: 0, bits: 0 }]);
  expect([...portPrefixes('*')]).toEqual([]);
  expect([...portPrefixes('')]).toEqual([]);
});
