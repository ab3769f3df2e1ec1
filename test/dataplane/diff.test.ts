/** diff: empty between equals, complete between any two states, and in an order that is safe half-way. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { applyTo, type Change, diff, diffOf } from '../../dataplane/diff.ts';
import { type Item, itemKey, type NodeState } from '../../dataplane/state.ts';

const link = fc.constantFrom('tnt42', 'tnt43', 'tnpaaaaaaaaaaaa');
const address = fc.integer({ min: 1, max: 4 }).map((n) => parseIp(`10.129.0.${n}`));
const mac = fc.integer({ min: 1, max: 3 }).map((n) => parseMac(`0a:58:00:00:00:0${n}`));
const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({ kind: fc.constant('podLink' as const), name: link, mtu: fc.constantFrom(1450, 8950), up: fc.boolean() }),
  fc.record({ kind: fc.constant('address' as const), link, address }),
  fc.record({ kind: fc.constant('neighbour' as const), link, address, mac }),
  fc.record({ kind: fc.constant('fdb' as const), link, mac, remote: address }),
  fc.record({
    kind: fc.constant('route' as const),
    type: fc.constant('unicast' as const),
    destination: address.map((base) => parsePrefix(`${base}/32`)),
    link,
  }),
  fc.record({
    kind: fc.constant('element' as const),
    collection: fc.constantFrom('egress' as const, 'block' as const),
    fields: fc.tuple(fc.integer({ min: 1, max: 3 }), link),
    value: fc.integer({ min: 1, max: 3 }),
  }),
);
const state: fc.Arbitrary<NodeState> = fc
  .array(item)
  .map((items) => new Map(items.map((each) => [itemKey(each), each])));

function applied(to: NodeState, changes: readonly Change[], failed?: ReadonlySet<string>): NodeState {
  const next = new Map(to);
  applyTo(next, changes, failed);
  return next;
}

describe('diff', () => {
  it('is empty between a state and itself', () => {
    fc.assert(
      fc.property(state, (a) => {
        expect(diff(a, structuredClone(a))).toEqual([]);
      }),
    );
  });

  it('leads from one state to the other', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        expect(diff(b, applied(a, diff(b, a)))).toEqual([]);
      }),
    );
  });

  it('of the keys that differ, whatever others are named with them, is the whole one', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        const byKey = (x: Change, y: Change) => (itemKey(x.item) < itemKey(y.item) ? -1 : 1);
        const some = [...new Set([...a.keys(), ...b.keys(), 'neither has it'])];
        expect(diffOf(some, b, a).sort(byKey)).toEqual(diff(b, a).sort(byKey));
        expect(diffOf([], b, a)).toEqual([]);
      }),
    );
  });

  it('makes isolation first, links before what stands on them, and a pod’s link after its guard', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        const order = diff(b, a)
          .filter(({ op }) => op !== 'remove')
          .map(({ item: { kind } }) =>
            ['ruleSet', 'element', 'overlayLink', 'address', 'fdb', 'neighbour', 'podLink', 'route'].indexOf(kind),
          );
        expect(order).toEqual([...order].sort((x, y) => x - y));
      }),
    );
  });

  it('leaves what failed undone', () => {
    const one: Item = { kind: 'podLink', name: 'tnpaaaaaaaaaaaa', mtu: 1450, up: true };
    expect(applied(new Map(), [{ op: 'add', item: one }], new Set([itemKey(one)])).size).toBe(0);
  });
});
