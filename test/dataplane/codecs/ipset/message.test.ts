/** ipset's messages: bytes as the kernel’s header lays them out, members there and back, and what damaged bytes raise. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { numberToIp, parseIp, parseMac, parsePrefix, prefixOf } from '../../../../dataplane/address.ts';
import {
  type IpsetMember,
  type IpsetSpec,
  readMember,
  writeMember,
} from '../../../../dataplane/codecs/ipset/member.ts';
import { MemberWriter, parsePart, writeCreate } from '../../../../dataplane/codecs/ipset/message.ts';
import { IPSET_CMD_ADD, ipsetErrorText } from '../../../../dataplane/codecs/ipset/uapi.ts';
import { CodecError } from '../../../../dataplane/errors.ts';
import { AttributeWriter, parseAttributes } from '../../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';

const IFACE: IpsetSpec = { name: 'x', type: 'hash:net,iface', maxElements: 64, hashSize: 64 };

/** Hex without the sequence number and port of the header. */
function hex(write: (out: ByteWriter) => void): string {
  const out = new ByteWriter(256);
  write(out);
  const bytes = out.finish().slice();
  bytes.fill(0, 8, 16);
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{8})/g, '$1 ')
    .trim();
}

describe('bytes', () => {
  it('of a new member', () => {
    const member = { address: parsePrefix('10.1.0.0/16'), link: 'tnt42' };
    expect(hex((out) => new MemberWriter(IFACE, 7).writeOne(out, IPSET_CMD_ADD, member))).toBe(
      [
        '48000000 0906 0500 00000000 00000000', // length, subsystem 6 command 9, REQUEST|ACK
        '02 00 0000', // AF_INET, version
        '0500 0100 07000000', // protocol 7
        '0600 0200 7800 0000', // name x
        '2400 0780', // data
        '0c00 0180 0800 0140 0a010000', // IP, IPv4, big-endian
        '0500 0300 10000000', // CIDR 16
        '0a00 1700 746e743432 00 0000', // IFACE
      ]
        .join('')
        .replace(/ /g, '')
        .replace(/(.{8})/g, '$1 ')
        .trim(),
    );
  });

  it('of a new set', () => {
    expect(hex((out) => writeCreate(out, IFACE, 7, 1))).toBe(
      [
        '5c000000 0206 0506 00000000 00000000',
        '02 00 0000',
        '0500 0100 07000000',
        '0600 0200 7800 0000',
        '1300 0300 686173683a6e65742c6966616365 00 00', // hash:net,iface
        '0500 0400 01000000', // revision
        '0500 0500 02000000', // family
        '1400 0780',
        '0800 1240 00000040', // HASHSIZE
        '0800 1340 00000040', // MAXELEM
      ]
        .join('')
        .replace(/ /g, '')
        .replace(/(.{8})/g, '$1 ')
        .trim(),
    );
  });
});

const ip = fc.nat(0xffffffff).map((number) => numberToIp(BigInt(number), 4));
const prefix = fc.tuple(ip, fc.integer({ min: 1, max: 32 })).map(([base, length]) => prefixOf(base, length));
const link = fc.stringMatching(/^[a-z0-9]{1,15}$/);
const mac = fc.constantFrom('02:00:00:00:00:01', '0a:58:0a:81:00:01').map(parseMac);
const CASES: readonly (readonly [IpsetSpec, fc.Arbitrary<IpsetMember>])[] = [
  [{ name: 'a', type: 'hash:ip' }, fc.record({ address: ip })],
  [{ name: 'a', type: 'hash:net' }, fc.record({ address: prefix })],
  [
    { name: 'a', type: 'hash:ip,port' },
    fc.record({ address: ip, protocol: fc.constantFrom(6, 17, 132), port: fc.nat(65_535) }),
  ],
  [IFACE, fc.record({ address: prefix, link })],
  [{ name: 'a', type: 'bitmap:ip,mac', range: parsePrefix('10.0.0.0/16') }, fc.record({ address: ip, mac })],
  [{ name: 'a', type: 'list:set' }, fc.record({ set: link })],
];

describe.each(CASES.map(([spec, member]) => ({ type: spec.type, spec, member })))(
  'members of $type',
  ({ spec, member }) => {
    it('are read as they were written', () => {
      fc.assert(
        fc.property(member, (each) => {
          const out = new ByteWriter(64);
          writeMember(new AttributeWriter(out), spec, each);
          expect(readMember(spec.type, parseAttributes(out.finish()))).toEqual(each);
        }),
      );
    });

    it('that lack a field are refused, naming the set and what is missing', () => {
      expect(() => writeMember(new AttributeWriter(new ByteWriter(64)), spec, {})).toThrow(
        /of set [ax], a (hash|bitmap|list):/,
      );
    });
  },
);

it('many members are cut into messages that fit', () => {
  const members = Array.from({ length: 5_000 }, (_, index) => ({
    address: parseIp(`10.0.${index >> 8}.${index & 255}`),
    link: 'tnp0a1b2c3d4e5f',
  }));
  const writer = new MemberWriter(IFACE, 7);
  const out = new ByteWriter(64);
  let messages = 0;
  for (let next = 0; next < members.length; messages++) {
    const start = out.length;
    next = writer.writeMany(out, IPSET_CMD_ADD, members, next);
    expect(out.length - start).toBeLessThan(65_536 + 64);
  }
  expect(messages).toBeGreaterThan(2);
});

it('damaged bytes raise CodecError and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        parsePart(bytes, undefined);
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError);
      }
    }),
    { numRuns: 2_000 },
  );
});

it('the same number means different things in different types', () => {
  expect(ipsetErrorText(4352, 'hash:ip')).toBe('the set is full');
  expect(ipsetErrorText(4352, 'bitmap:ip,mac')).toContain('range');
  expect(ipsetErrorText(2, 'hash:ip')).toBeUndefined();
});
