/**
 * One table twice: as nft's text, and as a transaction of ours that has to come to the same. It uses what Tenet's rules use, for
 * both families, and anonymous sets besides. Data only.
 */

import { parsePrefix } from '../../../../dataplane/address.ts';
import type { Batch } from '../../../../dataplane/codecs/nftables/batch.ts';
import type { Chain } from '../../../../dataplane/codecs/nftables/chain.ts';
import * as field from '../../../../dataplane/codecs/nftables/field.ts';
import {
  ctState,
  inSet,
  ipHeaderLength,
  maskedTo,
  match,
  matchNot,
  matchPrefix,
} from '../../../../dataplane/codecs/nftables/match.ts';
import { buildRule } from '../../../../dataplane/codecs/nftables/rule-builder.ts';
import type { NftSet } from '../../../../dataplane/codecs/nftables/set.ts';
import { accept, drop, masquerade, setMeta, setMetaFromMap } from '../../../../dataplane/codecs/nftables/statement.ts';
import { NFPROTO_IPV4 } from '../../../../dataplane/codecs/nftables/uapi.ts';

export const SAMPLE_TABLE_TEXT = `
table inet tenet {
 map identity4 { type ipv4_addr : classid; size 65536; elements = { 10.129.0.1 : 42:0 } }
 map block4 { type ipv4_addr : classid; size 65536; }
 set guard4 { type ifname . ether_addr . ipv4_addr; size 65536; }
 set overlay_guard { type ifname . classid; }
 set egress_any { type classid . ifname; }
 set links4 { type ifname . ipv4_addr; }
 set exceptions4 { type ipv4_addr . inet_proto . inet_service; }
 set nodes4 { type ipv4_addr . ether_addr; }
 set uplinks { type ifname; }
 map identity6 { type ipv6_addr : classid; size 65536; }
 map block6 { type ipv6_addr : classid; size 65536; }
 set guard6 { type ifname . ether_addr . ipv6_addr; size 65536; }
 set links6 { type ifname . ipv6_addr; }
 chain prerouting { type filter hook prerouting priority -300; policy accept;
   iifgroup 0x7e4f iifname . ether saddr . ip saddr @guard4 ip hdrlength 5 accept comment "x"
   iifgroup 0x7e4f iifname . ether saddr . ip6 saddr @guard6 accept
   meta nfproto ipv4 drop
   iifname "tnp*" drop
   ip saddr . ether saddr @nodes4 accept
   iifname @uplinks accept
 }
 chain forward { type filter hook forward priority -300; policy accept;
   meta priority set 0:0
   meta priority set ip daddr & 255.255.255.224 map @block4
   meta priority set ip daddr map @identity4
   meta priority set ip6 daddr & ffff:ffff:ffff:ffff:: map @block6
   meta priority set ip6 daddr map @identity6
   ct direction reply ct state established,related iifname . ct reply ip saddr @links4 accept
   ct direction reply ct state established,related iifname . ct reply ip6 saddr @links6 accept
   meta priority . iifname @egress_any accept
   iifname . meta priority @overlay_guard accept
   ip daddr . meta l4proto . th dport @exceptions4 accept
   meta priority set ip dscp map { 0x02 : 0:2, 0x04 : 0:6 }
   icmp type { destination-unreachable, time-exceeded } ct state invalid drop
 }
 chain postrouting { type nat hook postrouting priority 100; policy accept;
   oifgroup != 0x7e4f ip saddr 10.128.0.0/9 masquerade
   oifgroup != 0x7e4f ip6 saddr fd00::/9 masquerade
 }
}
`;

export const TABLE = { family: 'inet', table: 'tenet' } as const;
const SIZE = 65536;

export const IDENTITY4: NftSet = { ...TABLE, name: 'identity4', key: ['ipv4_addr'], data: 'classid', size: SIZE };
const BLOCK4: NftSet = { ...TABLE, name: 'block4', key: ['ipv4_addr'], data: 'classid', size: SIZE };
export const GUARD4: NftSet = { ...TABLE, name: 'guard4', key: ['ifname', 'ether_addr', 'ipv4_addr'], size: SIZE };
const OVERLAY_GUARD: NftSet = { ...TABLE, name: 'overlay_guard', key: ['ifname', 'classid'] };
const EGRESS_ANY: NftSet = { ...TABLE, name: 'egress_any', key: ['classid', 'ifname'] };
const LINKS4: NftSet = { ...TABLE, name: 'links4', key: ['ifname', 'ipv4_addr'] };
const EXCEPTIONS4: NftSet = { ...TABLE, name: 'exceptions4', key: ['ipv4_addr', 'inet_proto', 'inet_service'] };
const NODES4: NftSet = { ...TABLE, name: 'nodes4', key: ['ipv4_addr', 'ether_addr'] };
const UPLINKS: NftSet = { ...TABLE, name: 'uplinks', key: ['ifname'] };
const IDENTITY6: NftSet = { ...TABLE, name: 'identity6', key: ['ipv6_addr'], data: 'classid', size: SIZE };
const BLOCK6: NftSet = { ...TABLE, name: 'block6', key: ['ipv6_addr'], data: 'classid', size: SIZE };
const GUARD6: NftSet = { ...TABLE, name: 'guard6', key: ['ifname', 'ether_addr', 'ipv6_addr'], size: SIZE };
const LINKS6: NftSet = { ...TABLE, name: 'links6', key: ['ifname', 'ipv6_addr'] };

