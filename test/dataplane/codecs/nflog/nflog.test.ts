/** Packets that rules show, read from the kernel's messages; what is no packet of ours is left alone. */
import { describe, expect, it } from 'vitest';
import { parseShown, writeListen } from '../../../../dataplane/codecs/nflog/nflog.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { parseMessages, writeMessage } from '../../../../dataplane/netlink/message.ts';

const PACKET = (4 << 8) | 0;

/** A message as the kernel sends it. */
function message(packet: Uint8Array, type = PACKET) {
  const out = new ByteWriter(256);
  writeMessage(out, type, 0, (attributes) => {
    out.u8(2).u8(0).u16be(0x7e4e);
    attributes.u32be(4, 7).u32be(5, 9).bytes(9, packet).string(10, 'tenet egress');
  });
  const [first] = parseMessages(out.finish());
  if (first === undefined) throw new Error('one message');
  return first;
}

/** From 10.128.0.1 to 10.128.0.2. @param options IPv4 header words beyond five @param fragment offset in 8 bytes */
function ipv4(protocol: number, { options = 0, fragment = 0 } = {}): Uint8Array {
  const header = new Uint8Array(20 + options * 4);
  header[0] = 0x45 + options;
  header[6] = fragment >> 8;
  header[7] = fragment;
  header[9] = protocol;
  header.set([10, 128, 0, 1, 10, 128, 0, 2], 12);
  return Uint8Array.of(...header, 0x9c, 0x40, 0x00, 0x50, 0, 0, 0, 0);
}

describe('a packet', () => {
  it('is read with its links, addresses and port', () => {
    expect(parseShown(message(ipv4(6)))).toEqual({
      prefix: 'tenet egress',
      inLink: 7,
      outLink: 9,
      source: '10.128.0.1',
      destination: '10.128.0.2',
      protocol: 6,
      destinationPort: 80,
    });
  });

  it.each([
    ['behind options', ipv4(17, { options: 2 }), 80],
    ['of SCTP', ipv4(132), 80],
    ['of ICMP, which has none', ipv4(1), undefined],
    ['of a later piece, which has none', ipv4(6, { fragment: 100 }), undefined],
    ['that is cut off', ipv4(6).slice(0, 22), undefined],
  ])('has the port %s', (_, packet, port) => expect(parseShown(message(packet))?.destinationPort).toBe(port));

  it.each([
    ['IPv6', Uint8Array.of(0x60, ...new Uint8Array(40))],
    ['nothing', new Uint8Array(0)],
  ])('of %s is none', (_, packet) => expect(parseShown(message(packet))).toBeUndefined());

  it('is not in a message of another kind', () => {
    expect(parseShown(message(ipv4(6), (10 << 8) | 0))).toBeUndefined();
  });
});

it('is asked for with two requests that are acknowledged', () => {
  const out = new ByteWriter(128);
  writeListen(out, 0x7e4e);
  const requests = [...parseMessages(out.finish())];
  expect(requests.map(({ type }) => type)).toEqual([(4 << 8) | 1, (4 << 8) | 1]);
  expect(requests.every(({ payload }) => payload[2] === 0x7e && payload[3] === 0x4e)).toBe(true);
});
