/** The desired state kept up to date event by event: always what it would be made from nothing, and no event costs more than its effect. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeDesired } from '../../../../cni-plugin/agent/desired/compute.ts';
import { Desired, type Wanted } from '../../../../cni-plugin/agent/desired/desired.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import type { Block, Endpoint, Labels, PolicySpec } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import type { Entry } from '../../../../controller/store/store.ts';
import { parsePrefix } from '../../../../dataplane/address.ts';
import { diff, diffOf } from '../../../../dataplane/diff.ts';
import type { NodeState } from '../../../../dataplane/state.ts';
import { cluster, endpoint, entries, facts, node, tenant } from '../builders.ts';

const red = tenant('red', 42);
const blue = tenant('blue', 43);
const green = tenant('green', 44);

const peering = (of: string, peer: string): [string, object] => [
  keys.peering(of, peer),
  { tenant: of, peer, createdAt: '' },
];
const stored = ([key, record]: readonly [string, object], revision = 1): Entry => ({
  key,
  value: formatRecord(record),
  createRevision: revision,
  modRevision: revision,
});

const namespace = (of: string, name: string, labels: Labels): [string, object] => [
  keys.namespace(of, name),
  { tenant: of, name, labels: { ...labels, 'kubernetes.io/metadata.name': name } },
];
const policy = (of: string, name: string, spec: PolicySpec): [string, object] => [
  keys.policy(of, of, name),
  { tenant: of, namespace: of, name, spec, createdAt: '' },
];
const stored1 = (each: Endpoint): [string, object] => [keys.endpoint(each.tenant, each.node, each.id), each];
const web = { matchLabels: { app: 'web' } };
const policies: readonly [string, object][] = [
  policy('red', 'a', {
    podSelector: web,
    policyTypes: ['Ingress'],
    ingress: [
      { from: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [{ protocol: 'TCP', port: 80, endPort: 90 }] },
    ],
  }),
  policy('red', 'a', {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'x' } } }] }],
    egress: [{ to: [{ podSelector: web }], ports: [{ protocol: 'TCP', port: 'http' }] }],
  }),
  policy('red', 'b', {
    podSelector: web,
    policyTypes: ['Egress'],
    egress: [
      {
        to: [{ ipBlock: { cidr: parsePrefix('10.0.0.0/8'), except: [parsePrefix('10.170.0.0/25')] } }],
        ports: [{ protocol: 'UDP' }],
      },
      { ports: [{ protocol: 'SCTP', port: 7 }] },
    ],
  }),
  policy('blue', 'c', {
    podSelector: {},
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ namespaceSelector: {}, podSelector: web }] }],
  }),
];
const remote: readonly [string, object][] = [
  endpoint('eeeeeeeeeeee', red, '10.170.0.65', { node: 'node2', labels: { app: 'db' } }),
  endpoint('eeeeeeeeeeee', red, '10.170.0.65', {
    node: 'node2',
    labels: { app: 'web' },
    ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
  }),
  endpoint('ffffffffffff', blue, '10.171.0.1', { node: 'node2', labels: { app: 'web' } }),
  // the record of one that is here, its labels changed through REST; and an old one with the address of a new one
  endpoint('aaaaaaaaaaaa', red, '10.170.0.1', { labels: { app: 'db' } }),
  endpoint('999999999999', red, '10.170.0.65', {
    node: 'node2',
    labels: { app: 'web' },
    createdAt: '2026-01-02T00:00:00Z',
  }),
].map(stored1);
/** Without policies. */
const tenancy: readonly Entry[] = [
  ...entries({
    nodes: [node(1), node(2), node(3, { roles: ['gateway'] })],
    tenants: [tenant('system', 1), red, blue, green],
    blocks: [
      ['red', '10.170.0.0/27', 'node1'],
      ['red', '10.170.0.64/27', 'node2'],
      ['blue', '10.171.0.0/27', 'node2'],
      ['blue', '10.171.0.32/27', 'node1'],
      ['green', '10.172.0.0/27', 'node3'],
      ['system', '10.128.0.1/32', 'node3'],
    ],
  }),
  ...[peering('red', 'blue'), peering('blue', 'red'), peering('blue', 'green'), peering('green', 'blue')].map((each) =>
    stored(each),
  ),
];
const world: readonly Entry[] = [
  ...tenancy,
  ...[namespace('red', 'red', { team: 'x' }), namespace('blue', 'blue', {}), ...policies, ...remote].map((each) =>
    stored(each),
  ),
];
/** What records may become meanwhile. */
const variants: readonly Entry[] = [
  stored([keys.tenant('red'), { ...red, egress: { internet: false } }]),
  stored([keys.tenant('red'), { ...red, subnets: [...red.subnets, parsePrefix('10.200.0.0/22')] }]),
  stored([keys.tenant('blue'), { ...blue, ingress: { gateways: false } }]),
  stored([keys.tenant('blue'), { ...blue, vni: 4343 }]),
  stored([keys.node('node2'), node(2, { underlay: node(4).underlay })]),
  stored([keys.node('node2'), node(2, { underlayMac: node(9).underlayMac })]),
  stored([keys.node('node3'), node(3, { underlay: node(2).underlay })]),
  stored([keys.block('red', parsePrefix('10.170.0.64/27')), { node: 'node3' }]),
  stored([keys.block('system', parsePrefix('10.128.0.2/32')), { node: 'node1' }]),
  stored(namespace('red', 'red', { team: 'y' })),
  stored(namespace('blue', 'blue', { team: 'x' })),
  ...[...policies, ...remote].map((each) => stored(each)),
  stored([keys.cluster, { ...cluster, platformNetworks: [parsePrefix('192.0.2.0/24')] }]),
];
const endpoints = [
  endpoint('aaaaaaaaaaaa', red, '10.170.0.1'),
  endpoint('bbbbbbbbbbbb', red, '10.170.0.2', {
    labels: { app: 'web' },
    ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }],
  }),
  endpoint('cccccccccccc', blue, '10.171.0.33'),
];
const ownBlocks: readonly Block[] = [
  { tenant: 'red', prefix: parsePrefix('10.170.0.0/27'), node: 'node1' },
  { tenant: 'blue', prefix: parsePrefix('10.171.0.32/27'), node: 'node1' },
];

