/** Whether the source of a packet is one that its link may send from: of a pod link its own, of an overlay the tenant's. Pure. */
import { etherSaddr, iifname, ipSaddr, ipTtl, priority } from '../../codecs/nftables/field.ts';
import { compare, inSet, ipHeaderLength } from '../../codecs/nftables/match.ts';
import { accept, drop } from '../../codecs/nftables/statement.ts';
import type { RuleSetItem } from '../../state.ts';
import { type ChainSpec, chain } from './chain-spec.ts';
import { identification } from './identity.ts';
import { SETS } from './sets.ts';

/** Chains that prerouting goes to. */
export function sourceChains(item: RuleSetItem): ChainSpec[] {
  const { identifyTenant } = identification(item.blockPrefixLength.v4);
  return [
    chain('pod_source', [
      // Before any route is looked up: who gets "time exceeded" for an address learns that the node knows it.
      ['TTL too small to be forwarded', compare(ipTtl, '<', 2), drop],
      [
        'the pod’s own address and MAC, no IP options',
        inSet([iifname, etherSaddr, ipSaddr], SETS.guard),
        ipHeaderLength(5),
        accept,
      ],
      ['forged, or not IPv4', drop],
    ]),
    chain('overlay_source', [
      ...identifyTenant(ipSaddr, 'identity of the sender'),
      [
        'a sender of this overlay, no IP options',
        inSet([iifname, priority], SETS.overlaySource),
        ipHeaderLength(5),
        accept,
      ],
      ['forged, or not IPv4', drop],
    ]),
  ];
}
