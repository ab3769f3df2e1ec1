/** Overlay links and what stands on them, on a real kernel: any state is reached from any other. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { diff } from '../../dataplane/diff.ts';
import { applyLinks, observeLinks } from '../../dataplane/links/kernel-links.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { OVERLAY_GROUP } from '../../dataplane/ownership.ts';
import type {
  AddressItem,
  FdbItem,
  NeighbourItem,
  NodeState,
  OverlayLinkItem,
  RouteItem,
} from '../../dataplane/state.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { enterOwnNamespace, ip, ipJson, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

let rtnetlink: Rtnetlink;

beforeAll(() => {
  enterOwnNamespace();
  for (const name of ['under0', 'under1']) {
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-peer`);
    ip('link', 'set', name, 'up');
  }
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
});
afterAll(() => rtnetlink?.close());

/** One pass as the agent makes it, but for a deletion that waits. @returns what failed, by item key */
function pass(desired: NodeState): Map<string, Error> {
  return applyLinks(rtnetlink, diff(desired, observeLinks(rtnetlink)), (name) => ip('link', 'del', name));
}

function reach(desired: NodeState): void {
  pass(desired);
  if (diff(desired, observeLinks(rtnetlink)).length > 0) expect([...pass(desired)]).toEqual([]);
  expect(diff(desired, observeLinks(rtnetlink))).toEqual([]);
}

const mac = fc.constantFrom('0a:58:c0:00:02:01', '0a:58:c0:00:02:02').map(parseMac);

/** All that stands on one link, or no link at all. */
function overlay(name: string, vnis: readonly number[], network: number) {
  const hosts = fc.integer({ min: 1, max: 3 });
  const usual: OverlayLinkItem = {
    ...{ kind: 'overlayLink', name, vni: vnis[0] ?? 0, local: parseIp('192.0.2.1'), port: 4789, underlay: 'under0' },
    ...{ mac: parseMac('0a:58:c0:00:02:01'), mtu: 1400, up: true },
  };
  // Mostly the usual one: what stands on a link is changed in place only while the link stays.
  const link = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(usual, { ...usual, mtu: 1430 }) },
    fc.record<OverlayLinkItem>({
      ...{ kind: fc.constant('overlayLink'), name: fc.constant(name), mtu: fc.constant(1430), up: fc.constant(true) },
      vni: fc.constantFrom(...vnis),
      local: fc.constantFrom('192.0.2.1', '198.51.100.1', '2001:db8::1').map(parseIp),
      port: fc.constantFrom(4789, 4790),
      underlay: fc.constantFrom('under0', 'under1'),
      mac,
    }),
  );
  const address = fc.tuple(fc.boolean(), hosts).map(
    ([v6, host]): AddressItem => ({
      kind: 'address',
      link: name,
      address: parseIp(v6 ? `fd00:${network}::${host}` : `10.${network}.0.${host}`),
    }),
  );
  const neighbour = fc.tuple(fc.boolean(), hosts, mac).map(
    ([v6, host, of]): NeighbourItem => ({
      kind: 'neighbour',
      link: name,
      address: parseIp(v6 ? `fd01::${host}` : `203.0.113.${host}`),
      mac: of,
    }),
  );
  const fdb = fc.tuple(mac, hosts).map(
    ([of, host]): FdbItem => ({
      kind: 'fdb',
      link: name,
      mac: of,
      remote: parseIp(`203.0.113.${host}`),
    }),
  );
  const route = fc
    .tuple(fc.boolean(), hosts, fc.option(hosts, { nil: undefined }), fc.nat())
    .map(([v6, net, gateway, pick]) => ({ v6, net, gateway, pick }));
  return fc
    .option(fc.tuple(link, fc.array(address), fc.array(neighbour), fc.array(fdb), fc.array(route)), { nil: undefined })
    .map((drawn) => {
      if (drawn === undefined) return [];
      const [own, addresses, neighbours, fdbs, routes] = drawn;
      return [
        own,
        ...addresses,
        ...neighbours,
        ...fdbs.map((entry) => ({ ...entry, remote: own.local.includes(':') ? parseIp('2001:db8::9') : entry.remote })),
        ...routes.map(({ v6, net, gateway, pick }): RouteItem => {
          const sources = addresses.filter((each) => each.address.includes(':') === v6);
          const source = sources[pick % (sources.length + 1)]?.address;
          return {
            kind: 'route',
            type: 'unicast',
            destination: parsePrefix(v6 ? `fd02:${net}::/64` : `10.200.${net}.0/24`),
            link: name,
            ...(gateway === undefined ? {} : { gateway: parseIp(v6 ? `fd01::${gateway}` : `203.0.113.${gateway}`) }),
            ...(source === undefined ? {} : { source }),
          };
        }),
      ];
    });
}

