/** Addresses, prefixes and MACs as text: what is accepted, the one spelling each has, and arithmetic beside that on big numbers. */
import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AddressError,
  addressAt,
  addressBits,
  bytesToIp,
  bytesToMac,
  familyOf,
  hostPrefix,
  type IpAddress,
  type IpFamily,
  type IpPrefix,
  ipToBytes,
  ipToNumber,
  macToBytes,
  numberToIp,
  parseIp,
  parseMac,
  parsePrefix,
  parseSortableIp,
  prefixBase,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
  prefixSize,
  sortableIp,
} from '../../dataplane/address.ts';

const ipv4 = fc.bigInt(0n, 2n ** 32n - 1n).map((value) => numberToIp(value, 4));
/** Mostly with runs of zeros, where spellings differ. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => bytesToIp(Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]))));
const ip = fc.oneof(ipv4, ipv6);
const prefix = fc
  .tuple(ip, fc.nat())
  .map(([address, drawn]) => prefixOf(address, drawn % (addressBits(familyOf(address)) + 1)));
/** Two that often lie in one another. */
const prefixPair = fc
  .tuple(fc.constantFrom<IpFamily>(4, 6), fc.bigInt(0n, 255n), fc.bigInt(0n, 255n), fc.nat(), fc.nat())
  .map(([family, a, b, lengthA, lengthB]) => {
    const bits = addressBits(family);
    const of = (value: bigint, drawn: number) => prefixOf(numberToIp(value, family), bits - 10 + (drawn % 11));
    return [of(a, lengthA), of(b, lengthB)] as const;
  });

/** First and last address as numbers: what containment means. */
function range(text: IpAddress | IpPrefix): readonly [bigint, bigint] {
  const [base = '', length] = text.split('/');
  const first = ipToNumber(base as IpAddress);
  const bits = BigInt(addressBits(familyOf(text)));
  return [first, first + 2n ** (bits - BigInt(length ?? bits)) - 1n];
}

