/**
 * The frame of an nf_tables message: netlink header, `struct nfgenmsg`, attributes. Knows the subsystem and nothing of what the
 * messages say. Pure.
 * @see include/uapi/linux/netfilter/nfnetlink.h
 */
import { CodecError } from '../../errors.ts';
import { type Attribute, type AttributeWriter, parseAttributes } from '../../netlink/attribute.ts';
import type { ByteWriter } from '../../netlink/bytes.ts';
import { writeMessage } from '../../netlink/message.ts';
import { NFNETLINK_V0, NFNL_SUBSYS_NFTABLES, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 } from './uapi.ts';

/** struct nfgenmsg */
const NFGENMSG_LENGTH = 4;

/** Families a table can have here, under nft's names. */
export type TableFamily = 'inet' | 'ip' | 'ip6';

const FAMILY_NUMBERS: Readonly<Record<TableFamily, number>> = {
  inet: NFPROTO_INET,
  ip: NFPROTO_IPV4,
  ip6: NFPROTO_IPV6,
};
const FAMILY_NAMES = new Map(Object.entries(FAMILY_NUMBERS).map(([name, number]) => [number, name as TableFamily]));

/** @returns NFPROTO_* */
export function familyNumber(family: TableFamily): number {
  return FAMILY_NUMBERS[family];
}

/** A table, and whose table anything else is. */
export interface TableRef {
  readonly family: TableFamily;
  readonly table: string;
}

/** `nlmsg_type` of an nf_tables message. @param type NFT_MSG_* */
export function messageType(type: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | type;
}

/**
 * Appends one nf_tables message.
 * @param type NFT_MSG_*
 * @param flags NLM_F_*; NLM_F_REQUEST is added
 * @param family NFPROTO_*, 0 for any
 */
export function writeNftMessage(
  out: ByteWriter,
  type: number,
  flags: number,
  family: number,
  body: (attributes: AttributeWriter) => void,
): void {
  writeMessage(out, messageType(type), flags, (attributes) => {
    out.u8(family).u8(NFNETLINK_V0).u16be(0);
    body(attributes);
  });
}

/** What follows the netlink header: the family by name (undefined for one not used here) and the attributes by type. */
export interface NftPayload {
  readonly family: TableFamily | undefined;
  readonly attributes: ReadonlyMap<number, Attribute>;
}

/** @throws CodecError on a payload that is no nfgenmsg with attributes */
export function parseNftPayload(payload: Uint8Array): NftPayload {
  const family = payload[0];
  if (family === undefined || payload.length < NFGENMSG_LENGTH) throw new CodecError('a struct nfgenmsg');
  return { family: FAMILY_NAMES.get(family), attributes: parseAttributes(payload, NFGENMSG_LENGTH) };
}

/** The attribute, which has to be there. @throws CodecError naming `what` if it is not */
export function required(attributes: ReadonlyMap<number, Attribute>, type: number, what: string): Attribute {
  const attribute = attributes.get(type);
  if (attribute === undefined) throw new CodecError(`an attribute ${type}, ${what}`);
  return attribute;
}
