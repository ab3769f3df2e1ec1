/** SCTP's bytes against known values of its checksum, and read back. */
import { describe, expect, test } from 'vitest';
import { CHUNK, crc32c, readSctp, sctpInit } from './sctp.ts';

describe('CRC-32C', () => {
  // RFC 3720 appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
  test.each([
    ['123456789', Buffer.from('123456789'), 0xe3069283],
    ['32 bytes of 0', Buffer.alloc(32), 0x8a9136aa],
    ['32 bytes of 255', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
  ])('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });
});

describe('an SCTP packet', () => {
  const ports = { sourcePort: 40_000, destinationPort: 80 };

  test('INIT is read back', () => {
    const bytes = sctpInit({ ...ports, verificationTag: 0 }, CHUNK.init, 0xdeadbeef);
    expect(bytes).toHaveLength(32);
    expect(readSctp(bytes)).toEqual({ ...ports, verificationTag: 0, type: CHUNK.init, initiateTag: 0xdeadbeef });
  });

  test('INIT ACK carries a cookie, as it must', () => {
    const bytes = sctpInit({ ...ports, verificationTag: 5 }, CHUNK.initAck, 7);
    expect(bytes.readUInt16BE(14)).toBe(28);
    expect(bytes.readUInt16BE(32)).toBe(7);
    expect(readSctp(bytes)?.verificationTag).toBe(5);
  });

  test('is nothing with a wrong checksum, or cut short', () => {
    const bytes = sctpInit({ ...ports, verificationTag: 0 }, CHUNK.init, 1);
    expect(readSctp(bytes.subarray(0, 15))).toBeUndefined();
    bytes.writeUInt8(2, 31);
    expect(readSctp(bytes)).toBeUndefined();
  });
});