const blackhole = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 3 })).map(
  ([v6, net]): RouteItem => ({
    kind: 'route',
    type: 'blackhole',
    destination: parsePrefix(v6 ? `fd02:${net}::/64` : `10.200.${net}.0/24`),
  }),
);

const state: fc.Arbitrary<NodeState> = fc
  .tuple(overlay('tnt42', [42, 52], 42), overlay('tnt43', [43, 53], 43), fc.array(blackhole, { maxLength: 2 }))
  .map((items) => stateOf(items.flat()));

const FULL: NodeState = stateOf([
  {
    kind: 'overlayLink',
    name: 'tnt42',
    vni: 42,
    local: parseIp('192.0.2.1'),
    port: 4789,
    underlay: 'under0',
    mac: parseMac('0a:58:c0:00:02:01'),
    mtu: 1450,
    up: true,
  },
  { kind: 'address', link: 'tnt42', address: parseIp('10.129.0.1') },
  { kind: 'neighbour', link: 'tnt42', address: parseIp('192.0.2.7'), mac: parseMac('0a:58:c0:00:02:07') },
  { kind: 'neighbour', link: 'under0', address: parseIp('192.0.2.8'), mac: parseMac('02:00:00:00:00:08') },
  { kind: 'fdb', link: 'tnt42', mac: parseMac('0a:58:c0:00:02:07'), remote: parseIp('192.0.2.7') },
  {
    kind: 'route',
    type: 'unicast',
    destination: parsePrefix('10.129.4.0/24'),
    link: 'tnt42',
    gateway: parseIp('192.0.2.7'),
    source: parseIp('10.129.0.1'),
  },
  { kind: 'route', type: 'blackhole', destination: parsePrefix('10.128.0.0/14') },
]);

