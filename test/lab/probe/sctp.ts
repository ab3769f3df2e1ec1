/** SCTP packets as bytes, as far as the first two messages of an association go: kernels here have no SCTP of their own. Pure. */

/** CRC-32C, reflected. @see RFC 9260 appendix A */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value >>> 0;
});

/** @returns u32 */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** @see RFC 9260 section 3.2 */
export const CHUNK = { init: 1, initAck: 2, abort: 6 } as const;
const COMMON_HEADER = 12;
/** @see RFC 9260 section 3.3.3.1: a cookie that the caller will not send back */
const STATE_COOKIE = Buffer.from([0, 7, 0, 8, 0x74, 0x6e, 0x65, 0x74]);

export interface SctpFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** the receiver's, 0 for INIT alone */
  readonly verificationTag: number;
}

/** INIT, or the answer to one. @param initiateTag the sender's own tag, not 0 @see RFC 9260 sections 3.3.2 and 3.3.3 */
export function sctpInit(fields: SctpFields, type: 1 | 2, initiateTag: number): Buffer {
  const cookie = type === CHUNK.initAck ? STATE_COOKIE : Buffer.alloc(0);
  const bytes = Buffer.concat([Buffer.alloc(COMMON_HEADER + 20), cookie]);
  bytes.writeUInt16BE(fields.sourcePort, 0);
  bytes.writeUInt16BE(fields.destinationPort, 2);
  bytes.writeUInt32BE(fields.verificationTag >>> 0, 4);
  bytes.writeUInt8(type, COMMON_HEADER);
  bytes.writeUInt16BE(bytes.length - COMMON_HEADER, COMMON_HEADER + 2);
  bytes.writeUInt32BE(initiateTag >>> 0, COMMON_HEADER + 4);
  bytes.writeUInt32BE(65_536, COMMON_HEADER + 8);
  bytes.writeUInt16BE(1, COMMON_HEADER + 12);
  bytes.writeUInt16BE(1, COMMON_HEADER + 14);
  bytes.writeUInt32BE(1, COMMON_HEADER + 16);
  bytes.writeUInt32LE(crc32c(bytes), 8);
  return bytes;
}

export interface SctpHead extends SctpFields {
  /** of the first chunk */
  readonly type: number;
  /** of INIT and INIT ACK, else 0 */
  readonly initiateTag: number;
}

/** @param bytes what follows the IP header @returns undefined if it is too short to be one, or its checksum is wrong */
export function readSctp(bytes: Buffer): SctpHead | undefined {
  if (bytes.length < COMMON_HEADER + 4) return undefined;
  const unsummed = Buffer.from(bytes);
  unsummed.writeUInt32LE(0, 8);
  if (crc32c(unsummed) !== bytes.readUInt32LE(8)) return undefined;
  const type = bytes.readUInt8(COMMON_HEADER);
  const isInit = (type === CHUNK.init || type === CHUNK.initAck) && bytes.length >= COMMON_HEADER + 20;
  return {
    sourcePort: bytes.readUInt16BE(0),
    destinationPort: bytes.readUInt16BE(2),
    verificationTag: bytes.readUInt32BE(4),
    type,
    initiateTag: isInit ? bytes.readUInt32BE(COMMON_HEADER + 4) : 0,
  };
}
