/**
 * Puts rules together from parts, as nft does from words: each part becomes expressions, and what a part takes for granted (an
 * IPv4 packet, an Ethernet header, TCP) is checked once, before it, unless the rule already made sure. Pure.
 * @see nftables 1.0.6, src/payload.c (payload_gen_dependency)
 */
import { CodecError } from '../../errors.ts';
import type { Expression } from './expression.ts';
import {
  NFT_CMP_EQ,
  NFT_META_IIFTYPE,
  NFT_META_L4PROTO,
  NFT_META_NFPROTO,
  NFT_PAYLOAD_LL_HEADER,
} from './expression-uapi.ts';
import type { TableRef } from './nfnetlink.ts';
import type { Rule } from './rule.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6, NFT_REG_1, NFT_REG32_00, NFT_REG32_COUNT } from './uapi.ts';

/** What a packet has to be for a field to mean anything. `transport` is an IPPROTO number. */
export type Requirement =
  | { readonly layer: 'link'; readonly protocol: 'ether' }
  | { readonly layer: 'network'; readonly protocol: 'ip' | 'ip6' }
  | { readonly layer: 'transport'; readonly protocol: number };

/** What the rule has made sure of so far. */
export class RuleContext {
  #link: Requirement['protocol'] | undefined;
  #network: Requirement['protocol'] | undefined;
  #transport: Requirement['protocol'] | undefined;

  /**
   * Notes that the packet is of a protocol.
   * @returns false if that was known
   * @throws CodecError if it is known to be of another: the rule could never match
   */
  learn({ layer, protocol }: Requirement): boolean {
    const known = { link: this.#link, network: this.#network, transport: this.#transport }[layer];
    if (known === protocol) return false;
    if (known !== undefined) throw new CodecError(`a rule about one ${layer} protocol, got ${known} and ${protocol}`);
    if (layer === 'link') this.#link = protocol;
    else if (layer === 'network') this.#network = protocol;
    else this.#transport = protocol;
    return true;
  }

  /** The comparisons that ensure what the rule has not made sure of yet. */
  ensure(requirements: readonly Requirement[]): Expression[] {
    return requirements.flatMap((requirement) => {
      const ethernet = this.#link !== undefined;
      return this.learn(requirement) ? check(requirement, ethernet) : [];
    });
  }
}

/** A piece of a rule: expressions, given what is known when its turn comes. */
export type RulePart = (context: RuleContext) => readonly Expression[];

/** The expressions of a rule made of these parts. @throws CodecError if they contradict each other */
export function assemble(...parts: readonly RulePart[]): Expression[] {
  const context = new RuleContext();
  return parts.flatMap((part) => part(context));
}

/** A rule of a chain. @throws CodecError if the parts contradict each other */
export function buildRule(
  { family, table, chain }: TableRef & { readonly chain: string },
  parts: readonly RulePart[],
  comment?: string,
): Rule {
  return { family, table, chain, expressions: assemble(...parts), ...(comment === undefined ? {} : { comment }) };
}

/**
 * The register that begins at a 32-bit word, 0 to 15, as nft and the kernel write it: the four 16-byte registers have numbers of
 * their own.
 * @throws CodecError past the last
 */
export function register(word: number): number {
  if (word < 0 || word >= NFT_REG32_COUNT) throw new CodecError(`a register word from 0 to 15, got ${word}`);
  return word % 4 === 0 ? NFT_REG_1 + word / 4 : NFT_REG32_00 + word;
}

const ARPHRD_ETHER = 1;
const ETHERTYPES = { ip: [0x08, 0x00], ip6: [0x86, 0xdd] } as const;
/** offset and length of the type in an Ethernet header */
const ETHERTYPE = { base: NFT_PAYLOAD_LL_HEADER, offset: 12, length: 2 } as const;

/** @param ethernet the packet is known to have an Ethernet header, whose type tells the network protocol */
function check(requirement: Requirement, ethernet: boolean): Expression[] {
  const dreg = register(0);
  const equals = (...data: number[]): Expression => ({
    kind: 'cmp',
    op: NFT_CMP_EQ,
    sreg: dreg,
    data: Uint8Array.from(data),
  });
  switch (requirement.layer) {
    case 'link':
      return [{ kind: 'meta', key: NFT_META_IIFTYPE, dreg }, equals(ARPHRD_ETHER, 0)];
    case 'network':
      if (ethernet) return [{ kind: 'payload', ...ETHERTYPE, dreg }, equals(...ETHERTYPES[requirement.protocol])];
      return [
        { kind: 'meta', key: NFT_META_NFPROTO, dreg },
        equals(requirement.protocol === 'ip' ? NFPROTO_IPV4 : NFPROTO_IPV6),
      ];
    case 'transport':
      return [{ kind: 'meta', key: NFT_META_L4PROTO, dreg }, equals(requirement.protocol)];
  }
}
