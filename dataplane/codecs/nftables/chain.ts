/**
 * Chains: base chains, which a netfilter hook calls, and those that only rules jump to. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h, enum nft_chain_attributes
 */
import { CodecError } from '../../errors.ts';
import type { Attribute } from '../../netlink/attribute.ts';
import type { ByteWriter } from '../../netlink/bytes.ts';
import { familyNumber, parseNftPayload, required, type TableRef, writeNftMessage } from './nfnetlink.ts';
import * as nft from './uapi.ts';

const HOOKS = {
  prerouting: nft.NF_INET_PRE_ROUTING,
  input: nft.NF_INET_LOCAL_IN,
  forward: nft.NF_INET_FORWARD,
  output: nft.NF_INET_LOCAL_OUT,
  postrouting: nft.NF_INET_POST_ROUTING,
} as const;
const CHAIN_TYPES = ['filter', 'nat', 'route'] as const;

/** What makes a chain a base chain. A lower priority is called earlier; conntrack sits at -200, NAT at -100 and 100. */
export interface ChainHook {
  readonly type: (typeof CHAIN_TYPES)[number];
  readonly hook: keyof typeof HOOKS;
  readonly priority: number;
  /** what becomes of a packet that no rule decides */
  readonly policy: 'accept' | 'drop';
}

export interface Chain extends TableRef {
  readonly chain: string;
  readonly base?: ChainHook;
}

/** A chain as the kernel has it. */
export interface ObservedChain extends Chain {
  readonly handle: bigint;
}

/** Appends NFT_MSG_NEWCHAIN. @param flags NLM_F_* */
export function writeNewChain(
  out: ByteWriter,
  type: number,
  flags: number,
  { family, table, chain, base }: Chain,
): void {
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(nft.NFTA_CHAIN_TABLE, table).string(nft.NFTA_CHAIN_NAME, chain);
    if (base === undefined) return;
    attributes.string(nft.NFTA_CHAIN_TYPE, base.type);
    attributes.u32be(nft.NFTA_CHAIN_POLICY, base.policy === 'accept' ? nft.NF_ACCEPT : nft.NF_DROP);
    attributes.nested(nft.NFTA_CHAIN_HOOK, (hook) => {
      hook.u32be(nft.NFTA_HOOK_HOOKNUM, HOOKS[base.hook]).u32be(nft.NFTA_HOOK_PRIORITY, base.priority);
    });
  });
}

/** Appends a message that only names a chain: a deletion. */
export function writeChainName(out: ByteWriter, type: number, flags: number, { family, table, chain }: Chain): void {
  writeNftMessage(out, type, flags, familyNumber(family), (attributes) => {
    attributes.string(nft.NFTA_CHAIN_TABLE, table).string(nft.NFTA_CHAIN_NAME, chain);
  });
}

/** @returns undefined for a chain of a family not used here @throws CodecError */
export function parseChain(payload: Uint8Array): ObservedChain | undefined {
  const { family, attributes } = parseNftPayload(payload);
  if (family === undefined) return undefined;
  const base = parseHook(attributes);
  return {
    family,
    table: required(attributes, nft.NFTA_CHAIN_TABLE, 'the table of a chain').string(),
    chain: required(attributes, nft.NFTA_CHAIN_NAME, 'the name of a chain').string(),
    handle: attributes.get(nft.NFTA_CHAIN_HANDLE)?.u64be() ?? 0n,
    ...(base === undefined ? {} : { base }),
  };
}

function parseHook(attributes: ReadonlyMap<number, Attribute>): ChainHook | undefined {
  const nested = attributes.get(nft.NFTA_CHAIN_HOOK);
  if (nested === undefined) return undefined;
  const inner = nested.nested();
  const number = required(inner, nft.NFTA_HOOK_HOOKNUM, 'the number of a hook').u32be();
  const hook = (Object.keys(HOOKS) as (keyof typeof HOOKS)[]).find((name) => HOOKS[name] === number);
  const typeName = required(attributes, nft.NFTA_CHAIN_TYPE, 'the type of a base chain').string();
  const type = CHAIN_TYPES.find((name) => name === typeName);
  if (hook === undefined || type === undefined) {
    throw new CodecError(`a chain at a known hook, got type ${typeName}, hook ${number}`, nested.offset);
  }
  const priority = required(inner, nft.NFTA_HOOK_PRIORITY, 'the priority of a hook').u32be() | 0;
  const policy = attributes.get(nft.NFTA_CHAIN_POLICY)?.u32be() === nft.NF_DROP ? 'drop' : 'accept';
  return { type, hook, priority, policy };
}
