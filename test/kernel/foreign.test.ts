/** What Tenet does not own stays as it was, byte for byte, whatever Tenet does beside it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { familyOf, parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { diff } from '../../dataplane/diff.ts';
import { ERRNO, KernelError } from '../../dataplane/errors.ts';
import { applyLinks, observeLinks } from '../../dataplane/links/kernel-links.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { type Item, itemKey } from '../../dataplane/state.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { enterOwnNamespace, ip, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

const DESTINATION = parsePrefix('10.129.4.0/24');
const DESTINATION6 = parsePrefix('fd02:1::/64');

let rtnetlink: Rtnetlink;

beforeAll(() => {
  enterOwnNamespace();
  // addrgenmode in a message of its own: in one with `up` the kernel obeys `up` first and makes an address that turns from tentative.
  const commands = [
    'link add eth9 type veth peer name eth9-peer',
    'link set eth9 addrgenmode none',
    'link set eth9 up',
    'address add 192.0.2.1/24 dev eth9',
    'address add 2001:db8::1/64 dev eth9 nodad',
    // Names and numbers beside ours.
    'link add tnp0a1b2c3d4e5 type ifb',
    'link add tnt0 type ifb',
    'link add tenet0 type ifb',
    'link add vx100 type vxlan id 100 dev eth9 local 192.0.2.1 dstport 4789 nolearning',
    'link set vx100 addrgenmode none',
    'link set vx100 up',
    'link set tnt0 addrgenmode none',
    'link set tnt0 up',
    'neighbour add 192.0.2.7 lladdr 0a:58:c0:00:02:07 dev eth9 nud permanent',
    'neighbour add 192.0.2.7 lladdr 0a:58:c0:00:02:07 dev tnt0 nud permanent',
    'route add 10.128.0.0/14 via 192.0.2.254 metric 50',
    'route add blackhole 10.250.0.0/16 proto static',
    'route add 10.129.5.0/24 via 192.0.2.253 proto static',
    'route add 10.129.4.0/24 via 192.0.2.253 table 100 proto 126',
    'route add fd02:9::/64 via 2001:db8::9 proto static',
    'rule add from 10.129.0.0/16 table 100 priority 1000 protocol 126',
  ];
  for (const command of commands) ip(...command.split(' '));
  run('bridge', 'fdb add 0a:58:c0:00:02:07 dev vx100 dst 192.0.2.7 self permanent'.split(' '));
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
});
afterAll(() => rtnetlink?.close());

const OVERLAY: Item = {
  kind: 'overlayLink',
  name: 'tnt42',
  vni: 42,
  local: parseIp('192.0.2.1'),
  port: 4789,
  underlay: 'eth9',
  mac: parseMac('0a:58:c0:00:02:01'),
  mtu: 1450,
  up: true,
};
const GATEWAY = parseIp('192.0.2.7');
const NEXT_HOP = parseMac('0a:58:c0:00:02:07');
const TENANT: readonly Item[] = [
  OVERLAY,
  { kind: 'address', link: 'tnt42', address: parseIp('10.129.0.1') },
  { kind: 'neighbour', link: 'tnt42', address: GATEWAY, mac: NEXT_HOP },
  { kind: 'fdb', link: 'tnt42', mac: NEXT_HOP, remote: GATEWAY },
  { kind: 'route', type: 'blackhole', destination: parsePrefix('10.128.0.0/14') },
  { kind: 'route', type: 'unicast', destination: DESTINATION, link: 'tnt42', gateway: GATEWAY },
];

function pass(items: readonly Item[]): Map<string, Error> {
  return applyLinks(rtnetlink, diff(stateOf(items), observeLinks(rtnetlink)), (name) => ip('link', 'del', name));
}

/** Everything that iproute2 shows, without counters; links of ours and what is on them left out. */
function foreign(): string {
  const rows = [
    ...['link', 'address', 'neighbour', 'route show table all', '-6 route show table all', 'rule', '-6 rule'].map(
      (what) => ['ip', ['-json', '-d', ...what.split(' ')]] as const,
    ),
    ['bridge', ['-json', 'fdb']] as const,
  ].flatMap(([tool, args]) => JSON.parse(run(tool, args) || '[]') as Record<string, unknown>[]);
  const ours = (row: Record<string, unknown>) => [row.ifname, row.dev, row.link].includes('tnt42');
  const blackhole = (row: Record<string, unknown>) => row.type === 'blackhole' && row.protocol === '126';
  return JSON.stringify(
    rows.filter((row) => !ours(row) && !blackhole(row)),
    null,
    1,
  );
}

