import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../../../dataplane/address.ts';
import { type FoundNumbers, foundKey } from '../../../../dataplane/backends/iptables/link-numbers.ts';
import { membershipKey } from '../../../../dataplane/backends/iptables/memberships.ts';
import { IPSETS, LINKS_PER_SET, macSet } from '../../../../dataplane/backends/iptables/sets.ts';
import { Translator } from '../../../../dataplane/backends/iptables/translator.ts';
import { type ElementItem, type Item, itemKey, type NetBits } from '../../../../dataplane/state.ts';
import { element, RULES } from './elements.ts';

const stateOf = (items: readonly Item[]) => new Map([RULES, ...items].map((item) => [itemKey(item), item]));
function translate(items: readonly Item[], found?: FoundNumbers): Translator {
  const made = Translator.of(stateOf(items), found);
  if (made === undefined) throw new Error('a state with rules');
  return made;
}
const keysOf = (translator: Translator) => [...translator.members()].map(membershipKey).sort();
/** Which set of a list it is in does not matter. */
const withoutNumbers = (translator: Translator) =>
  [
    ...new Set(
      keysOf(translator).map((key) =>
        key.replace(/-((?:egress|ingress)(?:-some|-hosts|-[pna]\d+)?|overlay)-\d+/g, '-$1-N'),
      ),
    ),
  ].sort();

const LINK = 'tnp000000000001';
const small = fc.integer({ min: 1, max: 3 });
const link = small.map((n) => `tnp00000000000${n}`);
const overlay = small.map((n) => `tnt${n}`);
const address = small.map((n) => `10.128.0.${n}`);
const portSet = fc.constantFrom(1, 2, 33554432, 33554433);
const network = fc.constantFrom(
  ...([
    ['0.0.0.0', 0],
    ['10.0.0.0', 8],
    ['10.128.0.0', 16],
    ['10.128.0.0', 24],
    ['10.128.0.1', 32],
  ] as const),
);
const mac = fc.constantFrom('0a:58:0a:80:00:01', '02:00:00:00:00:01');
const anElement: fc.Arbitrary<ElementItem> = fc.oneof(
  fc.tuple(address, small).map(([a, id]) => element('identity', [a], id)),
  fc.tuple(small, small).map(([n, id]) => element('block', [`10.128.${n}.0`], id)),
  fc.tuple(small, small).map(([n, id]) => element('network', [`10.${129 + n}.0.0/20`], id)),
  fc.tuple(link, mac, address).map((fields) => element('guard', fields)),
  fc.tuple(link, address).map((fields) => element('podAddress', fields)),
  fc.tuple(overlay, small).map((fields) => element('overlaySource', fields)),
  fc.tuple(fc.nat(3), link, portSet).map(([n, name, set]) => element('egress', [n, name], set)),
  fc.tuple(small, link, portSet).map(([n, name, set]) => element('ingress', [n, name], set)),
  fc.tuple(link, network, portSet).map(([name, [base, bits], set]) => element(`egressNet/${bits}`, [name, base], set)),
  fc.tuple(link, network, portSet).map(([name, [base, bits], set]) => element(`ingressNet/${bits}`, [name, base], set)),
  fc.tuple(portSet, small).map(([set, n]) => element('port/16', [set, 6, n])),
  link.map((name) => element('internet', [name])),
  address.map((a) => element('node', [a])),
  fc.tuple(address, mac).map((fields) => element('vxlanPeer', fields)),
  fc.tuple(address, address).map((fields) => element('vxlanSystem', fields)),
  fc.tuple(address, address).map((fields) => element('vxlanBlock', fields)),
  fc.constant(element('identity', ['fd00::1'], 1)),
);

test('element by element it comes to what the whole state says, and tells exactly what changed', () => {
  fc.assert(
    fc.property(fc.array(fc.array(anElement, { maxLength: 6 }), { maxLength: 20 }), (steps) => {
      const translator = translate([]);
      let state = new Map<string, ElementItem>();
      let members = new Set(keysOf(translator));
      for (const step of steps) {
        const next = new Map(step.map((item) => [itemKey(item), item]));
        for (const [key, item] of state)
          if (next.get(key)?.value !== item.value || !next.has(key)) translator.remove(item);
        for (const [key, item] of next)
          if (state.get(key)?.value !== item.value || !state.has(key)) translator.add(item);
        state = next;
        const { added, removed } = translator.takeChanges();
        for (const each of removed) expect(members.delete(membershipKey(each))).toBe(true);
        for (const each of added) expect(members.has(membershipKey(each))).toBe(false);
        members = new Set([...members, ...added.map(membershipKey)]);
        expect([...members].sort()).toEqual(keysOf(translator));
        expect(withoutNumbers(translator)).toEqual(withoutNumbers(translate([...state.values()])));
      }
    }),
  );
});

test('a link that loses one MAC of an address keeps what its other one gives it', () => {
  const [before, after] = ['02:00:00:00:00:01', '0a:58:0a:80:00:01'].map((m) =>
    element('guard', [LINK, m, '10.128.0.3']),
  );
  if (before === undefined || after === undefined) throw new Error('two guards');
  const translator = translate([before, after]);
  translator.remove(before);
  translator.add(element('internet', [LINK]));
  expect(keysOf(translator)).toEqual(keysOf(translate([after, element('internet', [LINK])])));
  translator.remove(after);
  expect(keysOf(translator)).toEqual(keysOf(translate([element('internet', [LINK])])));
});

