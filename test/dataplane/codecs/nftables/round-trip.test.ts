/** decode(encode(x)) = x for everything that is written, and bytes that mean nothing raise CodecError and nothing else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { numberToIp } from '../../../../dataplane/address.ts';
import { type Chain, parseChain, writeNewChain } from '../../../../dataplane/codecs/nftables/chain.ts';
import type { Verdict } from '../../../../dataplane/codecs/nftables/data.ts';
import type { FieldType, FieldValue } from '../../../../dataplane/codecs/nftables/data-type.ts';
import { ElementCodec, type SetElement } from '../../../../dataplane/codecs/nftables/element.ts';
import type { Expression } from '../../../../dataplane/codecs/nftables/expression.ts';
import { findKeyFields, KeyCodec } from '../../../../dataplane/codecs/nftables/key.ts';
import { parseRule, type Rule, writeNewRule } from '../../../../dataplane/codecs/nftables/rule.ts';
import { type NftSet, parseSet, writeNewSet } from '../../../../dataplane/codecs/nftables/set.ts';
import { parseTable, writeNewTable } from '../../../../dataplane/codecs/nftables/table.ts';
import { NFT_MSG_NEWRULE, NFT_MSG_NEWSETELEM } from '../../../../dataplane/codecs/nftables/uapi.ts';
import { CodecError } from '../../../../dataplane/errors.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { parseMessages } from '../../../../dataplane/netlink/message.ts';

const TABLE = { family: 'inet', table: 'tenet' } as const;

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const bytes = fc.uint8Array({ maxLength: 64 });
const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,14}$/);
/** Optional properties are left out, never undefined. */
const record = <T>(required: { [K in keyof T]: fc.Arbitrary<T[K]> }, keys?: (keyof T)[]) =>
  fc.record(required, keys === undefined ? {} : { requiredKeys: keys });
const kind = <K extends string>(value: K) => fc.constant(value);

const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  record({ kind: fc.constantFrom('accept', 'drop', 'continue', 'break', 'return') }),
  record({ kind: fc.constantFrom('jump', 'goto'), chain: name }),
);
const bitwise = bytes.chain((mask) => {
  const xor = fc.uint8Array({ minLength: mask.length, maxLength: mask.length });
  return record({ kind: kind('bitwise'), sreg: u32, dreg: u32, mask: fc.constant(mask), xor });
});
const expression = fc.oneof(
  record({ kind: kind('payload'), base: u32, offset: u32, length: u32, dreg: u32 }),
  record({ kind: kind('meta'), key: u32, dreg: u32 }),
  record({ kind: kind('metaSet'), key: u32, sreg: u32 }),
  record({ kind: kind('ct'), key: u32, dreg: u32, direction: u8 }, ['kind', 'key', 'dreg']),
  record({ kind: kind('cmp'), op: u32, sreg: u32, data: bytes }),
  record({ kind: kind('range'), op: u32, sreg: u32, from: bytes, to: bytes }),
  bitwise,
  record({ kind: kind('lookup'), set: name, setId: u32, sreg: u32, dreg: u32, inverted: fc.boolean() }, [
    'kind',
    'set',
    'sreg',
    'inverted',
  ]),
  record({ kind: kind('immediate'), dreg: u32, data: bytes }),
  record({ kind: kind('verdict'), verdict }),
  record({ kind: kind('counter'), packets: u64, bytes: u64 }),
  record({ kind: kind('limit'), rate: u64, unitSeconds: u64, burst: u32, type: u32, inverted: fc.boolean() }),
  record({ kind: kind('masq'), flags: u32, protoMin: u32, protoMax: u32 }, ['kind']),
  record({ kind: kind('fib'), result: u32, flags: u32, dreg: u32 }),
  record({ kind: kind('exthdr'), op: u32, type: u8, offset: u32, length: u32, flags: u32, dreg: u32 }),
  record({ kind: kind('log'), prefix: name, group: u16, snaplen: u32, queueThreshold: u16, level: u32, flags: u32 }, [
    'kind',
  ]),
  record({ kind: kind('reject'), type: u32, code: u8 }),
  record({ kind: kind('notrack') }),
) as fc.Arbitrary<Expression>;

