/** From what is known of a cluster to kernel items: which pods may reach which, and that the order of events never matters. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeDesired, type LocalState } from '../../../../cni-plugin/agent/desired/compute.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import type { Entry } from '../../../../controller/store/store.ts';
import { parseIp, parsePrefix } from '../../../../dataplane/address.ts';
import { diff } from '../../../../dataplane/diff.ts';
import { cluster, endpoint, entries, facts, node, tenant } from '../builders.ts';

const red = tenant('red', 42);
const blue = tenant('blue', 43);
const world = entries({
  nodes: [node(1), node(2), node(3, { roles: ['gateway'] })],
  tenants: [tenant('system', 1), red, blue],
  blocks: [
    ['red', '10.170.0.0/27', 'node1'],
    ['red', '10.170.0.64/27', 'node2'],
    ['blue', '10.171.0.0/27', 'node2'],
    ['system', '10.128.0.1/32', 'node3'],
  ],
});
const local: LocalState = {
  endpoints: [endpoint('aaaaaaaaaaaa', red, '10.170.0.1')],
  blocks: [{ tenant: 'red', prefix: parsePrefix('10.170.0.0/27'), node: 'node1' }],
};

function snapshotOf(list: readonly Entry[]): Snapshot {
  const snapshot = new Snapshot();
  for (const entry of list) snapshot.put(entry);
  return snapshot;
}

function keysOf(list: readonly Entry[], from = facts(), having = local): string[] {
  return [...(computeDesired(snapshotOf(list), from, having)?.keys() ?? [])].sort();
}

describe('desired state of a compute node', () => {
  it('is unknown while the cluster is', () => {
    expect(computeDesired(new Snapshot(), facts(), local)).toBeUndefined();
  });

  it('has a link, a way and identities for a tenant with an endpoint here', () => {
    expect(keysOf(world)).toEqual(
      expect.arrayContaining([
        'link tnt42',
        'route 10.170.0.64/27',
        'neighbour 192.168.9.2 dev tnt42',
        'fdb 0a:58:c0:a8:09:02 dev tnt42',
        'element block 10.170.0.0',
        'element block 10.170.0.64',
        'element overlaySource tnt42 42',
        'link tnpaaaaaaaaaaaa',
        'route 10.170.0.1/32',
        'element guard tnpaaaaaaaaaaaa 0a:58:0a:81:00:01 10.170.0.1',
        'element egress 42 tnpaaaaaaaaaaaa',
        'element ingress 42 tnpaaaaaaaaaaaa',
        'element ingress 1 tnpaaaaaaaaaaaa',
        'element internet tnpaaaaaaaaaaaa',
      ]),
    );
  });

  it('has nothing of a tenant without an endpoint here', () => {
    expect(
      keysOf(world).filter((key) => key.includes('10.171.') || key.includes('tnt43') || key.includes(' 43')),
    ).toEqual([]);
  });

  it('never lets an endpoint call another tenant or the gateways', () => {
    const egress = keysOf(world).filter((key) => key.startsWith('element egress '));
    expect(egress).toEqual(['element egress 0 tnpaaaaaaaaaaaa', 'element egress 42 tnpaaaaaaaaaaaa']);
  });

  it('closes an endpoint whose tenant is gone, and keeps its link', () => {
    const without = world.filter(({ key }) => key !== 'tenants/red');
    expect(keysOf(without).filter((key) => key.includes('aaaaaaaaaaaa'))).toEqual(['link tnpaaaaaaaaaaaa']);
  });

  it('has no way to a block whose node is unknown', () => {
    const without = world.filter(({ key }) => key !== 'nodes/node2');
    expect(keysOf(without)).not.toContain('route 10.170.0.64/27');
  });

  it('knows its own block before the store has said so', () => {
    const without = world.filter(({ key }) => !key.startsWith('blocks/red'));
    expect(keysOf(without)).toContain('element block 10.170.0.0');
  });

  it('honours a tenant that forbids the internet or gateways', () => {
    const closed = entries({ tenants: [{ ...red, egress: { internet: false }, ingress: { gateways: false } }] });
    const keys = keysOf(closed);
    expect(keys).not.toContain('element internet tnpaaaaaaaaaaaa');
    expect(keys).not.toContain('element ingress 1 tnpaaaaaaaaaaaa');
    expect(keys).toContain('element ingress 42 tnpaaaaaaaaaaaa');
  });

  it('asks for a MAC of nodes on its own segment alone', () => {
    const far = facts({ underlay: { ...facts().underlay, subnet: parsePrefix('192.168.9.1/32') } });
    expect(keysOf(world)).toContain('element vxlanPeer 192.168.9.2 02:00:00:00:00:02');
    expect(keysOf(world, far)).toContain('element vxlanRouted 192.168.9.2');
    expect(keysOf(world).filter((key) => key.includes('vxlan') && key.includes('192.168.9.1 '))).toEqual([]);
  });

  it('holds nodes on its own segment to their MACs, and neither the store nor those it shares a host with', () => {
    const held = (from: typeof here, list = world) =>
      keysOf(list, from).filter((key) => /^neighbour .* dev eth0$/.test(key));
    const here = facts();
    const both = ['neighbour 192.168.9.2 dev eth0', 'neighbour 192.168.9.3 dev eth0'];
    expect(held(here)).toEqual(both);
    expect(held({ ...here, checkUnderlayMac: false })).toEqual([]);
    expect(held(facts({ underlay: { ...here.underlay, subnet: parsePrefix('192.168.9.0/31') } }))).toEqual([]);
    expect(held({ ...here, storeAddresses: [parseIp('192.168.9.3')] })).toEqual(both.slice(0, 1));
    expect(held({ ...here, storeAddresses: [parseIp('192.0.2.1')] })).toEqual(both);
    for (const own of [undefined, [parseIp('127.0.0.1')], [parseIp('::1')], [here.underlay.address]])
      expect(held({ ...here, storeAddresses: own })).toEqual([]);
    // Two that say they are at one address.
    const twin = (tweak: object) => [
      ...world,
      ...entries({ nodes: [node(4, { underlay: node(2).underlay, ...tweak })] }),
    ];
    expect(held(here, twin({}))).toEqual(both.slice(1));
    expect(held(here, twin({ underlayMac: node(2).underlayMac }))).toEqual(both);
  });

  it('closes what clouds serve machines with, but for what the cluster opens', () => {
    const closed = (tweak: object) => {
      const [changed] = entries({ cluster: { ...cluster, ...tweak } });
      const item = computeDesired(snapshotOf([...world, ...(changed ? [changed] : [])]), facts(), local)?.get('rules');
      return item?.kind === 'ruleSet' ? item.platformNetworks : [];
    };
    const services = ['100.64.0.0/10', '168.63.129.16/32', '192.0.0.0/24'];
    expect(closed({})).toEqual([...services, '192.168.9.0/24']);
    expect(closed({ openNetworks: ['100.64.0.0/10', '168.63.129.16/32'].map(parsePrefix) })).toEqual([
      '192.0.0.0/24',
      '192.168.9.0/24',
    ]);
    // What the platform says is closed stays closed.
    const own = [parsePrefix('100.64.0.0/16')];
    expect(closed({ openNetworks: [parsePrefix('100.64.0.0/10')], platformNetworks: own })).toContain(own[0]);
  });

  it('lets other nodes send for their own blocks alone, and as gateways only those that are', () => {
    const senders = (list: readonly Entry[]) => keysOf(list).filter((key) => /^element vxlan(Block|System) /.test(key));
    expect(senders(world)).toEqual([
      'element vxlanBlock 192.168.9.2 10.170.0.64',
      'element vxlanSystem 192.168.9.3 10.128.0.1',
    ]);
    const [demoted] = entries({ nodes: [node(3)] }).filter(({ key }) => key === 'nodes/node3');
    if (demoted === undefined) throw new Error('no such entry');
    expect(senders([...world.filter(({ key }) => key !== demoted.key), demoted])).toEqual([
      'element vxlanBlock 192.168.9.2 10.170.0.64',
    ]);
  });

  it('is the same whatever the order of events, with deletions in between', () => {
    const expected = computeDesired(snapshotOf(world), facts(), local) ?? new Map();
    const shuffled = fc.shuffledSubarray([...world], { minLength: world.length, maxLength: world.length });
    fc.assert(
      fc.property(shuffled, fc.subarray([...world]), (order, deleted) => {
        const snapshot = snapshotOf(order);
        for (const { key } of deleted) snapshot.remove(key);
        for (const entry of deleted) snapshot.put(entry);
        expect(diff(computeDesired(snapshot, facts(), local) ?? new Map(), expected)).toEqual([]);
      }),
    );
  });

  it.each([
    ['cluster', { pools: null }],
    ['cluster', { pools: 'x' }],
    ['cluster', { exceptions: [null] }],
    ['cluster', { blockPrefixLength: 27 }],
    ['tenants/red', { egress: null }],
    ['tenants/red', { vni: 'x' }],
    ['tenants/red', { subnets: ['10.0.0.1/8'] }],
    ['nodes/node2', { underlay: 7 }],
  ])('treats %s with %j as absent', (key, wrong) => {
    const entry = world.find((each) => each.key === key);
    const snapshot = snapshotOf(world);
    snapshot.put({
      key,
      value: JSON.stringify({ ...JSON.parse(entry?.value ?? ''), ...wrong }),
      createRevision: 99,
      modRevision: 99,
    });
    expect([...snapshot.unreadable.keys()]).toEqual([key]);
    expect(() => computeDesired(snapshot, facts(), local)).not.toThrow();
  });

  it('treats a record it cannot read as absent, and says so', () => {
    const snapshot = snapshotOf(world);
    const odd = { key: 'tenants/red', value: '{"schema":99}', createRevision: 90, modRevision: 90 };
    snapshot.put(odd);
    snapshot.put({ ...odd, modRevision: 91 });
    expect(snapshot.tenant('red')).toBeUndefined();
    expect(snapshot.unreadable.get('tenants/red')).toMatchObject({
      key: 'tenants/red',
      kind: 'tenant',
      reason: expect.stringContaining('schema 99'),
    });
  });

  it('keeps the last good one in force when an update cannot be read', () => {
    const before = computeDesired(snapshotOf(world), facts(), local);
    const snapshot = snapshotOf(world);
    for (const entry of world) snapshot.put({ ...entry, value: '{"schema":99}', modRevision: 99 });
    expect(snapshot.unreadable.size).toBeGreaterThan(3);
    expect(computeDesired(snapshot, facts(), local)).toEqual(before);
    // It goes with the record, and comes back as it is then.
    snapshot.remove('tenants/red');
    expect(snapshot.tenant('red')).toBeUndefined();
    expect(snapshot.unreadable.has('tenants/red')).toBe(false);
  });

  it('does not take another object of the same name for an update', () => {
    const snapshot = snapshotOf(world);
    snapshot.put({ key: 'tenants/red', value: '{"schema":99}', createRevision: 98, modRevision: 99 });
    expect(snapshot.tenant('red')).toBeUndefined();
  });

  it('is not hurt by a key of another form', () => {
    const snapshot = snapshotOf(world);
    const key = 'blocks/red/zz';
    snapshot.put({ key, value: '{"schema":1,"node":"c9"}', createRevision: 99, modRevision: 99 });
    expect(snapshot.unreadable.get(key)?.reason).toContain('blocks/<tenant>/<address>-<length>');
    expect(computeDesired(snapshot, facts(), local)).toEqual(computeDesired(snapshotOf(world), facts(), local));
    snapshot.replace(
      'blocks/red/',
      world.filter((each) => each.key.startsWith('blocks/red/')),
    );
    expect(snapshot.unreadable.size).toBe(0);
  });
});

describe('desired state of a gateway', () => {
  const gateway = facts({ name: 'node3', roles: ['gateway'] });
  const none: LocalState = { endpoints: [], blocks: [] };

  it('reaches every tenant’s blocks through the system overlay, from its own address', () => {
    const state = computeDesired(snapshotOf(world), gateway, none);
    expect(state?.get('route 10.170.0.64/27')).toMatchObject({
      link: 'tnt1',
      gateway: '192.168.9.2',
      source: '10.128.0.1',
    });
    expect(state?.get('route 10.171.0.0/27')).toMatchObject({ link: 'tnt1' });
    expect(state?.has('address 10.128.0.1 dev tnt1')).toBe(true);
    expect(state?.has('element overlaySource tnt1 43')).toBe(true);
  });

  it('that is also a compute node hears answers by the system overlay, and calls by the tenant’s own', () => {
    const both = facts({ name: 'node3', roles: ['compute', 'gateway'] });
    const state = computeDesired(snapshotOf(world), both, {
      endpoints: [endpoint('bbbbbbbbbbbb', red, '10.170.0.97')],
      blocks: [],
    });
    expect(state?.get('route 10.170.0.64/27')).toMatchObject({ link: 'tnt42', source: '10.128.0.1' });
    expect(state?.get('route 10.171.0.0/27')).toMatchObject({ link: 'tnt1' });
    for (const key of ['tnt1 42', 'tnt1 43', 'tnt42 1', 'tnt42 42'])
      expect(state?.has(`element overlaySource ${key}`)).toBe(true);
  });

  it('reaches nothing before it has an address of its own', () => {
    const without = world.filter(({ key }) => !key.startsWith('blocks/system'));
    expect(keysOf(without, gateway, none).filter((key) => key.startsWith('route 10.17'))).toEqual([]);
  });
});