/** In the order of the text. */
const SETS: readonly NftSet[] = [
  IDENTITY4,
  BLOCK4,
  GUARD4,
  OVERLAY_GUARD,
  EGRESS_ANY,
  LINKS4,
  EXCEPTIONS4,
  NODES4,
  UPLINKS,
  IDENTITY6,
  BLOCK6,
  GUARD6,
  LINKS6,
];

const PREROUTING: Chain = {
  ...TABLE,
  chain: 'prerouting',
  base: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' },
};
export const FORWARD: Chain = {
  ...TABLE,
  chain: 'forward',
  base: { type: 'filter', hook: 'forward', priority: -300, policy: 'accept' },
};
const POSTROUTING: Chain = {
  ...TABLE,
  chain: 'postrouting',
  base: { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' },
};
const CHAINS: readonly Chain[] = [PREROUTING, FORWARD, POSTROUTING];

const POD_GROUP = 0x7e4f;
/** the way of numbers on the wire: the code point is above the two ECN bits */
const DSCP = (codePoint: number) => codePoint << 2;
const ICMP_DEST_UNREACH = 3;
const ICMP_TIME_EXCEEDED = 11;

/** Puts the whole table into a batch. */
export function addSampleTable(batch: Batch): void {
  batch.addTable(TABLE);
  for (const chain of CHAINS) batch.addChain(chain);
  for (const set of SETS) batch.addSet(set);
  batch.addElements(IDENTITY4, [{ key: ['10.129.0.1'], data: 0x42 << 16 }]);
  addPrerouting(batch);
  addForward(batch);
  for (const source of [
    matchPrefix(field.ipSaddr, parsePrefix('10.128.0.0/9')),
    matchPrefix(field.ip6Saddr, parsePrefix('fd00::/9')),
  ]) {
    batch.addRule(buildRule(POSTROUTING, [matchNot(field.oifgroup, POD_GROUP), source, masquerade]));
  }
}

function addPrerouting(batch: Batch): void {
  const { iifgroup, iifname, etherSaddr, ipSaddr, ip6Saddr, nfproto } = field;
  const fromPod = match(iifgroup, POD_GROUP);
  const guarded4 = inSet([iifname, etherSaddr, ipSaddr], GUARD4);
  batch.addRule(buildRule(PREROUTING, [fromPod, guarded4, ipHeaderLength(5), accept], 'x'));
  batch.addRule(buildRule(PREROUTING, [fromPod, inSet([iifname, etherSaddr, ip6Saddr], GUARD6), accept]));
  batch.addRule(buildRule(PREROUTING, [match(nfproto, NFPROTO_IPV4), drop]));
  batch.addRule(buildRule(PREROUTING, [match(iifname, 'tnp*'), drop]));
  batch.addRule(buildRule(PREROUTING, [inSet([ipSaddr, etherSaddr], NODES4), accept]));
  batch.addRule(buildRule(PREROUTING, [inSet([iifname], UPLINKS), accept]));
}

function addForward(batch: Batch): void {
  const { iifname, ipDaddr, ip6Daddr, priority, ctDirection, ctIpSaddr, ctIp6Saddr, l4proto, thDport } = field;
  const answer = [match(ctDirection, field.CT_DIRECTIONS.reply), ctState('established', 'related')];
  const add = (...parts: Parameters<typeof buildRule>[1]) => batch.addRule(buildRule(FORWARD, parts));
  add(setMeta('priority', 0));
  add(setMetaFromMap('priority', [maskedTo(ipDaddr, 27)], BLOCK4));
  add(setMetaFromMap('priority', [ipDaddr], IDENTITY4));
  add(setMetaFromMap('priority', [maskedTo(ip6Daddr, 64)], BLOCK6));
  add(setMetaFromMap('priority', [ip6Daddr], IDENTITY6));
  add(...answer, inSet([iifname, ctIpSaddr('reply')], LINKS4), accept);
  add(...answer, inSet([iifname, ctIp6Saddr('reply')], LINKS6), accept);
  add(inSet([priority, iifname], EGRESS_ANY), accept);
  add(inSet([iifname, priority], OVERLAY_GUARD), accept);
  add(inSet([ipDaddr, l4proto, thDport], EXCEPTIONS4), accept);
  const classes = batch.addAnonymousSet({ ...TABLE, key: ['dscp'], data: 'classid' }, [
    { key: [DSCP(2)], data: 2 },
    { key: [DSCP(4)], data: 6 },
  ]);
  add(setMetaFromMap('priority', [field.ipDscp], classes));
  const errors = batch.addAnonymousSet({ ...TABLE, key: ['icmp_type'] }, [
    { key: [ICMP_DEST_UNREACH] },
    { key: [ICMP_TIME_EXCEEDED] },
  ]);
  add(inSet([field.icmpType], errors), ctState('invalid'), drop);
}