const values: Readonly<Record<FieldType, fc.Arbitrary<FieldValue>>> = {
  nf_proto: u8,
  ipv4_addr: fc.bigInt(0n, 2n ** 32n - 1n).map((value) => numberToIp(value, 4)),
  ipv6_addr: fc.bigInt(0n, 2n ** 128n - 1n).map((value) => numberToIp(value, 6)),
  ether_addr: fc.stringMatching(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
  inet_proto: u8,
  inet_service: u16,
  icmp_type: u8,
  mark: u32,
  iface_index: u32,
  classid: u32,
  ct_state: u32,
  ct_dir: u8,
  icmpv6_type: u8,
  devgroup: u32,
  dscp: u8,
  fib_addrtype: u32,
  boolean: u8,
  ifname: fc.oneof(fc.stringMatching(/^[a-zA-Z0-9_.-]{1,15}$/), fc.stringMatching(/^[äß漢]{1,5}$/)),
};
const fieldType = fc.constantFrom(...(Object.keys(values) as FieldType[]));
const key = fc.array(fieldType, { minLength: 1, maxLength: 4 }).filter((types) => fits(types));
const keyValues = (types: readonly FieldType[]) => fc.tuple(...types.map((type) => values[type]));

function fits(types: readonly FieldType[]): boolean {
  try {
    return new KeyCodec(types).length > 0;
  } catch {
    return false;
  }
}

const nftSet: fc.Arbitrary<NftSet> = record(
  {
    family: fc.constantFrom('inet', 'ip', 'ip6'),
    table: name,
    name,
    key,
    data: fc.oneof(fieldType, fc.constant('verdict' as const)),
    size: fc.integer({ min: 1, max: 0xffffffff }),
    timeoutMs: fc.nat(1_000_000),
  },
  ['family', 'table', 'name', 'key'],
);
/** Data and timeouts where the set has them. */
function elementOf({ key, data, timeoutMs }: NftSet): fc.Arbitrary<SetElement> {
  const mapped: fc.Arbitrary<FieldValue | Verdict> = data === undefined || data === 'verdict' ? verdict : values[data];
  return fc.tuple(keyValues(key), mapped, fc.option(fc.nat(1_000_000))).map(([key, value, lifetime]) => ({
    key,
    ...(data === undefined ? {} : { data: value }),
    ...(timeoutMs === undefined || lifetime === null ? {} : { timeoutMs: lifetime }),
  }));
}

const setWithElements = nftSet.chain((set) => fc.tuple(fc.constant(set), fc.array(elementOf(set), { maxLength: 20 })));

function payload(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(16);
  write(out);
  const [message] = parseMessages(out.finish());
  if (message === undefined) throw new Error('nothing was written');
  return message.payload;
}

describe('what is written is read back', () => {
  it('rules of any expressions', () => {
    const rule = record<Rule>({
      ...{ family: fc.constantFrom('inet', 'ip', 'ip6'), table: name, chain: name },
      ...{
        expressions: fc.array(expression, { maxLength: 12 }),
        comment: fc.string({ maxLength: 30 }).filter(isComment),
      },
    });
    fc.assert(
      fc.property(rule, (rule) => {
        const written = payload((out) => writeNewRule(out, NFT_MSG_NEWRULE, 0, rule));
        expect(parseRule(written)).toEqual({ ...rule, handle: 0n });
      }),
      { numRuns: 500 },
    );
  });

  it('keys of any fields, and their type numbers', () => {
    fc.assert(
      fc.property(
        key.chain((types) => fc.tuple(fc.constant(types), keyValues(types))),
        ([types, fields]) => {
          const codec = new KeyCodec(types);
          const written = new Uint8Array(codec.length);
          codec.write(written, 0, fields);
          expect(codec.read(written, 0)).toEqual(fields);
          expect(findKeyFields(codec.typeId, codec.length)).toEqual(types);
        },
      ),
    );
  });

  it('sets, and elements with data, verdicts and timeouts', () => {
    fc.assert(
      fc.property(setWithElements, ([set, elements]) => {
        expect(parseSet(payload((out) => writeNewSet(out, 0, 0, set, 1)))?.set).toEqual(set);
        const codec = new ElementCodec(set);
        const written = payload((out) => codec.writeMessage(out, NFT_MSG_NEWSETELEM, 0, elements, 0));
        expect(codec.parseMessage(written)).toEqual(elements);
      }),
    );
  });

  it('tables and chains', () => {
    const base = record({
      type: fc.constantFrom('filter', 'nat', 'route'),
      hook: fc.constantFrom('prerouting', 'input', 'forward', 'output', 'postrouting'),
      priority: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      policy: fc.constantFrom('accept', 'drop'),
    });
    const ref = { family: kind('inet'), table: name, chain: name };
    const chain: fc.Arbitrary<Chain> = fc.oneof(record(ref), record({ ...ref, base }));
    fc.assert(
      fc.property(chain, (chain) => {
        expect(parseChain(payload((out) => writeNewChain(out, 0, 0, chain)))).toEqual({ ...chain, handle: 0n });
      }),
    );
    for (const dormant of [false, true]) {
      const written = payload((out) => writeNewTable(out, 0, 0, TABLE, dormant));
      expect(parseTable(written)).toEqual({ ...TABLE, handle: 0n, dormant });
    }
  });
});

function isComment(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text);
}

