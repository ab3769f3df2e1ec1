/**
 * Who an address is, looked up into the packet's priority, which forwarding had set from its type of service; and how it gets that
 * back. Pure.
 */
import { type Field, ipDscp } from '../../codecs/nftables/field.ts';
import { maskedTo, match } from '../../codecs/nftables/match.ts';
import { accept, drop, setMeta, setMetaFromMap } from '../../codecs/nftables/statement.ts';
import { chain, type Line } from './chain-spec.ts';
import { SETS } from './sets.ts';

/** The two bits of an IPv4 packet's type of service from which forwarding derives its priority. */
const typeOfService: Field = { ...ipDscp, mask: Uint8Array.of(0x18) };
/**
 * Those bits, and TC_PRIO_BESTEFFORT, _BULK, _INTERACTIVE or _INTERACTIVE_BULK.
 * @see include/uapi/linux/pkt_sched.h; net/ipv4/route.c, ip_tos2prio
 */
const TYPE_OF_SERVICE = [
  [0x00, 0],
  [0x08, 2],
  [0x10, 6],
  [0x18, 4],
] as const;
/** Where packets go on to others' rules. */
export const LEAVE = chain('leave', [
  ...TYPE_OF_SERVICE.map(
    ([bits, was]): Line => [
      'give the packet the priority it had',
      match(typeOfService, bits),
      setMeta('priority', was),
      accept,
    ],
  ),
  ['not IPv4', drop],
]);

/**
 * Rules that look up the identity of an address: none; that of its block; its own. The tenant of an address is that of its block, and
 * without a block its own identity.
 */
export function identification(blockPrefixLength: number) {
  const none = (comment: string): Line => [comment, setMeta('priority', 0)];
  const byBlock = (address: Field, comment: string): Line => [
    `${comment}: by block`,
    setMetaFromMap('priority', [maskedTo(address, blockPrefixLength)], SETS.block),
  ];
  const byAddress = (address: Field, comment: string): Line => [
    `${comment}: by address`,
    setMetaFromMap('priority', [address], SETS.identity),
  ];
  return {
    identify: (address: Field, comment: string) => [
      none(comment),
      byBlock(address, comment),
      byAddress(address, comment),
    ],
    identifyTenant: (address: Field, comment: string) => [
      none(comment),
      byAddress(address, comment),
      byBlock(address, comment),
    ],
  };
}
