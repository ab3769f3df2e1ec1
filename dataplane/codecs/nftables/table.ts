/**
 * Tables: writing and reading their messages. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_table_attributes
 */
import type { ByteWriter } from '../../netlink/bytes.ts';
import { familyNumber, parseNftPayload, required, type TableRef, writeNftMessage } from './nfnetlink.ts';
import { NFT_TABLE_F_DORMANT, NFTA_TABLE_FLAGS, NFTA_TABLE_HANDLE, NFTA_TABLE_NAME } from './uapi.ts';

/** A table as the kernel has it. */
export interface ObservedTable extends TableRef {
  readonly handle: bigint;
  /** no packet meets its chains */
  readonly dormant: boolean;
}

/** Appends NFT_MSG_NEWTABLE. @param type NFT_MSG_* @param flags NLM_F_* */
export function writeNewTable(
  out: ByteWriter,
  type: number,
  flags: number,
  { family, table }: TableRef,
  dormant = false,
): void {
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(NFTA_TABLE_NAME, table).u32be(NFTA_TABLE_FLAGS, dormant ? NFT_TABLE_F_DORMANT : 0);
  });
}

/** Appends a message that only names a table: a get, a deletion with all that is inside. */
export function writeTableName(out: ByteWriter, type: number, flags: number, { family, table }: TableRef): void {
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(NFTA_TABLE_NAME, table);
  });
}

/** @returns undefined for a table of a family not used here @throws CodecError */
export function parseTable(payload: Uint8Array): ObservedTable | undefined {
  const { family, attributes } = parseNftPayload(payload);
  if (family === undefined) return undefined;
  return {
    family,
    table: required(attributes, NFTA_TABLE_NAME, 'the name of a table').string(),
    handle: attributes.get(NFTA_TABLE_HANDLE)?.u64be() ?? 0n,
    dormant: ((attributes.get(NFTA_TABLE_FLAGS)?.u32be() ?? 0) & NFT_TABLE_F_DORMANT) !== 0,
  };
}