describe('parseIp', () => {
  it.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    // RFC 5952 section 1: all of these are one address.
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    // section 4.2.1: shortened as much as possible; 4.2.2: not one group alone; 4.2.3: the longest run
    ['2001:db8::0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1::', '1::'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it.each([
    '',
    ' 10.0.0.1',
    '10.0.0.1 ',
    '10.0.0',
    '10.0.0.0.1',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.01',
    '0x0a.0.0.1',
    '167772161',
    '10.0.0.-1',
    '10.0.0.1/32',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    ':::',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '::10.0.0.256',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:6:7:8::',
    '::\n',
  ])('refuses %j', (text) => {
    expect(() => parseIp(text)).toThrow(AddressError);
  });

  it('accepts what the system accepts, and nothing else', () => {
    const piece = fc.oneof(
      fc.constantFrom(':', '::', '.', '0', '1.2.3.4', 'ffff', '%'),
      fc.integer({ min: 0, max: 0x1ffff }).map((group) => group.toString(16)),
      fc.integer({ min: 0, max: 300 }).map(String),
    );
    const joined = fc
      .tuple(fc.constantFrom(':', '.', ''), fc.array(piece, { minLength: 1, maxLength: 9 }))
      .map(([separator, pieces]) => pieces.join(separator));
    fc.assert(
      fc.property(joined, (text) => {
        expect(isAccepted(text)).toBe(isIP(text) !== 0 && !text.includes('%'));
      }),
      { numRuns: 5_000 },
    );
  });

  it('spells every IPv6 address as the URL standard does', () => {
    fc.assert(
      fc.property(ipv6, (address) => {
        const spelled = ipToBytes(address)
          .reduce<string[]>((groups, byte, i) => {
            if (i % 2 === 0) groups.push('');
            groups.push(`${groups.pop()}${byte.toString(16).padStart(2, '0')}`);
            return groups;
          }, [])
          .join(':');
        expect(`[${parseIp(spelled)}]`).toBe(new URL(`http://[${spelled}]/`).hostname);
        expect(parseIp(spelled.toUpperCase())).toBe(address);
      }),
      { numRuns: 1_000 },
    );
  });
});

function isAccepted(text: string): boolean {
  try {
    parseIp(text);
    return true;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

describe('an address', () => {
  it('is the same as bytes, as a number and as text', () => {
    fc.assert(
      fc.property(ip, (address) => {
        const family = familyOf(address);
        expect(parseIp(address)).toBe(address);
        expect(bytesToIp(ipToBytes(address))).toBe(address);
        expect(numberToIp(ipToNumber(address), family)).toBe(address);
        expect(ipToNumber(address)).toBe(BigInt(`0x${Buffer.from(ipToBytes(address)).toString('hex')}`));
      }),
      { numRuns: 1_000 },
    );
  });

  it('has 4 or 16 bytes, and a number that fits', () => {
    for (const length of [0, 3, 5, 15, 17]) expect(() => bytesToIp(new Uint8Array(length))).toThrow(RangeError);
    expect(() => numberToIp(-1n, 4)).toThrow(RangeError);
    expect(() => numberToIp(2n ** 32n, 4)).toThrow(RangeError);
    expect(() => numberToIp(2n ** 128n, 6)).toThrow(RangeError);
    expect(numberToIp(2n ** 128n - 1n, 6)).toBe('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff');
  });
});

describe('a sortable address', () => {
  it('sorts as the number does, and is read back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6)), ([a, b]) => {
        const [first, second] = [Buffer.from(sortableIp(a)), Buffer.from(sortableIp(b))];
        const [x, y] = [ipToNumber(a), ipToNumber(b)];
        expect(Buffer.compare(first, second)).toBe(x < y ? -1 : x > y ? 1 : 0);
        expect(parseSortableIp(sortableIp(a))).toBe(a);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['10.128.4.0', '010.128.004.000'],
    ['fd00::1', 'fd00:0000:0000:0000:0000:0000:0000:0001'],
  ])('%s is %s', (address, sortable) => {
    expect(sortableIp(parseIp(address))).toBe(sortable);
  });

  it.each(['', '010.128.004', '010.128.004.256', '0100.1.1.1', '10.128.4.0', 'fd00::1', 'x'])('refuses %j', (text) => {
    expect(() => parseSortableIp(text)).toThrow(AddressError);
  });
});

describe('parsePrefix', () => {
  it.each(['10.0.0.0/8', '0.0.0.0/0', '10.0.0.1/32', '::/0', 'fd00::/64', 'fd00::1/128', '128.0.0.0/1'])(
    'reads %s as it is written',
    (text) => {
      expect(parsePrefix(text)).toBe(text);
    },
  );

  it('spells the address canonically', () => {
    expect(parsePrefix('FD00:0:0::/48')).toBe('fd00::/48');
  });

  it.each([
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/8.0',
    '10.0.0.0/ 8',
    '::/129',
    '/8',
    '10.0.0/8',
  ])('refuses %j', (text) => {
    expect(() => parsePrefix(text)).toThrow(AddressError);
  });

  it('refuses host bits, and says what was perhaps meant', () => {
    expect(() => parsePrefix('10.0.0.1/24')).toThrow('10.0.0.0/24');
    expect(() => parsePrefix('fd00::1/64')).toThrow('fd00::/64');
  });
});

describe('a prefix', () => {
  it('is read back, and is its base and its length', () => {
    fc.assert(
      fc.property(prefix, (each) => {
        expect(parsePrefix(each)).toBe(each);
        expect(`${prefixBase(each)}/${prefixLength(each)}`).toBe(each);
        expect(prefixOf(prefixBase(each), prefixLength(each))).toBe(each);
      }),
    );
  });

  it('is as long as its family allows', () => {
    expect(hostPrefix(parseIp('10.0.0.1'))).toBe('10.0.0.1/32');
    expect(hostPrefix(parseIp('fd00::1'))).toBe('fd00::1/128');
    for (const length of [-1, 33, 1.5]) expect(() => prefixOf(parseIp('10.0.0.1'), length)).toThrow(RangeError);
  });

  it('numbers its addresses from the base up', () => {
    fc.assert(
      fc.property(prefix, fc.bigInt(0n, 2n ** 128n - 1n), (each, drawn) => {
        const [first, last] = range(each);
        expect(prefixSize(each)).toBe(last - first + 1n);
        const index = drawn % prefixSize(each);
        expect(ipToNumber(addressAt(each, index))).toBe(first + index);
        expect(() => addressAt(each, prefixSize(each))).toThrow(RangeError);
        expect(() => addressAt(each, -1)).toThrow(RangeError);
      }),
    );
  });

  it('contains what lies between its first and last address', () => {
    fc.assert(
      fc.property(prefixPair, ([outer, inner]) => {
        const [first, last] = range(outer);
        const [from, to] = range(inner);
        expect(prefixContains(outer, inner)).toBe(first <= from && to <= last);
        expect(prefixContains(outer, prefixBase(inner))).toBe(first <= from && from <= last);
        expect(prefixesOverlap(outer, inner)).toBe(first <= to && from <= last);
        expect(prefixesOverlap(inner, outer)).toBe(prefixesOverlap(outer, inner));
      }),
      { numRuns: 2_000 },
    );
  });

  it('contains nothing of the other family', () => {
    expect(prefixContains(parsePrefix('0.0.0.0/0'), parsePrefix('::/0'))).toBe(false);
    expect(prefixContains(parsePrefix('::/0'), parseIp('10.0.0.1'))).toBe(false);
    expect(prefixesOverlap(parsePrefix('::/0'), parsePrefix('0.0.0.0/0'))).toBe(false);
  });
});

describe('a MAC address', () => {
  it('is lower-case with colons, and the same as bytes', () => {
    expect(parseMac('0A-58-c0-00-02-FF')).toBe('0a:58:c0:00:02:ff');
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        expect(macToBytes(bytesToMac(bytes))).toEqual(bytes);
        expect(parseMac(bytesToMac(bytes))).toBe(bytesToMac(bytes));
      }),
    );
  });

  it.each(['', '0a:58:c0:00:02', '0a:58:c0:00:02:ff:00', '0a:58:c0:00:02:fg', 'a:58:c0:00:02:ff', '0a58c00002ff'])(
    'refuses %j',
    (text) => {
      expect(() => parseMac(text)).toThrow(AddressError);
    },
  );

  it('has six bytes', () => {
    for (const length of [0, 5, 7]) expect(() => bytesToMac(new Uint8Array(length))).toThrow(RangeError);
  });
});
