/** Our bytes against those that nft itself sends for the same text. */
import { describe, expect, it } from 'vitest';
import { parsePrefix } from '../../../../dataplane/address.ts';
import { writeNewChain } from '../../../../dataplane/codecs/nftables/chain.ts';
import { ElementCodec, type SetElement } from '../../../../dataplane/codecs/nftables/element.ts';
import * as field from '../../../../dataplane/codecs/nftables/field.ts';
import * as m from '../../../../dataplane/codecs/nftables/match.ts';
import { parseRule, writeNewRule } from '../../../../dataplane/codecs/nftables/rule.ts';
import { buildRule, type RulePart } from '../../../../dataplane/codecs/nftables/rule-builder.ts';
import { type NftSet, parseSet, writeNewSet } from '../../../../dataplane/codecs/nftables/set.ts';
import * as s from '../../../../dataplane/codecs/nftables/statement.ts';
import { writeNewTable } from '../../../../dataplane/codecs/nftables/table.ts';
import * as nft from '../../../../dataplane/codecs/nftables/uapi.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { parseMessages } from '../../../../dataplane/netlink/message.ts';
import { GOLDEN_CHAINS, GOLDEN_ELEMENTS, GOLDEN_SETS, GOLDEN_TABLES } from '../../../golden/nftables-objects.ts';
import { GOLDEN_RULES, type Golden } from '../../../golden/nftables-rules.ts';

const TABLE = { family: 'inet', table: 'tenet' } as const;

function set(id: number, name: string, description: Omit<NftSet, 'family' | 'table' | 'name' | 'id'>): NftSet {
  return { ...TABLE, id, name, ...description };
}

const IDENTITY4 = set(1, 'identity4', { key: ['ipv4_addr'], data: 'classid', size: 65536 });
const BLOCK6 = set(2, 'block6', { key: ['ipv6_addr'], data: 'classid' });
const GUARD4 = set(3, 'guard4', { key: ['ifname', 'ether_addr', 'ipv4_addr'], size: 65536 });
const GUARD6 = set(4, 'guard6', { key: ['ifname', 'ether_addr', 'ipv6_addr'] });
const EGRESS_ANY = set(5, 'egress_any', { key: ['classid', 'ifname'] });
const EXCEPTIONS4 = set(6, 'exceptions4', { key: ['ipv4_addr', 'inet_proto', 'inet_service'] });
const NODES4 = set(7, 'nodes4', { key: ['ipv4_addr', 'ether_addr'] });
const LINKS4 = set(8, 'links4', { key: ['ifname', 'ipv4_addr'] });
const UPLINKS = set(9, 'uplinks', { key: ['ifname'] });
const VERDICTS = set(13, 'verdicts', { key: ['ipv4_addr', 'inet_service'], data: 'verdict', timeoutMs: 30_000 });
const FLOWS = set(14, 'flows', { key: ['ifname', 'mark'], size: 65536, addedByRules: true });
const SETS: readonly NftSet[] = [
  IDENTITY4,
  BLOCK6,
  GUARD4,
  GUARD6,
  EGRESS_ANY,
  EXCEPTIONS4,
  NODES4,
  LINKS4,
  UPLINKS,
  set(10, 'marks', { key: ['mark'] }),
  set(11, 'ports', { key: ['inet_service'] }),
  set(12, 'protos', { key: ['inet_proto'] }),
  VERDICTS,
  FLOWS,
];

const ELEMENTS: Readonly<Record<string, readonly SetElement[]>> = {
  identity4: [{ key: ['10.129.0.1'], data: 0x420000 }],
  guard4: [{ key: ['tnp0a1b2c3d4e5f', '0a:58:0a:81:00:01', '10.129.0.1'] }],
  guard6: [{ key: ['tnp1', '0a:58:0a:81:00:01', 'fd00::1'] }],
  egress_any: [{ key: [0x420007, 'tnp1'] }],
  exceptions4: [{ key: ['10.0.0.10', 17, 53] }],
  uplinks: [{ key: ['eth0'] }],
  marks: [{ key: [0x12345678] }],
  ports: [{ key: [443] }],
  protos: [{ key: [17] }],
  verdicts: [{ key: ['10.0.0.1', 80], data: { kind: 'jump', chain: 'other' }, timeoutMs: 10_000 }],
};

const fromPod = m.match(field.iifgroup, 0x7e4f);
const reply = m.match(field.ctDirection, field.CT_DIRECTIONS.reply);
const prefix = (field: field.Field, text: string) => m.matchPrefix(field, parsePrefix(text));
const NEIGHBOUR_SOLICITATION = 135;