/**
 * One thing that happens: a record comes or goes, an endpoint or block of this node's comes or goes, the machine changes, the state is
 * brought up to date, or what is unused is let go of, which is one with whatever comes until the next update.
 */
type Event =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'remove'; readonly key: string }
  | { readonly kind: 'endpoint' | 'endpointGone'; readonly index: number }
  | { readonly kind: 'block' | 'blockGone'; readonly index: number }
  | { readonly kind: 'facts'; readonly index: number }
  | { readonly kind: 'update' | 'sweep' };

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.constantFrom(...world, ...variants).map((entry): Event => ({ kind: 'put', entry })),
  fc.constantFrom(...world).map(({ key }): Event => ({ kind: 'remove', key })),
  fc.record({
    kind: fc.constantFrom('endpoint' as const, 'endpointGone' as const),
    index: fc.nat(endpoints.length - 1),
  }),
  fc.record({ kind: fc.constantFrom('block' as const, 'blockGone' as const), index: fc.nat(ownBlocks.length - 1) }),
  fc.record({ kind: fc.constant('facts' as const), index: fc.nat(2) }),
  fc.record({ kind: fc.constantFrom('update' as const, 'sweep' as const) }),
);

class Life {
  readonly snapshot: Snapshot = new Snapshot((key) => this.desired.touch(key));
  facts = facts();
  readonly desired = new Desired(this.snapshot, this.facts);
  readonly endpoints = new Map<number, (typeof endpoints)[number]>();
  readonly blocks = new Map<number, Block>();
  /** keys that may have changed since it was asked for the last time */
  #changed: Wanted['changed'] = new Set();