describe('bytes that mean nothing', () => {
  const GUARD = new ElementCodec({ ...TABLE, name: 'guard4', key: ['ifname', 'ether_addr', 'ipv4_addr'] });
  const IDENTITY = new ElementCodec({ ...TABLE, name: 'identity4', key: ['ipv4_addr'], data: 'classid' });
  const VERDICTS = new ElementCodec({ ...TABLE, name: 'verdicts', key: ['ipv4_addr'], data: 'verdict' });
  const parsers: readonly ((payload: Uint8Array) => unknown)[] = [
    parseTable,
    parseChain,
    parseSet,
    parseRule,
    ...[GUARD, IDENTITY, VERDICTS].map((codec) => (payload: Uint8Array) => codec.parseMessage(payload)),
  ];

  function expectOnlyCodecErrors(payload: Uint8Array): void {
    for (const parse of parsers) {
      try {
        parse(payload);
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError);
      }
    }
  }

  it('raise CodecError and nothing else', () => {
    const random = fc.uint8Array({ maxLength: 300 });
    fc.assert(fc.property(random, expectOnlyCodecErrors), { numRuns: 2000, interruptAfterTimeLimit: 3000 });
  });

  it('raise CodecError and nothing else when a message is damaged', () => {
    const message = fc.oneof(
      fc
        .array(expression, { maxLength: 5 })
        .map((expressions) =>
          payload((out) => writeNewRule(out, 0, 0, { ...TABLE, chain: 'c', expressions, comment: 'x' })),
        ),
      setWithElements.map(([set, elements]) =>
        payload((out) => new ElementCodec(set).writeMessage(out, NFT_MSG_NEWSETELEM, 0, elements, 0)),
      ),
      nftSet.map((set) => payload((out) => writeNewSet(out, 0, 0, set, 1))),
    );
    const damage = fc.array(fc.tuple(fc.nat(), u8), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(message, damage, (message, changes) => {
        const damaged = message.slice();
        for (const [at, value] of changes) damaged[at % damaged.length] = value;
        expectOnlyCodecErrors(damaged);
      }),
      { numRuns: 2000, interruptAfterTimeLimit: 3000 },
    );
  });
});
