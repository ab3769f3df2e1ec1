/**
 * While members change one by one, as ipset has no transaction over all: between two pods of a node nothing passes that neither the state
 * before nor the state after allows, and what both allow passes throughout. Decided as the rules decide it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePrefix, prefixContains } from '../../../../dataplane/address.ts';
import { ordered } from '../../../../dataplane/backends/iptables/membership-order.ts';
import { type Membership, membershipKey } from '../../../../dataplane/backends/iptables/memberships.ts';
import type { PortSetRanges } from '../../../../dataplane/backends/iptables/port-table.ts';
import { linkSetPlace } from '../../../../dataplane/backends/iptables/sets.ts';
import { Translator } from '../../../../dataplane/backends/iptables/translator.ts';
import { type ElementItem, type Item, itemKey, PORT_SET } from '../../../../dataplane/state.ts';
import { element, RULES } from './elements.ts';

const TCP = 6;
const PORTS = [80, 443];
/** Their numbers, and which of the ports each has. */
const PORT_SETS = { http: 33_554_432, https: 33_554_433, both: 33_554_434 } as const;
const PODS = [1, 2, 3].map((n) => ({ link: `tnp00000000000${n}`, address: `10.128.0.${n}` }));

/** Always there: what port sets hold. */
const FIXED: readonly ElementItem[] = [
  element('port/16', [PORT_SETS.http, TCP, 80]),
  element('port/16', [PORT_SETS.https, TCP, 443]),
  ...PORTS.map((port) => element('port/16', [PORT_SETS.both, TCP, port])),
];

type State = ReadonlyMap<string, ElementItem>;
const stateOf = (elements: readonly ElementItem[]): State =>
  new Map([...FIXED, ...elements].map((item) => [itemKey(item), item]));

interface Change {
  readonly before: readonly Membership[];
  readonly ops: readonly { readonly op: 'add' | 'del'; readonly membership: Membership }[];
  readonly portSets: PortSetRanges;
}

function changeBetween(before: State, after: State): Change {
  const translator = Translator.of(new Map<string, Item>([...before, [itemKey(RULES), RULES]]));
  if (translator === undefined) throw new Error('a state with rules');
  const members = [...translator.members()];
  for (const [key, item] of before)
    if (after.get(key)?.value !== item.value || !after.has(key)) translator.remove(item);
  for (const [key, item] of after) if (before.get(key)?.value !== item.value || !before.has(key)) translator.add(item);
  const { removed, added } = translator.takeChanges();
  const portSets = translator.portSets();
  const ops = ordered(removed, added, portSets).flatMap(({ op, members: of }) =>
    of.map((membership) => ({ op, membership })),
  );
  const told = (wanted: 'add' | 'del') =>
    ops.flatMap(({ op, membership }) => (op === wanted ? [membershipKey(membership)] : [])).sort();
  expect(told('del')).toEqual(removed.map(membershipKey).sort());
  expect(told('add')).toEqual(added.map(membershipKey).sort());
  return { before: members, ops, portSets };
}

/**
 * Members as sets in lists, asked as the kernel is: in each set of a list the longest prefix decides that any link has there, and says no
 * to a link that does not have it.
 * @see net/netfilter/ipset/ip_set_hash_gen.h, mtype_test_cidrs
 */
class Sets {
  /** by name of the set */
  readonly #members = new Map<string, Map<string, Membership['member']>>();
  readonly #portSets: PortSetRanges;

  constructor(members: readonly Membership[], portSets: PortSetRanges) {
    this.#portSets = portSets;
    for (const membership of members) this.apply({ op: 'add', membership });
  }

  apply({ op, membership }: Change['ops'][number]): void {
    const { name } = membership.set;
    const members = this.#members.get(name) ?? new Map<string, Membership['member']>();
    this.#members.set(name, members);
    if (op === 'add') members.set(membershipKey(membership), membership.member);
    else members.delete(membershipKey(membership));
  }