const RULES: Readonly<Record<string, readonly RulePart[]>> = {
  'iifgroup 0x7e4f iifname . ether saddr . ip saddr @guard4 ip hdrlength 5 accept comment "x"': [
    fromPod,
    m.inSet([field.iifname, field.etherSaddr, field.ipSaddr], GUARD4),
    m.ipHeaderLength(5),
    s.accept,
  ],
  'iifname . ether saddr . ip6 saddr @guard6 accept': [
    m.inSet([field.iifname, field.etherSaddr, field.ip6Saddr], GUARD6),
    s.accept,
  ],
  'ip saddr . ether saddr @nodes4 accept': [m.inSet([field.ipSaddr, field.etherSaddr], NODES4), s.accept],
  'iifname "tnp*" drop': [m.match(field.iifname, 'tnp*'), s.drop],
  'iifname "eth0" drop': [m.match(field.iifname, 'eth0'), s.drop],
  'iifname != @uplinks drop': [m.notInSet([field.iifname], UPLINKS), s.drop],
  'meta nfproto ipv4 drop': [m.match(field.nfproto, nft.NFPROTO_IPV4), s.drop],
  'meta priority set 42:0': [s.setMeta('priority', 0x420000)],
  'meta mark set 6': [s.setMeta('mark', 6)],
  'meta priority set ip daddr & 255.255.255.224 map @identity4': [
    s.setMetaFromMap('priority', [m.maskedTo(field.ipDaddr, 27)], IDENTITY4),
  ],
  'meta priority set ip6 daddr & ffff:ffff:ffff:ffff:: map @block6': [
    s.setMetaFromMap('priority', [m.maskedTo(field.ip6Daddr, 64)], BLOCK6),
  ],
  'ct status confirmed accept': [m.ctConfirmed, s.accept],
  'ct direction reply ct state established,related iifname . ct reply ip saddr @links4 accept': [
    reply,
    m.ctState('established', 'related'),
    m.inSet([field.iifname, field.ctIpSaddr('reply')], LINKS4),
    s.accept,
  ],
  'ct original ip6 daddr fd00::1 drop': [m.match(field.ctIp6Daddr('original'), 'fd00::1'), s.drop],
  'meta l4proto tcp ct reply proto-src 80 drop': [
    m.match(field.l4proto, 6),
    m.match(field.ctProtoSrc('reply'), 80),
    s.drop,
  ],
  'meta l4proto tcp ct original proto-dst 80 drop': [
    m.match(field.l4proto, 6),
    m.match(field.ctProtoDst('original'), 80),
    s.drop,
  ],
  'ct original ip daddr 10.0.0.1 drop': [m.match(field.ctIpDaddr('original'), '10.0.0.1'), s.drop],
  'ether daddr 0a:58:0a:81:00:01 drop': [m.match(field.etherDaddr, '0a:58:0a:81:00:01'), s.drop],
  'meta l4proto udp th sport 53 drop': [m.match(field.l4proto, 17), m.match(field.thSport, 53), s.drop],
  'meta priority . iifname @egress_any accept': [m.inSet([field.priority, field.iifname], EGRESS_ANY), s.accept],
  'ip daddr . meta l4proto . th dport @exceptions4 accept': [
    m.inSet([field.ipDaddr, field.l4proto, field.thDport], EXCEPTIONS4),
    s.accept,
  ],
  'oifgroup != 0x7e4f ip6 saddr fd00::/9 drop': [
    m.matchNot(field.oifgroup, 0x7e4f),
    prefix(field.ip6Saddr, 'fd00::/9'),
    s.drop,
  ],
  'ip saddr != 10.0.0.0/8 drop': [m.matchNotPrefix(field.ipSaddr, parsePrefix('10.0.0.0/8')), s.drop],
  'ip saddr 10.0.0.1 ip daddr 10.0.0.2 drop': [
    prefix(field.ipSaddr, '10.0.0.1/32'),
    m.match(field.ipDaddr, '10.0.0.2'),
    s.drop,
  ],
  'tcp dport 1000-2000 accept': [m.matchRange(field.tcpDport, 1000, 2000), s.accept],
  'udp dport != 1000-2000 drop': [m.matchNotRange(field.udpDport, 1000, 2000), s.drop],
  'ip saddr . tcp dport vmap @verdicts': [s.verdictFromMap([field.ipSaddr, field.tcpDport], VERDICTS)],
  'fib daddr type local drop': [m.match(field.fibDaddrType, field.FIB_TYPES.local), s.drop],
  'fib saddr . iif oif missing drop': [m.match(field.fibReversePath, 0), s.drop],
  'ip option lsrr exists drop': [m.match(field.ipOption('lsrr'), 1), s.drop],
  'exthdr rt exists drop': [m.match(field.ip6RoutingHeader, 1), s.drop],
  'icmpv6 type nd-neighbor-solicit drop': [m.match(field.icmpv6Type, NEIGHBOUR_SOLICITATION), s.drop],
  'add @flows { iifname . ct id & 0x1f000000 ct count over 128 } drop': [
    s.overConnections([field.iifname, field.ctShare(32)], FLOWS, 128),
    s.drop,
  ],
  counter: [s.counter],
  'limit rate 10/minute': [s.limit(10, 'minute')],
  'log prefix "no" group 3': [s.logToGroup(3, 'no')],
  'reject with icmpx admin-prohibited': [s.rejectAdminProhibited],
  'jump other': [s.jump('other')],
  'goto other': [s.goto('other')],
  return: [s.returnFromChain],
  notrack: [s.notrack],
  masquerade: [s.masquerade],
  'meta l4proto tcp masquerade to :61000-65535 fully-random': [
    m.match(field.l4proto, 6),
    s.masqueradeToPorts(61_000, 65_535),
  ],
  'meta l4proto tcp ct reply proto-dst != 61000-65535 drop': [
    m.match(field.l4proto, 6),
    m.matchNotRange(field.ctProtoDst('reply'), 61_000, 65_535),
    s.drop,
  ],
  'tcp flags & (fin | syn | rst | ack) == syn drop': [m.match(field.tcpCallFlags, field.TCP_CALL), s.drop],
};
/** For some masks nft leaves NFTA_BITWISE_OP to its default, for others not; we always write it. */
const WITHOUT_BITWISE_OP: readonly string[] = [
  'ct status confirmed accept',
  'ct direction reply ct state established,related iifname . ct reply ip saddr @links4 accept',
  'oifgroup != 0x7e4f ip6 saddr fd00::/9 drop',
];
const OTHER_CHAINS: Readonly<Record<string, string>> = {
  notrack: 'raw',
  masquerade: 'nat',
  'meta l4proto tcp masquerade to :61000-65535 fully-random': 'nat',
};