  happen(event: Event): void {
    if (event.kind === 'put') this.snapshot.put(event.entry);
    else if (event.kind === 'update') this.#update();
    else if (event.kind === 'sweep') this.desired.sweep();
    else if (event.kind === 'remove') this.snapshot.remove(event.key);
    else if (event.kind === 'facts') {
      this.facts = facts({ underlay: { ...facts().underlay, mtu: 1500 + event.index } });
      this.desired.setFacts(this.facts);
    } else if (event.kind === 'endpoint' || event.kind === 'endpointGone') {
      const each = endpoints[event.index] as (typeof endpoints)[number];
      if (event.kind === 'endpoint') this.desired.setEndpoint(each);
      else this.desired.removeEndpoint(each.id);
      if (event.kind === 'endpoint') this.endpoints.set(event.index, each);
      else this.endpoints.delete(event.index);
    } else if (event.kind === 'block' || event.kind === 'blockGone') {
      const block = ownBlocks[event.index] as Block;
      if (event.kind === 'block') this.desired.setOwnBlock(block);
      else this.desired.removeOwnBlock(block.prefix);
      if (event.kind === 'block') this.blocks.set(event.index, block);
      else this.blocks.delete(event.index);
    }
  }

  /** What is wanted once what packets under way may still look up has gone. */
  settle(): Wanted | undefined {
    let wanted = this.#update();
    for (let rounds = 0; wanted !== undefined && this.desired.hasUnused; rounds++) {
      if (rounds > 8) throw new Error('nothing more should be unused');
      this.desired.sweep();
      wanted = this.#update();
    }
    if (wanted === undefined) return undefined;
    const changed = this.#changed;
    this.#changed = new Set();
    return { ...wanted, changed };
  }

  #update(): Wanted | undefined {
    const wanted = this.desired.update();
    if (wanted === undefined) return undefined;
    const isAll = this.#changed === 'all' || wanted.changed === 'all';
    this.#changed = isAll ? 'all' : new Set([...this.#changed, ...wanted.changed]);
    return wanted;
  }

  fromNothing(): NodeState | undefined {
    return computeDesired(this.snapshot, this.facts, {
      endpoints: this.endpoints.values(),
      blocks: this.blocks.values(),
    });
  }
}