describe('what others own', () => {
  it('is not seen as ours', () => {
    expect(observeLinks(rtnetlink)).toEqual(new Map());
  });

  it('stays as it was while a tenant comes, changes and goes', () => {
    const before = foreign();
    expect([...pass(TENANT)]).toEqual([]);
    expect(foreign()).toBe(before);
    pass(TENANT.map((item) => (item === OVERLAY ? { ...item, mac: parseMac('0a:58:c0:00:02:09') } : item)));
    pass(TENANT.filter((item) => item.kind !== 'fdb'));
    expect(foreign()).toBe(before);
    expect([...pass([])]).toEqual([]);
    expect(foreign()).toBe(before);
    expect(observeLinks(rtnetlink)).toEqual(new Map());
  });

  it('keeps its neighbours on its own links: ours come and go beside them', () => {
    const before = foreign();
    const on = (address: string): Item => ({
      kind: 'neighbour',
      link: 'eth9',
      address: parseIp(address),
      mac: NEXT_HOP,
    });
    expect([...pass([on('192.0.2.7'), on('192.0.2.8')])]).toEqual([]);
    expect([...observeLinks(rtnetlink).keys()]).toEqual(['neighbour 192.0.2.8 dev eth9']);
    expect([...pass([])]).toEqual([]);
    expect(foreign()).toBe(before);
    pass([on('192.0.2.8')]);
    // Others make one of their own in its place, between our look and our change.
    const removal = diff(stateOf([]), observeLinks(rtnetlink));
    ip(...'neighbour del 192.0.2.8 dev eth9'.split(' '));
    ip(...'neighbour add 192.0.2.8 lladdr 02:00:00:00:00:08 dev eth9 nud permanent'.split(' '));
    applyLinks(rtnetlink, removal, () => undefined);
    expect(ip('neighbour', 'show', '192.0.2.8', 'dev', 'eth9')).toContain('02:00:00:00:00:08');
    ip(...'neighbour del 192.0.2.8 dev eth9'.split(' '));
  });

  it.each([
    ['IPv4', 'add 10.129.4.0/24 via 192.0.2.253 proto static', { destination: DESTINATION, gateway: GATEWAY }],
    [
      'IPv6',
      'add fd02:1::/64 via 2001:db8::9 proto static',
      { destination: DESTINATION6, gateway: parseIp('fd01::7') },
    ],
  ])('keeps its %s route to a destination of ours: that is our failure', (_, command, ours) => {
    pass([]);
    const removal = command.replace('add', 'del').split(' ');
    ip('route', ...command.split(' '));
    const route: Item = { kind: 'route', type: 'unicast', link: 'tnt42', ...ours };
    const wanted = [...TENANT.filter(({ kind }) => kind !== 'route'), route];
    const before = foreign();
    const failure = pass(wanted).get(itemKey(route));
    expect(failure).toBeInstanceOf(KernelError);
    expect(failure).toMatchObject({ op: 'RTM_NEWROUTE', errno: ERRNO.EEXIST, object: `route ${ours.destination}` });
    expect(foreign()).toBe(before);
    ip('route', ...removal);
    expect([...pass(wanted)]).toEqual([]);
    ip('route', ...command.split(' '), 'metric', '7');
    pass([]);
    expect(ip(`-${familyOf(ours.destination)}`, 'route', 'show', ours.destination)).toContain('metric 7');
    ip('route', ...removal, 'metric', '7');
  });
});
