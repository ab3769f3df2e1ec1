/** Attributes as bytes: struct nlattr, written, read, and refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodecError } from '../../../dataplane/errors.ts';
import {
  type Attribute,
  AttributeWriter,
  iterateAttributes,
  NLA_F_NESTED,
  NLA_F_NET_BYTEORDER,
  parseAttributes,
} from '../../../dataplane/netlink/attribute.ts';
import { align4, ByteReader, ByteWriter } from '../../../dataplane/netlink/bytes.ts';

function written(body: (attributes: AttributeWriter) => unknown): Uint8Array {
  const out = new ByteWriter(1);
  body(new AttributeWriter(out));
  return out.finish().slice();
}
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const only = (bytes: Uint8Array): Attribute => {
  const [first, ...rest] = iterateAttributes(bytes);
  if (first === undefined || rest.length > 0) throw new Error('not one attribute');
  return first;
};

/** length, type, payload, padding: u16 and u16 in host order (little-endian) */
const TABLE: readonly (readonly [
  string,
  (a: AttributeWriter) => unknown,
  string,
  (a: Attribute) => unknown,
  unknown,
])[] = [
  ['flag', (a) => a.flag(3), '04000300', (a) => a.payload.length, 0],
  ['u8', (a) => a.u8(1, 0xab), '05000100ab000000', (a) => a.u8(), 0xab],
  ['u16', (a) => a.u16(2, 0x1234), '0600020034120000', (a) => a.u16(), 0x1234],
  ['u16be', (a) => a.u16be(2, 0x1234), '0600020012340000', (a) => a.u16be(), 0x1234],
  ['u32', (a) => a.u32(2, 0xfedcba98), '0800020098badcfe', (a) => a.u32(), 0xfedcba98],
  ['u32be', (a) => a.u32be(2, 0xfedcba98), '08000200fedcba98', (a) => a.u32be(), 0xfedcba98],
  ['u64be', (a) => a.u64be(2, 0xfedcba9876543210n), '0c000200fedcba9876543210', (a) => a.u64be(), 0xfedcba9876543210n],
  ['bytes', (a) => a.bytes(9, Uint8Array.of(1, 2, 3)), '0700090001020300', (a) => [...a.payload], [1, 2, 3]],
  ['no bytes', (a) => a.bytes(9, new Uint8Array()), '04000900', (a) => [...a.payload], []],
  ['string', (a) => a.string(3, 'lo'), '070003006c6f0000', (a) => a.string(), 'lo'],
  ['empty string', (a) => a.string(3, ''), '0500030000000000', (a) => a.string(), ''],
  ['UTF-8', (a) => a.string(3, 'ü'), '07000300c3bc0000', (a) => a.string(), 'ü'],
  [
    'nested',
    (a) => a.nested(18, (inner) => inner.u8(1, 7)),
    '0c0012800500010007000000',
    (a) => a.nested().get(1)?.u8(),
    7,
  ],
  [
    'container',
    (a) => a.container(18, (inner) => inner.u8(1, 7)),
    '0c0012000500010007000000',
    (a) => a.nested().get(1)?.u8(),
    7,
  ],
  ['empty nested', (a) => a.nested(18, () => undefined), '04001280', (a) => a.nested().size, 0],
];

describe('an attribute', () => {
  it.each(TABLE)('%s', (_name, write, bytes, read, value) => {
    expect(hex(written(write))).toBe(bytes);
    expect(read(only(Buffer.from(bytes, 'hex')))).toEqual(value);
  });

  it('without the terminating zero is text all the same', () => {
    expect(only(Buffer.from('060003006c6f0000', 'hex')).string()).toBe('lo');
  });

  it('of another size than asked for is refused, naming the place', () => {
    const bytes = written((a) => a.u32(1, 0).u16(2, 0));
    const short = parseAttributes(bytes).get(2);
    for (const read of ['u8', 'u32', 'u32be', 'u64be'] as const) {
      expect(() => short?.[read]()).toThrow(CodecError);
      expect(() => short?.[read]()).toThrow(expect.objectContaining({ offset: 12 }));
    }
  });

  it('is told from another by its type, without the flags', () => {
    const bytes = written((a) =>
      a.bytes(5 | NLA_F_NET_BYTEORDER, Uint8Array.of(1)).bytes(6 | NLA_F_NESTED, new Uint8Array()),
    );
    expect([...parseAttributes(bytes).keys()]).toEqual([5, 6]);
  });

  it('counts for its type when it is the last of several, and in a list they are all there', () => {
    const bytes = written((a) => a.nested(1, (list) => list.u8(1, 1).u8(1, 2).u8(1, 3)));
    expect(only(bytes).nested().get(1)?.u8()).toBe(3);
    expect(
      only(bytes)
        .list()
        .map((each) => each.u8()),
    ).toEqual([1, 2, 3]);
  });

  it('names its place in the whole message when it is nested', () => {
    const bytes = written((a) => a.u32(1, 0).nested(2, (inner) => inner.u32(1, 0).u8(3, 1)));
    const inner = parseAttributes(bytes).get(2)?.nested().get(3);
    expect(inner?.offset).toBe(24);
    expect(bytes[inner?.offset ?? 0]).toBe(1);
  });

  it('holds at most 65531 bytes', () => {
    expect(only(written((a) => a.bytes(1, new Uint8Array(65_531)))).payload).toHaveLength(65_531);
    expect(() => written((a) => a.bytes(1, new Uint8Array(65_532)))).toThrow(CodecError);
    expect(only(written((a) => a.string(1, 'x'.repeat(65_530)))).string()).toHaveLength(65_530);
    expect(() => written((a) => a.string(1, 'x'.repeat(65_531)))).toThrow(CodecError);
    const filled = (count: number) => written((a) => a.nested(1, (inner) => inner.bytes(2, new Uint8Array(count))));
    expect(filled(65_524)).toHaveLength(65_532);
    expect(() => filled(65_528)).toThrow(CodecError);
  });
});