describe('the desired state kept up to date', () => {
  it('keeps what a port set holds that is let go of and used again before the next update', () => {
    const life = new Life();
    for (const entry of tenancy) life.snapshot.put(entry);
    for (const index of endpoints.keys()) life.happen({ kind: 'endpoint', index });
    const [, , open] = policies.map((each) => stored(each)) as [Entry, Entry, Entry];
    life.snapshot.put(open);
    const before = life.settle()?.state;
    const ports = () => [...(life.fromNothing()?.keys() ?? [])].filter((key) => key.startsWith('element port/'));
    expect(ports().length).toBeGreaterThan(0);
    expect([...(before?.keys() ?? [])]).toEqual(expect.arrayContaining(ports()));
    life.happen({ kind: 'remove', key: open.key });
    life.happen({ kind: 'update' });
    for (const kind of ['sweep', 'update', 'sweep'] as const) life.happen({ kind });
    life.happen({ kind: 'put', entry: open });
    expect([...(life.desired.update()?.state.keys() ?? [])]).toEqual(expect.arrayContaining(ports()));
  });

  it('keeps what became unused just before a sweep until the next one', () => {
    const life = new Life();
    for (const entry of tenancy) life.snapshot.put(entry);
    for (const index of endpoints.keys()) life.happen({ kind: 'endpoint', index });
    const [, , open] = policies.map((each) => stored(each)) as [Entry, Entry, Entry];
    life.snapshot.put(open);
    life.settle();
    const ports = () =>
      [...(life.desired.update()?.state.keys() ?? [])].filter((key) => key.startsWith('element port/'));
    const before = ports();
    expect(before.length).toBeGreaterThan(0);
    life.happen({ kind: 'remove', key: open.key });
    life.desired.update();
    life.desired.sweep();
    expect(ports()).toEqual(before);
    expect(life.desired.hasUnused).toBe(true);
    life.desired.sweep();
    expect(ports()).toEqual([]);
    expect(life.desired.hasUnused).toBe(false);
  });

  it.each([
    ['a compute node', 'compute' as const],
    ['a gateway that runs containers too', 'gateway' as const],
  ])(
    'is what it would be made from nothing, after whatever happens to %s, and names every key that changed',
    (_, role) => {
      fc.assert(
        fc.property(fc.array(fc.array(event, { maxLength: 4 }), { maxLength: 12 }), (batches) => {
          const life = new Life();
          life.facts = facts({ roles: role === 'gateway' ? ['compute', 'gateway'] : ['compute'] });
          life.desired.setFacts(life.facts);
          for (const entry of world) life.snapshot.put(entry);
          let last: NodeState = new Map();
          for (const batch of batches) {
            for (const each of batch) life.happen(each);
            const wanted = life.settle();
            const expected = life.fromNothing();
            expect(wanted === undefined).toBe(expected === undefined);
            if (wanted === undefined || expected === undefined) continue;
            expect(diff(wanted.state, expected)).toEqual([]);
            const whole = diff(wanted.state, last).length;
            if (wanted.changed !== 'all') expect(diffOf(wanted.changed, wanted.state, last)).toHaveLength(whole);
            last = new Map(wanted.state);
          }
        }),
        { numRuns: 150 },
      );
    },
  );

  it('looks at what an event is about alone, however much is there', () => {
    const life = new Life();
    for (const entry of tenancy) life.snapshot.put(entry);
    const many = Array.from({ length: 1_000 }, (_, index) => {
      const prefix = parsePrefix(`10.${180 + Math.floor(index / 256)}.${index % 256}.0/27`);
      return stored([keys.block('red', prefix), { node: 'node2' }]);
    });
    for (const entry of many) life.snapshot.put(entry);
    for (const each of endpoints) life.desired.setEndpoint(each);
    life.desired.update();
    const looked = (happen: () => void): number => {
      happen();
      const changed = life.desired.update()?.changed;
      return changed === undefined || changed === 'all' ? Number.POSITIVE_INFINITY : changed.size;
    };
    const another = endpoint('dddddddddddd', red, '10.170.0.3');
    expect(looked(() => life.desired.setEndpoint(another))).toBeLessThan(14);
    expect(looked(() => life.desired.removeEndpoint(another.id))).toBeLessThan(14);
    const block = stored([keys.block('red', parsePrefix('10.199.0.0/27')), { node: 'node2' }]);
    expect(looked(() => life.snapshot.put(block))).toBeLessThan(8);
    expect(looked(() => life.snapshot.remove(block.key))).toBeLessThan(8);
    expect(looked(() => life.snapshot.put(stored([keys.node('node9'), node(9)])))).toBeLessThan(4);
    const [closed] = variants as [Entry];
    expect(looked(() => life.snapshot.put(closed))).toBeLessThan(40);
    expect(looked(() => undefined)).toBe(0);
  });
});

describe('peers', () => {
  const keysWith = (change: (life: Life) => void): readonly string[] => {
    const life = new Life();
    for (const entry of tenancy) life.snapshot.put(entry);
    life.desired.setEndpoint(endpoint('aaaaaaaaaaaa', red, '10.170.0.1'));
    change(life);
    return [...(life.desired.update()?.state.keys() ?? [])];
  };
  const ofBlue = (state: readonly string[]) => state.filter((key) => / 43( |$)|10\.171\.|tnt43/.test(key)).sort();

  it('are reached by their own overlay, and may call and arrive by ours', () => {
    expect(ofBlue(keysWith(() => undefined))).toEqual([
      'element block 10.171.0.0',
      'element block 10.171.0.32',
      'element egress 43 tnpaaaaaaaaaaaa',
      'element ingress 43 tnpaaaaaaaaaaaa',
      'element network 10.171.0.0/22',
      'element overlaySource tnt42 43',
      'element vxlanBlock 192.168.9.2 10.171.0.0',
      'fdb 0a:58:c0:a8:09:02 dev tnt43',
      'link tnt43',
      'neighbour 192.168.9.2 dev tnt43',
      'route 10.171.0.0/27',
    ]);
  });

  it.each([
    ['this side has not asked', keys.peering('red', 'blue')],
    ['the other side has not asked', keys.peering('blue', 'red')],
    ['the other tenant is gone', keys.tenant('blue')],
  ])('are not while %s', (_, key) => {
    expect(ofBlue(keysWith((life) => life.snapshot.remove(key)))).toEqual([]);
  });

  it('of peers are strangers', () => {
    expect(keysWith(() => undefined).filter((key) => / 44( |$)|10\.172\.|tnt44/.test(key))).toEqual([]);
  });
});
