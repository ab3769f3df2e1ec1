/** What is written is read back the same, and bytes that are no such message raise CodecError, never anything else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressBits,
  type IpFamily,
  type MacAddress,
  numberToIp,
  parseMac,
  prefixOf,
} from '../../../../dataplane/address.ts';
import { decodeEntry } from '../../../../dataplane/codecs/conntrack/conntrack.ts';
import { decodeAddress, encodeAddAddress, encodeDelAddress } from '../../../../dataplane/codecs/rtnetlink/ifaddr.ts';
import {
  decodeLink,
  encodeAddVeth,
  encodeAddVxlan,
  encodeSetLink,
} from '../../../../dataplane/codecs/rtnetlink/link.ts';
import {
  decodeNeighbour,
  encodeDelFdb,
  encodeDelNeighbour,
  encodeReleaseNeighbour,
  encodeReplaceFdb,
  encodeReplaceNeighbour,
} from '../../../../dataplane/codecs/rtnetlink/neighbour.ts';
import { decodeRoute, encodeDelRoute, encodeReplaceRoute } from '../../../../dataplane/codecs/rtnetlink/route.ts';
import { decodeRule, encodeAddRule, encodeDelRule } from '../../../../dataplane/codecs/rtnetlink/rule.ts';
import { CodecError } from '../../../../dataplane/errors.ts';
import { AttributeWriter } from '../../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { parseMessages } from '../../../../dataplane/netlink/message.ts';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const linkIndex = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const family = fc.constantFrom<IpFamily>(4, 6);
const ip = (of: IpFamily) =>
  fc.bigInt({ min: 0n, max: 2n ** BigInt(addressBits(of)) - 1n }).map((n) => numberToIp(n, of));
const address = family.chain(ip);
const prefix = (of: IpFamily) =>
  fc.tuple(ip(of), fc.integer({ min: 0, max: addressBits(of) })).map(([base, length]) => prefixOf(base, length));
const mac: fc.Arbitrary<MacAddress> = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => parseMac(Buffer.from(bytes).toString('hex').match(/../g)?.join(':') ?? ''));
const linkName = fc.stringMatching(/^[a-z0-9.]{1,15}$/);
const u8 = fc.integer({ min: 0, max: 255 });

/** The payload of the one message written. */
function payloadOf(encode: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  encode(out);
  const [message, ...more] = [...parseMessages(out.finish())];
  expect(more).toEqual([]);
  return message?.payload ?? new Uint8Array();
}

