/**
 * Parts of rules that do something: verdicts, counters, metadata set from constants and maps, logging, masquerading. Pure.
 * @see include/uapi/linux/netfilter/nf_tables.h
 */
import type { Verdict } from './data.ts';
import type { FieldValue } from './data-type.ts';
import type { ConnectionLimit, Expression, Limit, Log } from './expression.ts';
import * as nft from './expression-uapi.ts';
import { type Field, mark, priority, thSport } from './field.ts';
import { encodeValue, loadConcatenation, lookup } from './match.ts';
import { type RulePart, register } from './rule-builder.ts';
import type { NftSet } from './set.ts';
import { NFT_REG_VERDICT } from './uapi.ts';

function statement(expression: Expression): RulePart {
  return () => [expression];
}

function verdict(verdict: Verdict): RulePart {
  return statement({ kind: 'verdict', verdict });
}

/** The packet passes this hook; later base chains still see it. */
export const accept = verdict({ kind: 'accept' });
export const drop = verdict({ kind: 'drop' });
/** Back to the rule behind the jump, or to the policy of a base chain. */
export const returnFromChain = verdict({ kind: 'return' });

/** To another chain of the table, and back when that ends. */
export function jump(chain: string): RulePart {
  return verdict({ kind: 'jump', chain });
}

/** To another chain of the table, for good. */
export function goto(chain: string): RulePart {
  return verdict({ kind: 'goto', chain });
}

/** Packets and bytes from 0. */
export const counter = statement({ kind: 'counter', packets: 0n, bytes: 0n });
/** No connection tracking for the packet; only before priority -200. */
export const notrack = statement({ kind: 'notrack' });
/** Only in a NAT chain at postrouting. */
export const masquerade = statement({ kind: 'masq' });

/**
 * `masquerade to :61000-65535 fully-random`: the source port, or an ICMP query's identifier, is a random one of these. Only after a match
 * of the transport protocol, as nft wants it.
 */
export function masqueradeToPorts(from: number, to: number): RulePart {
  const [protoMin, protoMax] = [register(0), register(4)];
  const flags = nft.NF_NAT_RANGE_PROTO_SPECIFIED | nft.NF_NAT_RANGE_PROTO_RANDOM_FULLY;
  return () => [
    { kind: 'immediate', dreg: protoMin, data: encodeValue(thSport, from) },
    { kind: 'immediate', dreg: protoMax, data: encodeValue(thSport, to) },
    { kind: 'masq', flags, protoMin, protoMax },
  ];
}
/** Answers `administratively prohibited`, ICMP or ICMPv6. */
export const rejectAdminProhibited = statement({
  kind: 'reject',
  type: nft.NFT_REJECT_ICMPX_UNREACH,
  code: nft.NFT_REJECT_ICMPX_ADMIN_PROHIBITED,
});

const UNIT_SECONDS = { second: 1n, minute: 60n, hour: 3600n, day: 86400n } as const;

/**
 * Goes on for so many packets in a time.
 * @param burst packets let through at once
 */
export function limit(packets: number, per: keyof typeof UNIT_SECONDS, burst = 5): RulePart {
  return statement({
    kind: 'limit',
    rate: BigInt(packets),
    unitSeconds: UNIT_SECONDS[per],
    burst,
    type: nft.NFT_LIMIT_PKTS,
    inverted: false,
  });
}

/**
 * `add @flows { iifname ct count over 128 }`: goes on where the element of these fields has more than so many connections, this one
 * included. What is over is not counted any longer once the packet is dropped.
 * @param set that rules add to
 */
export function overConnections(fields: readonly Field[], set: NftSet, count: number): RulePart {
  return addToSet(fields, set, { kind: 'connlimit', count, inverted: true });
}

/** `add @rations { iifname limit rate over 10/second burst 10 packets }`: goes on for what is over the rate of its element. */
export function overRate(fields: readonly Field[], set: NftSet, perSecond: number): RulePart {
  const rate = { rate: BigInt(perSecond), unitSeconds: UNIT_SECONDS.second, burst: perSecond } as const;
  return addToSet(fields, set, { kind: 'limit', ...rate, type: nft.NFT_LIMIT_PKTS, inverted: true });
}

function addToSet(fields: readonly Field[], set: NftSet, expression: ConnectionLimit | Limit): RulePart {
  const { set: name, setId, sreg: sregKey } = lookup(fields, set);
  const id = setId === undefined ? {} : { setId };
  return (context) => [
    ...loadConcatenation(fields, context),
    { kind: 'dynset', set: name, ...id, sregKey, expression },
  ];
}

/** Copies packets to the nfnetlink_log group. @param prefix shown with each, at most 127 bytes */
export function logToGroup(group: number, prefix?: string): RulePart {
  const log: Log = { kind: 'log', group, ...(prefix === undefined ? {} : { prefix }) };
  return statement(log);
}

/** Metadata that a rule can write. */
const WRITABLE = {
  priority: { field: priority, key: nft.NFT_META_PRIORITY },
  mark: { field: mark, key: nft.NFT_META_MARK },
} as const;

/** `meta priority set 42:0`: host order numbers. */
export function setMeta(name: keyof typeof WRITABLE, value: FieldValue): RulePart {
  const { field, key } = WRITABLE[name];
  const dreg = register(0);
  const data = encodeValue(field, value);
  return () => [
    { kind: 'immediate', dreg, data },
    { kind: 'metaSet', key, sreg: dreg },
  ];
}

/** `meta priority set ip daddr map @identity4`. The rule ends, and nothing is set, where the map has no such key. */
export function setMetaFromMap(name: keyof typeof WRITABLE, fields: readonly Field[], map: NftSet): RulePart {
  const dreg = register(0);
  const found = lookup(fields, map);
  return (context) => [
    ...loadConcatenation(fields, context),
    { ...found, dreg },
    { kind: 'metaSet', key: WRITABLE[name].key, sreg: dreg },
  ];
}

/** `ip saddr . tcp dport vmap @verdicts`: what the map says; the rule after this one where it says nothing. */
export function verdictFromMap(fields: readonly Field[], map: NftSet): RulePart {
  const found = lookup(fields, map);
  return (context) => [...loadConcatenation(fields, context), { ...found, dreg: NFT_REG_VERDICT }];
}