  has(list: string, address: string, link: string): boolean {
    return [...(this.#members.get(`tenet-${list}`)?.values() ?? [])].some(({ set = '' }) => {
      const around = [...(this.#members.get(set)?.values() ?? [])].filter((member) => holds(member.address, address));
      const longest = Math.max(...around.map((member) => bitsOf(member.address)));
      const found = around.find((member) => member.link === link && bitsOf(member.address) === longest);
      return found !== undefined && found.nomatch !== true;
    });
  }

  /** As chain TENET-CALL-… decides. */
  #byPort(direction: 'egress' | 'ingress', address: string, link: string, port: number): boolean {
    const has = (list: string) => this.has(`${direction}-${list}`, address, link);
    if (['a1', 'hosts', 'n1'].some(has)) return true;
    return [...this.#portSets].some(
      ([number, protocols]) =>
        (protocols.get(TCP) ?? []).some(({ from, to }) => from <= port && port <= to) &&
        ['p', 'n', 'a'].some((kind) => has(`${kind}${number}`)),
    );
  }

  /** As chains TENET-FROM-POD and TENET-TO-POD decide about a pod of this node. */
  may(direction: 'egress' | 'ingress', address: string, link: string, port: number): boolean {
    if (this.has(direction, address, link)) return true;
    return this.has(`${direction}-some`, address, link) && this.#byPort(direction, address, link, port);
  }

  /** Calls that pass, in words. */
  passes(): ReadonlySet<string> {
    const passing = PODS.flatMap((from) =>
      PODS.flatMap((to) =>
        PORTS.filter(
          (port) => this.may('egress', to.address, from.link, port) && this.may('ingress', from.address, to.link, port),
        ).map((port) => `${from.address} > ${to.address}:${port}`),
      ),
    );
    return new Set(passing);
  }
}

const bitsOf = (prefix = '') => Number(prefix.split('/')[1] ?? 32);
const holds = (prefix: string | undefined, address: string) =>
  prefix !== undefined && prefixContains(parsePrefix(prefix), parsePrefix(`${address}/32`));

/** What passes wrongly, or does not and should, at any moment of the change. */
function faults(before: State, after: State): readonly string[] {
  const change = changeBetween(before, after);
  const sets = new Sets(change.before, change.portSets);
  const old = sets.passes();
  const moments: ReadonlySet<string>[] = [];
  for (const op of change.ops) {
    sets.apply(op);
    moments.push(sets.passes());
  }
  const now = moments.at(-1) ?? old;
  return moments.flatMap((passing, moment) => [
    ...[...passing].filter((call) => !old.has(call) && !now.has(call)).map((call) => `${moment}: ${call} passes`),
    ...[...old].filter((call) => now.has(call) && !passing.has(call)).map((call) => `${moment}: ${call} is cut`),
  ]);
}

const anyPod = fc.constantFrom(...PODS);
const portSet = fc.constantFrom(PORT_SET.all, PORT_SET.none, ...Object.values(PORT_SETS));
const identity = fc.integer({ min: 11, max: 13 });
const TENANT = 10;
/** Pods that no policy speaks of may be met everywhere or nowhere. */
const anyPair = (direction: 'egress' | 'ingress') =>
  fc
    .oneof(
      fc.tuple(identity, anyPod, portSet),
      fc.tuple(fc.constant(TENANT), anyPod, fc.constantFrom(PORT_SET.all, PORT_SET.none)),
    )
    .map(([id, { link }, set]) => element(direction, [id, link], set));
const anyNetwork = (direction: 'egress' | 'ingress') =>
  fc
    .tuple(
      anyPod,
      fc.constantFrom(
        ...([
          ['10.0.0.0', 8],
          ['10.128.0.0', 28],
          ['10.128.0.1', 32],
          ['10.128.0.2', 32],
        ] as const),
      ),
      portSet,
    )
    .map(([{ link }, [base, bits], set]) => element(`${direction}Net/${bits}`, [link, base], set));
const identities = fc.array(
  fc.tuple(anyPod, identity).map(([{ address }, id]) => element('identity', [address], id)),
  { maxLength: 3 },
);
const subnet = fc.array(fc.constant(element('network', ['10.128.0.0/20'], TENANT)), { maxLength: 1 });
const states = (...more: fc.Arbitrary<ElementItem>[]) =>
  fc
    .tuple(identities, subnet, fc.array(fc.oneof(anyPair('egress'), anyPair('ingress'), ...more), { maxLength: 14 }))
    .map((parts) => stateOf(parts.flat()));

describe('between two states of pods', () => {
  const settings = { numRuns: 1000, seed: 20_261_201 };

  test('nothing passes that neither allows, and what both allow always does', () => {
    fc.assert(
      fc.property(states(), states(), (before, after) => {
        expect(faults(before, after)).toEqual([]);
      }),
      settings,
    );
  });

  // Where both ends lose some of what networks say, one is closed for as long as the other changes.
  test('with networks, and exceptions in them, nothing passes that neither allows', () => {
    const some = states(anyNetwork('egress'), anyNetwork('ingress'));
    fc.assert(
      fc.property(some, some, (before, after) => {
        expect(faults(before, after).filter((fault) => !fault.endsWith('is cut'))).toEqual([]);
      }),
      settings,
    );
  });
});

test('one policy that turns round: to one and from another, then the other way', () => {
  const [u, v, b] = PODS as [(typeof PODS)[0], (typeof PODS)[0], (typeof PODS)[0]];
  const who = PODS.map(({ address }, index) => element('identity', [address], 11 + index));
  // Of u, v: egress to v, ingress from b; then egress to b, ingress from u.
  const turned = (egressTo: number, ingressFrom: number) =>
    stateOf([
      ...who,
      ...[u, v].flatMap(({ link }) => [
        element('egress', [egressTo, link], PORT_SET.all),
        element('ingress', [ingressFrom, link], PORT_SET.all),
      ]),
      element('egress', [11, b.link], PORT_SET.all),
    ]);
  expect(faults(turned(12, 13), turned(13, 11))).toEqual([]);
  expect(faults(turned(13, 11), turned(12, 13))).toEqual([]);
});

test('an address gains an identity and loses it: pods that may meet all of its tenant meet it throughout', () => {
  const open = PODS.flatMap(({ link }) => [
    element('egress', [TENANT, link], PORT_SET.all),
    element('ingress', [TENANT, link], PORT_SET.all),
    element('egress', [11, link], PORT_SET.all),
    element('ingress', [11, link], PORT_SET.all),
  ]);
  const bare = [element('network', ['10.128.0.0/20'], TENANT), ...open];
  const labelled = [...bare, ...PODS.slice(0, 2).map(({ address }) => element('identity', [address], 11))];
  expect(faults(stateOf(bare), stateOf(labelled))).toEqual([]);
  expect(faults(stateOf(labelled), stateOf(bare))).toEqual([]);
});

test('a set enters its list once it has members, and leaves it before it is emptied', () => {
  const who = PODS.map(({ address }, index) => element('identity', [address], 11 + index));
  const pairs = PODS.map(({ link }) => element('egress', [12, link], PORT_SETS.http));
  const { ops } = changeBetween(stateOf(who), stateOf([...who, ...pairs]));
  const place = (name: string) => ops.findIndex(({ membership }) => membership.member.set === name);
  const inner = (name: string) => ops.findIndex(({ membership: { set } }) => set.name === name);
  for (const name of new Set(ops.flatMap(({ membership }) => membership.member.set ?? []))) {
    expect(linkSetPlace(name)).toBeDefined();
    expect(place(name)).toBeGreaterThan(inner(name));
  }
  const back = changeBetween(stateOf([...who, ...pairs]), stateOf(who)).ops;
  for (const [index, { membership }] of back.entries())
    if (membership.member.set !== undefined)
      expect(back.findIndex(({ membership: { set } }) => set.name === membership.member.set)).toBeGreaterThan(index);
});