describe('what is written is read back', () => {
  it.each([
    ['a route', encodeReplaceRoute],
    ['a route to delete', encodeDelRoute],
  ])('%s', (_name, encode) => {
    const route = family.chain((of) =>
      fc.record(
        {
          destination: prefix(of),
          type: fc.constantFrom('unicast' as const, 'blackhole' as const, 'unreachable' as const, 'prohibit' as const),
          protocol: u8,
          table: fc.oneof(
            fc.integer({ min: 1, max: 255 }),
            u32.filter((table) => table > 0),
          ),
          linkIndex,
          gateway: ip(of),
          onlink: fc.constant(true as const),
          source: ip(of),
          metric: u32,
        },
        { requiredKeys: ['destination', 'type', 'protocol', 'table'] },
      ),
    );
    fc.assert(
      fc.property(route, (x) => {
        expect(decodeRoute(payloadOf((out) => encode(out, x)))).toEqual(x);
      }),
    );
  });

  it.each([
    ['a rule', encodeAddRule],
    ['a rule to delete', encodeDelRule],
  ])('%s', (_name, encode) => {
    const rule = family.chain((of) =>
      fc.record(
        {
          family: fc.constant(of),
          priority: u32,
          table: u32.filter((table) => table > 0),
          protocol: u8,
          source: prefix(of),
          destination: prefix(of),
          inputLink: linkName,
          mark: fc.record({ value: u32, mask: u32 }),
        },
        { requiredKeys: ['family', 'priority', 'table', 'protocol'] },
      ),
    );
    fc.assert(
      fc.property(rule, (x) => {
        expect(decodeRule(payloadOf((out) => encode(out, x)))).toEqual(x);
      }),
    );
  });

  it.each([
    ['a neighbour', encodeReplaceNeighbour, false],
    ['a neighbour to delete', encodeDelNeighbour, false],
    ['a neighbour that waits no more', encodeReleaseNeighbour, false],
    ['an FDB entry', encodeReplaceFdb, true],
    ['an FDB entry to delete', encodeDelFdb, true],
  ])('%s', (_name, encode, fdb) => {
    fc.assert(
      fc.property(fc.record({ linkIndex, address, mac, protocol: fc.nat(255) }), (x) => {
        expect(decodeNeighbour(payloadOf((out) => encode(out, x)))).toEqual({ ...x, permanent: true, fdb });
      }),
    );
  });

  it.each([
    ['an address', encodeAddAddress],
    ['an address to delete', encodeDelAddress],
  ])('%s', (_name, encode) => {
    fc.assert(
      fc.property(linkIndex, address, (index, x) => {
        const prefixLength = x.includes(':') ? 128 : 32;
        const read = decodeAddress(payloadOf((out) => encode(out, index, x)));
        expect(read).toEqual({ linkIndex: index, address: x, prefixLength, scope: 0 });
      }),
    );
  });

  it('a VXLAN link', () => {
    const spec = fc.record({
      name: linkName,
      vni: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
      local: address,
      port: fc.integer({ min: 1, max: 65535 }),
      underlayIndex: linkIndex,
      mac,
      mtu: fc.integer({ min: 68, max: 65535 }),
      group: u32,
    });
    fc.assert(
      fc.property(spec, (x) => {
        const link = decodeLink(payloadOf((out) => encodeAddVxlan(out, x)));
        const { name, mtu, group, vni, local, port, underlayIndex } = x;
        const vxlan = { vni, local, port, underlayIndex, learning: false };
        expect(link).toEqual({
          index: 0,
          name,
          mac: x.mac,
          mtu,
          group,
          up: false,
          noArp: true,
          linkKind: 'vxlan',
          vxlan,
        });
      }),
    );
  });

  it('a veth, of which the near end is read', () => {
    const peer = { name: 'eth0', mac: parseMac('0a:58:00:00:00:01'), netnsFd: 9 };
    const spec = { name: 'tnp0123456789ab', mac: parseMac('0a:58:00:00:00:02'), mtu: 1450, group: 7, peer };
    const { name, mtu, group } = spec;
    const link = {
      index: 0,
      name,
      mac: spec.mac,
      mtu,
      group,
      up: false,
      noArp: true,
      linkKind: 'veth',
      vxlan: undefined,
    };
    expect(decodeLink(payloadOf((out) => encodeAddVeth(out, spec)))).toEqual(link);
  });

  it('changes to a link, which say nothing of what is to stay', () => {
    const change = decodeLink(payloadOf((out) => encodeSetLink(out, 7, { up: true, mtu: 1400 })));
    expect(change).toMatchObject({ index: 7, up: true, mtu: 1400, name: '', mac: undefined });
    // ifi_flags and ifi_change
    const flags = payloadOf((out) => encodeSetLink(out, 7, { up: false })).subarray(8, 16);
    expect([...flags]).toEqual([0, 0, 0, 0, 1, 0, 0, 0]);
  });
});

describe('bytes that are no such message raise CodecError and nothing else', () => {
  const decoders: readonly (readonly [string, number, (payload: Uint8Array) => unknown])[] = [
    ['link', 16, decodeLink],
    ['address', 8, decodeAddress],
    ['route', 12, decodeRoute],
    ['neighbour', 12, decodeNeighbour],
    ['rule', 12, decodeRule],
    ['conntrack entry', 4, decodeEntry],
  ];
  const leaf = fc.uint8Array({ maxLength: 20 });
  /** Attributes that fit, with contents that mean nothing. */
  const attributes = fc.array(
    fc.tuple(
      fc.integer({ min: 0, max: 30 }),
      fc.oneof(leaf, fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), leaf))),
    ),
    { maxLength: 8 },
  );

  it.each(decoders)('%s', (_name, header, decode) => {
    const head = fc.tuple(
      fc.constantFrom(2, 7, 10, 0),
      fc.uint8Array({ minLength: header - 1, maxLength: header - 1 }),
    );
    const plausible = fc.tuple(head, attributes).map(([[familyNumber, rest], list]) => {
      const out = new ByteWriter().u8(familyNumber).bytes(rest);
      const writer = new AttributeWriter(out);
      for (const [type, content] of list) {
        if (content instanceof Uint8Array) writer.bytes(type, content);
        else writer.nested(type, (inner) => content.forEach(([each, bytes]) => void inner.bytes(each, bytes)));
      }
      return out.finish().slice();
    });
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), plausible);
    fc.assert(
      fc.property(bytes, (payload) => {
        try {
          decode(payload);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
        }
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 5000 },
    );
  });

  it('datagrams', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          for (const message of parseMessages(bytes)) expect(message.payload.length).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
        }
      }),
    );
  });
});