function ruleOf(text: string) {
  const parts = RULES[text];
  if (parts === undefined) throw new Error(`no rule is built for ${text}`);
  const comment = /comment "(.*)"$/.exec(text)?.[1];
  return buildRule({ ...TABLE, chain: OTHER_CHAINS[text] ?? 'c' }, parts, comment);
}

/** The payload of the one message written. */
function payload(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  write(out);
  const [message, ...others] = parseMessages(out.finish());
  if (message === undefined || others.length > 0) throw new Error('one message');
  return message.payload;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function golden(all: Golden, name: string): Uint8Array {
  return Uint8Array.from(Buffer.from((all[name] ?? '').replaceAll(/\s/g, ''), 'hex'));
}

describe('bytes that nft 1.0.6 sends', () => {
  it.each(Object.keys(GOLDEN_RULES).filter((text) => !WITHOUT_BITWISE_OP.includes(text)))('rule: %s', (text) => {
    const ours = payload((out) => writeNewRule(out, nft.NFT_MSG_NEWRULE, 0, ruleOf(text)));
    expect(hex(ours)).toBe(hex(golden(GOLDEN_RULES, text)));
  });

  it.each(Object.keys(GOLDEN_RULES))('read back: %s', (text) => {
    expect(parseRule(golden(GOLDEN_RULES, text))).toEqual({ ...ruleOf(text), handle: 0n });
  });

  it.each(SETS.map((set) => [set.name, set] as const))('set: %s', (name, set) => {
    const ours = payload((out) => writeNewSet(out, nft.NFT_MSG_NEWSET, 0, set, set.id ?? 0));
    expect(hex(ours)).toBe(hex(golden(GOLDEN_SETS, name)));
    const { id: _, ...described } = set;
    expect(parseSet(golden(GOLDEN_SETS, name))?.set).toEqual(described);
  });

  it.each(Object.keys(GOLDEN_ELEMENTS))('elements of %s', (name) => {
    const set = SETS.find((set) => set.name === name);
    const elements = ELEMENTS[name] ?? [];
    if (set === undefined) throw new Error(`no set ${name}`);
    const codec = new ElementCodec(set);
    const ours = payload((out) => codec.writeMessage(out, nft.NFT_MSG_NEWSETELEM, 0, elements, 0));
    expect(hex(ours)).toBe(hex(golden(GOLDEN_ELEMENTS, name)));
    expect(codec.parseMessage(golden(GOLDEN_ELEMENTS, name))).toEqual(elements);
  });

  it('table and chains', () => {
    const table = payload((out) => writeNewTable(out, nft.NFT_MSG_NEWTABLE, 0, TABLE));
    expect(hex(table)).toBe(hex(golden(GOLDEN_TABLES, 'table inet tenet')));
    const raw = { type: 'filter', hook: 'prerouting', priority: -300, policy: 'drop' } as const;
    const nat = { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' } as const;
    for (const chain of [{ chain: 'other' }, { chain: 'raw', base: raw }, { chain: 'nat', base: nat }]) {
      const ours = payload((out) => writeNewChain(out, nft.NFT_MSG_NEWCHAIN, 0, { ...TABLE, ...chain }));
      expect(hex(ours)).toBe(hex(golden(GOLDEN_CHAINS, chain.chain)));
    }
  });
});