test('networks in networks: each is a hole in those of other port sets around it, however many there are', () => {
  const net = (base: string, bits: NetBits, set: number) => element(`egressNet/${bits}`, [LINK, base], set);
  const few = [
    net('10.0.0.0', 8, 33554432),
    net('10.1.0.0', 16, 33554433),
    net('10.1.2.0', 24, 2),
    net('10.1.2.3', 32, 1),
  ];
  const networksOf = (translator: Translator) =>
    keysOf(translator).flatMap(
      (key) => /-egress-(n\d+|hosts)-\d+ (.*),tnp\w+( nomatch)?$/.exec(key)?.slice(1).join(' ') ?? [],
    );
  expect(networksOf(translate([element('guard', [LINK, '0a:58:0a:80:00:01', '10.128.0.1']), ...few]))).toEqual([
    'hosts 10.1.2.3/32 ',
    'n33554432 10.0.0.0/8 ',
    'n33554432 10.1.0.0/16  nomatch',
    'n33554432 10.1.2.0/24  nomatch',
    'n33554432 10.1.2.3/32  nomatch',
    'n33554433 10.1.0.0/16 ',
    'n33554433 10.1.2.0/24  nomatch',
    'n33554433 10.1.2.3/32  nomatch',
  ]);
  // Were each compared with all others, the test would not end in time.
  const many = Array.from({ length: 20_000 }, (_, index) => net(`10.${index >> 8}.${index & 255}.0`, 24, 33554432));
  expect(networksOf(translate([...few, ...many])).length).toBeGreaterThan(20_000);
});

test('a network meets every link that may, and each only once', () => {
  const pods = Array.from({ length: 3 }, (_, index) => element('egress', [7, `tnp00000000000${index}`], 1));
  const keys = keysOf(translate([element('network', ['10.130.0.0/20'], 7), ...pods]));
  expect(keys.filter((key) => key.includes('10.130.0.0/20'))).toHaveLength(3);
  expect(keys.filter((key) => key.startsWith('tenet-egress '))).toEqual(['tenet-egress tenet-egress-0']);
});

test('links are shared out among sets, and stay where they were found', () => {
  const links = Array.from({ length: LINKS_PER_SET + 1 }, (_, index) => `tnp${String(index).padStart(12, '0')}`);
  const items = [element('network', ['10.130.0.0/20'], 7), ...links.map((name) => element('ingress', [7, name], 1))];
  expect(keysOf(translate(items)).filter((key) => key.startsWith('tenet-ingress '))).toHaveLength(2);
  const last = links.at(-1) ?? '';
  const few = [items[0], element('ingress', [7, last], 1)].filter((item) => item !== undefined);
  const moved = translate(few, new Map([[foundKey('ingress', last, parsePrefix('10.130.0.0/20')), 4]]));
  expect(keysOf(moved)).toContain(`tenet-ingress-4 10.130.0.0/20,${last}`);
});

test('single addresses share no set with networks, where one link’s address would hide the network from the others', () => {
  const items = [
    element('network', ['10.130.0.0/20'], 7),
    element('identity', ['10.130.0.9'], 8),
    element('ingress', [7, 'tnp000000000001'], 1),
    element('ingress', [8, 'tnp000000000002'], 1),
  ];
  const members = ['tenet-ingress-0 10.130.0.0/20,tnp000000000001', 'tenet-ingress-1 10.130.0.9/32,tnp000000000002'];
  expect(keysOf(translate(items))).toEqual(expect.arrayContaining(members));
  // As an earlier version has left it: both in one.
  const found = new Map([
    [foundKey('ingress', 'tnp000000000001', parsePrefix('10.130.0.0/20')), 1],
    [foundKey('ingress', 'tnp000000000002', parseIp('10.130.0.9')), 0],
  ]);
  expect(keysOf(translate(items, found))).toEqual(expect.arrayContaining(members));
});

test('more links found in one set than it may hold are shared out anew', () => {
  const links = Array.from({ length: LINKS_PER_SET + 5 }, (_, index) => `tnp${String(index).padStart(12, '0')}`);
  const items = [element('network', ['10.130.0.0/20'], 7), ...links.map((name) => element('ingress', [7, name], 1))];
  const found = new Map(links.map((name) => [foundKey('ingress', name, parsePrefix('10.130.0.0/20')), 2]));
  const translator = translate(items, found);
  expect(translator.count('tenet-ingress-2')).toBe(LINKS_PER_SET);
  expect(translator.count('tenet-ingress-0')).toBe(5);
});

test('a gateway is known by its address and the MAC of its node’s overlay links, a block of another node not at all', () => {
  const bare = keysOf(translate([]));
  const made = keysOf(
    translate([
      element('vxlanSystem', ['192.168.9.3', '10.128.0.1']),
      element('vxlanBlock', ['192.168.9.2', '10.170.0.64']),
    ]),
  );
  expect(made.filter((key) => !bare.includes(key))).toEqual(
    [
      membershipKey({
        set: macSet('gateways', '10.128.0.1'),
        member: { address: parseIp('10.128.0.1'), mac: parseMac('0a:58:c0:a8:09:03') },
      }),
      membershipKey({ set: IPSETS.gateways, member: { set: macSet('gateways', '10.128.0.1').name } }),
    ].sort(),
  );
});