describe('attributes', () => {
  it('are read as they were written, whatever is in them', () => {
    const list = fc.array(fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 40 })));
    fc.assert(
      fc.property(list, (attributes) => {
        const bytes = written((a) => {
          for (const [type, payload] of attributes) a.bytes(type, payload);
        });
        expect(bytes.length % 4).toBe(0);
        expect([...iterateAttributes(bytes)].map(({ type, payload }) => [type, payload])).toEqual(attributes);
      }),
    );
  });

  it.each([
    ['longer than what is left', '0900010001020304'],
    ['shorter than their own header', '03000100'],
    ['of no length', '00000100'],
  ])('%s are refused', (_name, bytes) => {
    expect(() => parseAttributes(Buffer.from(bytes, 'hex'))).toThrow(CodecError);
  });

  it('may lack the padding of the last one', () => {
    expect(parseAttributes(Buffer.from('050001000a', 'hex')).get(1)?.u8()).toBe(10);
  });

  it('begin behind a header, which has to be there', () => {
    expect(parseAttributes(Buffer.from('ffffffff050001000a000000', 'hex'), 4).get(1)?.u8()).toBe(10);
    expect(() => parseAttributes(new Uint8Array(3), 4)).toThrow(CodecError);
  });
});

describe('a byte writer', () => {
  it('grows, keeps both orders and forgets what is cut off', () => {
    const out = new ByteWriter(1).u8(1).u16(2).u32(3).s32(-1).u64(4n).u16be(5).u32be(6).u64be(7n);
    expect(hex(out.finish())).toBe(
      '01' + '0200' + '03000000' + 'ffffffff' + '0400000000000000' + '0005' + '00000006' + '0000000000000007',
    );
    out.truncate(3);
    out.pad4();
    expect(hex(out.finish())).toBe('01020000');
    out.patchU16(2, 0xbeef);
    expect(hex(out.finish())).toBe('0102efbe');
  });

  it('leaves no old bytes in what it zeroes', () => {
    const out = new ByteWriter(8).u32(0xffffffff).u32(0xffffffff);
    out.truncate(1);
    expect(hex(out.zeros(3).finish())).toBe('ff000000');
  });
});

describe('a byte reader', () => {
  it('reads what the writer wrote', () => {
    const values = fc.tuple(
      fc.nat(255),
      fc.nat(0xffff),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer(),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    );
    fc.assert(
      fc.property(values, ([u8, u16, u32, s32, u64]) => {
        const out = new ByteWriter().u8(u8).u16(u16).u16be(u16).u32(u32).u32be(u32).s32(s32).u64(u64).u64be(u64);
        const r = new ByteReader(out.finish());
        expect([r.u8(), r.u16(), r.u16be(), r.u32(), r.u32be(), r.s32(), r.u64(), r.u64be()]).toEqual([
          ...[u8, u16, u16, u32, u32, s32],
          ...[u64, u64],
        ]);
        expect(r.remaining).toBe(0);
      }),
    );
  });

  it('stops at its end, be there more bytes or not', () => {
    const reader = new ByteReader(new Uint8Array(8), 2, 5);
    reader.skip(1);
    expect(() => reader.u32()).toThrow(CodecError);
    expect(() => reader.bytes(3)).toThrow(expect.objectContaining({ offset: 3 }));
    expect(() => reader.skip(-1)).toThrow(CodecError);
    expect(reader.u16()).toBe(0);
    expect(() => new ByteReader(new Uint8Array(4), 3, 2)).toThrow(CodecError);
    expect(() => new ByteReader(new Uint8Array(4), 0, 5)).toThrow(CodecError);
  });

  it('sees the part of a buffer that it was given', () => {
    const whole = Uint8Array.of(9, 9, 1, 2, 3, 4, 9);
    expect(new ByteReader(whole.subarray(2, 6)).u32be()).toBe(0x01020304);
  });
});

it('align4 is the next multiple of four', () => {
  expect([0, 1, 3, 4, 5, 65_533].map(align4)).toEqual([0, 4, 4, 4, 8, 65_536]);
});
