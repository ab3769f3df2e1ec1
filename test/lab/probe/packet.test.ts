/** Packets against the examples of their RFCs, and against their own reading back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dissect, dissectIp } from './dissect.ts';
import {
  arp,
  BROADCAST,
  checksum,
  ETHERTYPE,
  ethernet,
  ICMP,
  icmp,
  icmpEcho,
  icmpError,
  icmpv6,
  ipv4,
  ipv6,
  PROTOCOL,
  sourceRoute,
  tcp,
  udp,
  vxlan,
} from './packet.ts';

const MAC_A = '02:00:00:00:00:0a';
const MAC_B = '02:00:00:00:00:0b';
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** A transport segment is right if it and its pseudo header sum up to all ones. */
function sumsUp(source: string, destination: string, protocol: number, segment: Buffer): boolean {
  const octets = (address: string) => Buffer.from(address.split('.').map(Number));
  const tail = Buffer.from([0, protocol, segment.length >> 8, segment.length & 0xff]);
  return checksum(octets(source), octets(destination), tail, segment) === 0;
}

const octet = fc.integer({ min: 0, max: 255 });
const address = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
const port = fc.integer({ min: 0, max: 65_535 });
const payload = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

describe('checksum', () => {
  test('is that of the example in RFC 1071 section 3', () => {
    expect(checksum(Buffer.from('0001f203f4f5f6f7', 'hex'))).toBe(~0xddf2 & 0xffff);
  });

  test('counts an odd last byte as the high half of a word', () => {
    expect(checksum(Buffer.from([0x12]))).toBe(~0x1200 & 0xffff);
  });
});

describe('ipv4', () => {
  test('has the header of RFC 791', () => {
    const packet = ipv4(
      { source: '192.168.0.1', destination: '192.168.0.199', protocol: PROTOCOL.udp, dontFragment: true },
      Buffer.alloc(95),
    );
    expect(hex(packet.subarray(0, 20))).toBe('4500007300004000' + '4011b861c0a80001c0a800c7');
  });

  test('carries a source route, padded to whole words', () => {
    const options = sourceRoute(131, ['10.0.0.1']);
    const packet = ipv4({ source: '10.0.0.2', destination: '10.0.0.3', protocol: 17, options });
    expect(hex(packet.subarray(20))).toBe('8307040a00000100');
    expect(packet[0]).toBe(0x47);
    expect(checksum(packet)).toBe(0);
  });

  test('says which fragment it is', () => {
    const packet = ipv4({
      source: '1.1.1.1',
      destination: '2.2.2.2',
      protocol: 17,
      fragmentOffset: 16,
      moreFragments: true,
    });
    expect(packet.readUInt16BE(6)).toBe(0x2002);
  });
});

describe('what follows IP', () => {
  test('UDP and TCP checksums hold, and ports and payload are read back', () => {
    fc.assert(
      fc.property(address, address, port, port, payload, (source, destination, sourcePort, destinationPort, body) => {
        const fields = { source, destination, sourcePort, destinationPort };
        for (const protocol of [PROTOCOL.udp, PROTOCOL.tcp]) {
          const segment = protocol === PROTOCOL.udp ? udp(fields, body) : tcp({ ...fields, flags: ['syn'] }, body);
          expect(sumsUp(source, destination, protocol, segment)).toBe(true);
          const frame = ethernet(
            { source: MAC_A, destination: MAC_B, type: ETHERTYPE.ipv4 },
            ipv4({ source, destination, protocol }, segment),
          );
          expect(dissect(frame)).toMatchObject({
            source: MAC_A,
            destination: MAC_B,
            ip: { source, destination, protocol, ttl: 64 },
            ports: { source: sourcePort, destination: destinationPort },
            body,
          });
        }
      }),
    );
  });

  test('a UDP checksum that comes to zero is sent as all ones', () => {
    const fields = { source: '0.0.0.0', destination: '0.0.0.0', sourcePort: 0, destinationPort: 0 };
    // 17 + 10 + 10 for protocol and lengths; the payload fills up to 0xffff
    const filled = udp(fields, Buffer.from([0xff, 0xff - 37]));
    expect(filled.readUInt16BE(6)).toBe(0xffff);
  });

  test('TCP flags are where RFC 9293 has them', () => {
    const fields = { source: '1.1.1.1', destination: '2.2.2.2', sourcePort: 1, destinationPort: 2 };
    expect(tcp({ ...fields, flags: ['syn', 'ack'] }).readUInt16BE(12)).toBe(0x5012);
  });

  test('ICMP: an echo, and an error that quotes the packet it is about', () => {
    expect(checksum(icmpEcho(8, 0x1234, 7, Buffer.from('hello')))).toBe(0);
    expect(hex(icmpEcho(0, 0xffff, 1).subarray(4))).toBe('ffff0001');
    const about = ipv4({ source: '10.0.0.1', destination: '10.0.0.2', protocol: 6 }, Buffer.alloc(100, 1));
    const error = icmpError(ICMP.unreachable, 4, 1280, about);
    expect(error.length).toBe(8 + 20 + 8);
    expect(error.readUInt32BE(4)).toBe(1280);
    expect(dissectIp(error.subarray(8))).toMatchObject({ source: '10.0.0.1', destination: '10.0.0.2' });
    expect(icmp(5, 1, 0xc0a80901)[4]).toBe(0xc0);
  });

  test('ICMPv6 in IPv6 sums up with its pseudo header', () => {
    const between = { source: 'fe80::1', destination: 'ff02::1' };
    const message = icmpv6(between, 128, 0, Buffer.from([0, 1, 0, 2]));
    const packet = ipv6({ ...between, nextHeader: PROTOCOL.icmpv6, hopLimit: 255 }, message);
    expect(dissectIp(packet)).toMatchObject({ ...between, protocol: 58, ttl: 255 });
    const pseudo = Buffer.concat([packet.subarray(8, 40), Buffer.from([0, 0, 0, message.length, 0, 0, 0, 58])]);
    expect(checksum(pseudo, message)).toBe(0);
  });
});

describe('around IP', () => {
  test('ARP has the layout of RFC 826', () => {
    const request = arp({ operation: 'request', senderMac: MAC_A, senderIp: '10.0.0.1', targetIp: '10.0.0.2' });
    expect(hex(request)).toBe('0001080006040001' + '02000000000a0a000001' + '0000000000000a000002');
    const frame = ethernet({ source: MAC_A, destination: BROADCAST, type: ETHERTYPE.arp }, request);
    expect(dissect(frame).arp).toEqual({ operation: 1, senderMac: MAC_A, senderIp: '10.0.0.1' });
  });

  test('VXLAN has the header of RFC 7348', () => {
    expect(hex(vxlan(0x42abcd, Buffer.from([0xee])))).toBe('0800000042abcd00ee');
  });
});

test('reading never fails, whatever is heard', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x0800, 0x0806, 0x86dd), (bytes, type) => {
      dissect(ethernet({ source: MAC_A, destination: MAC_B, type }, bytes));
      dissect(Buffer.from(bytes));
    }),
  );
});