describe('applyLinks', () => {
  it('reaches any state from any other within two passes', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        reach(a);
        reach(b);
      }),
      { numRuns: 60, interruptAfterTimeLimit: 15_000 },
    );
    reach(new Map());
  });

  it('reaches a whole tenant from nothing, and nothing from it, in one pass', () => {
    expect([...pass(FULL)]).toEqual([]);
    expect(diff(FULL, observeLinks(rtnetlink))).toEqual([]);
    expect([...pass(new Map())]).toEqual([]);
    expect(observeLinks(rtnetlink)).toEqual(new Map());
  });

  it('makes what iproute2 shows as meant', () => {
    reach(FULL);
    expect(ipJson('link', 'show', 'dev', 'tnt42')).toMatchObject([
      {
        address: '0a:58:c0:00:02:01',
        mtu: 1450,
        group: String(OVERLAY_GROUP),
        flags: expect.arrayContaining(['NOARP', 'UP']),
        inet6_addr_gen_mode: 'none',
        linkinfo: {
          info_kind: 'vxlan',
          info_data: {
            id: 42,
            link: 'under0',
            local: '192.0.2.1',
            port: 4789,
            learning: false,
            ttl: 64,
            udp_csum: false,
          },
        },
      },
    ]);
    expect(ipJson('address', 'show', 'dev', 'tnt42')[0]?.addr_info).toMatchObject([
      { family: 'inet', local: '10.129.0.1', prefixlen: 32 },
    ]);
    expect(ipJson('address', 'show', 'dev', 'tnt42')[0]?.addr_info).toHaveLength(1);
    expect(ipJson('route', 'show', 'proto', '126')).toMatchObject([
      { type: 'blackhole', dst: '10.128.0.0/14' },
      { dst: '10.129.4.0/24', gateway: '192.0.2.7', dev: 'tnt42', prefsrc: '10.129.0.1', flags: ['onlink'] },
    ]);
    expect(ipJson('neighbour', 'show', 'dev', 'tnt42')).toMatchObject([
      { dst: '192.0.2.7', lladdr: '0a:58:c0:00:02:07', state: ['PERMANENT'] },
    ]);
    expect(ipJson('neighbour', 'show', 'dev', 'under0')).toMatchObject([
      { dst: '192.0.2.8', lladdr: '02:00:00:00:00:08', state: ['PERMANENT'], protocol: '126' },
    ]);
    expect(JSON.parse(run('bridge', ['-json', 'fdb', 'show', 'dev', 'tnt42']))).toMatchObject([
      { mac: '0a:58:c0:00:02:07', dst: '192.0.2.7', state: 'permanent' },
    ]);
  });

  it.each([
    'link set tnt42 down',
    'link set tnt42 mtu 1300',
    'link set tnt42 group 0',
    'link set tnt42 arp on',
    'link set tnt42 address 0a:58:c0:00:02:99',
    'link del tnt42',
    'address del 10.129.0.1/32 dev tnt42',
    'address add 10.9.9.9/32 dev tnt42',
    'neighbour del 192.0.2.7 dev tnt42',
    'neighbour replace 192.0.2.7 lladdr 0a:58:c0:00:02:99 dev tnt42 nud permanent',
    'neighbour del 192.0.2.8 dev under0',
    'neighbour replace 192.0.2.8 lladdr 02:00:00:00:00:99 dev under0 nud permanent',
    'neighbour replace 192.0.2.8 lladdr 02:00:00:00:00:08 dev under0 nud reachable',
    'neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev under0 nud permanent protocol 126',
    'route del 10.129.4.0/24 proto 126',
    'route replace 10.129.4.0/24 via 192.0.2.8 dev tnt42 onlink proto 126',
    'route replace unreachable 10.128.0.0/14 proto 126',
    'route add 10.129.9.0/24 dev tnt42 proto 126',
  ])('sees and undoes: ip %s', (command) => {
    reach(FULL);
    ip(...command.split(' '));
    expect(diff(FULL, observeLinks(rtnetlink))).not.toEqual([]);
    reach(FULL);
  });

  it.each(['ttl 64', 'ttl 64 learning'])('makes an overlay link of another hand anew: vxlan %s', (settings) => {
    reach(new Map());
    const other = `link add tnt42 type vxlan id 42 dev under1 local 192.0.2.9 dstport 4789 ${settings}`;
    ip(...other.split(' '));
    reach(FULL);
  });

  it('says what failed by item key and does the rest', () => {
    reach(new Map());
    const lost = { kind: 'address', link: 'tnt77', address: parseIp('10.77.0.1') } as const;
    const failures = pass(stateOf([...FULL.values(), lost]));
    expect([...failures.keys()]).toEqual(['address 10.77.0.1 dev tnt77']);
    expect(diff(FULL, observeLinks(rtnetlink))).toEqual([]);
  });

  it('fails an overlay link whose underlay is not there, and makes it when it is', () => {
    reach(new Map());
    const tenant = stateOf(
      [...FULL.values()].map((item) => (item.kind === 'overlayLink' ? { ...item, underlay: 'under9' } : item)),
    );
    expect(pass(tenant).has('link tnt42')).toBe(true);
    ip('link', 'add', 'under9', 'type', 'veth', 'peer', 'name', 'under9-peer');
    reach(tenant);
    ip('link', 'del', 'under9');
  });
});
