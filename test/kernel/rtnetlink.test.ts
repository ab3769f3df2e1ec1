/** rtnetlink on a real kernel: many changes in one send, refusals by name, settings that iproute2 cannot show, slow deletions. */
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressAt, hostPrefix, parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import {
  encodeAddVeth,
  encodeAddVxlan,
  encodeDelLinkGroup,
  encodeSetLink,
  type LinkChanges,
} from '../../dataplane/codecs/rtnetlink/link.ts';
import {
  encodeAddRoute,
  encodeDelRoute,
  encodeReplaceRoute,
  type Route,
} from '../../dataplane/codecs/rtnetlink/route.ts';
import { RtBatch, Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { IPV4_DEVCONF } from '../../dataplane/codecs/rtnetlink/uapi.ts';
import { ERRNO } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { linkIndex } from '../../dataplane/system/libc.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { whenReadable } from '../../dataplane/system/readiness.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { enterOwnNamespace, ip, ipJson } from './namespace.ts';

const MAC = parseMac('0a:58:c0:00:02:01');

let rtnetlink: Rtnetlink;
let lo: number;

beforeAll(() => {
  enterOwnNamespace();
  rtnetlink = connect();
  lo = linkIndex('lo') ?? 0;
});
afterAll(() => rtnetlink?.close());

function connect(): Rtnetlink {
  return new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
}

function routeTo(destination: string, tweak: Partial<Route> = {}): Route {
  return { destination: parsePrefix(destination), type: 'unicast', protocol: 126, table: 254, ...tweak };
}

function change(encode: Parameters<RtBatch['add']>[2]): void {
  rtnetlink.sendAll(new RtBatch().add('change', 'what is tested', encode));
}

describe('a batch', () => {
  const pool = parsePrefix('10.128.0.0/14');
  const routes = Array.from({ length: 20_000 }, (_, index) =>
    routeTo(hostPrefix(addressAt(pool, index)), { linkIndex: lo }),
  );

  it('of 20,000 changes loses no answer, and says of each what became of it', () => {
    const batch = new RtBatch();
    for (const [index, route] of routes.entries()) {
      // one in a thousand through a link that does not exist
      const tweaked = index % 1000 === 999 ? { ...route, linkIndex: 99_999 } : { ...route, linkIndex: lo };
      batch.add('RTM_NEWROUTE', `route ${route.destination}`, (out) => encodeAddRoute(out, tweaked));
    }
    const errors = rtnetlink.send(batch);
    expect([...errors.keys()]).toEqual(Array.from({ length: 20 }, (_, n) => n * 1000 + 999));
    expect(errors.get(999)).toMatchObject({
      op: 'RTM_NEWROUTE',
      object: `route ${routes[999]?.destination}`,
      errno: ERRNO.ENODEV,
    });
    expect(rtnetlink.routes(4, 126)).toHaveLength(19_980);
  });

  it('leaves out the errors that mean it is as wanted', () => {
    const batch = new RtBatch();
    const absent = [ERRNO.ESRCH];
    for (const route of routes) {
      const encode: Parameters<RtBatch['add']>[2] = (out) => encodeDelRoute(out, { ...route, linkIndex: lo });
      batch.add('RTM_DELROUTE', `route ${route.destination}`, encode, absent);
    }
    expect(rtnetlink.send(batch).size).toBe(0);
    expect(rtnetlink.routes(4, 126)).toEqual([]);
  });

  it('that fails says what the kernel had to say, and about which attribute', () => {
    const far = routeTo('10.9.0.0/16', { gateway: parseIp('203.0.113.1'), linkIndex: lo });
    const batch = new RtBatch().add('RTM_NEWROUTE', 'route 10.9.0.0/16', (out) => encodeAddRoute(out, far));
    expect(() => rtnetlink.sendAll(batch)).toThrow(/RTM_NEWROUTE route 10\.9\.0\.0\/16: .*\(.*gateway.*\)/i);
    const badMtu = new RtBatch().add('RTM_SETLINK', 'link lo', (out) => encodeSetLink(out, 'no-such-link', { mtu: 9 }));
    expect([...rtnetlink.send(badMtu).values()]).toMatchObject([{ object: 'link lo', errno: ERRNO.ENODEV }]);
  });

  it('of nothing sends nothing', () => {
    expect(rtnetlink.send(new RtBatch()).size).toBe(0);
  });
});

describe('routes', () => {
  it.each([
    routeTo('10.1.0.0/16', { type: 'blackhole' }),
    routeTo('10.2.0.0/16', { type: 'unreachable', metric: 5 }),
    routeTo('10.3.0.0/16', { type: 'prohibit', table: 1000 }),
    routeTo('fd01::/64', { type: 'blackhole', metric: 7 }),
  ])('are read as they were written: $type $destination', (route) => {
    const family = route.destination.includes(':') ? 6 : 4;
    change((out) => encodeReplaceRoute(out, route));
    const [found, ...more] = rtnetlink.routes(family, 126);
    expect(more).toEqual([]);
    expect(found).toMatchObject(route);
    expect(ipJson(`-${family}`, 'route', 'show', 'table', 'all', 'proto', '126')).toMatchObject([
      { type: route.type, dst: route.destination },
    ]);
    change((out) => encodeDelRoute(out, route));
    expect(rtnetlink.routes(family, 126)).toEqual([]);
  });

  it('of another protocol are not sent along', () => {
    ip('route', 'add', '10.4.0.0/16', 'dev', 'lo', 'proto', '99');
    change((out) => encodeReplaceRoute(out, routeTo('10.5.0.0/16', { linkIndex: lo })));
    expect(rtnetlink.routes(4, 126).map(({ destination }) => destination)).toEqual(['10.5.0.0/16']);
    expect(rtnetlink.routes(4).map(({ destination }) => destination)).toContain('10.4.0.0/16');
    ip('route', 'flush', 'proto', '126');
  });
});

describe('a link', () => {
  const setting = (name: string) => Number(readFileSync(`/proc/sys/net/ipv4/conf/set0/${name}`, 'utf8'));
  const SETTINGS = Object.keys(IPV4_DEVCONF) as (keyof typeof IPV4_DEVCONF)[];

  it.each(SETTINGS)('takes the setting %s', (name) => {
    ip('link', 'add', 'set0', 'type', 'ifb');
    try {
      for (const value of [1, 0]) {
        change((out) => encodeSetLink(out, 'set0', { ipv4: { [name]: value } satisfies LinkChanges['ipv4'] }));
        expect(setting(name)).toBe(value);
      }
    } finally {
      ip('link', 'del', 'set0');
    }
  });

  it('that is to have no IPv6 address of its own making has none when it is up', () => {
    const withAddress = (name: string) => ipJson<{ addr_info: unknown[] }>('-6', 'address', 'show', 'dev', name);
    change((out) => encodeAddVxlan(out, vxlan('quiet0', 1)));
    change((out) => encodeAddVxlan(out, vxlan('loud0', 2)));
    change((out) => encodeSetLink(out, 'quiet0', { ipv6LinkLocal: false }));
    for (const name of ['quiet0', 'loud0']) change((out) => encodeSetLink(out, name, { up: true, noArp: true }));
    expect(withAddress('loud0')[0]?.addr_info).toHaveLength(1);
    expect(withAddress('quiet0')).toEqual([]);
    for (const name of ['quiet0', 'loud0']) ip('link', 'del', name);
  });

  it('of a group goes with the whole group, and the event loop turns meanwhile', async () => {
    const group = 4711;
    const deleting = connect();
    change((out) => encodeAddVxlan(out, vxlan('stays', 99)));
    let most = 0;
    // A loop that stood still while the kernel was busy would turn once or twice each time; on a busy machine so may one that did not.
    for (let tries = 0; tries < 5 && most <= 3; tries++) most = Math.max(most, await turnsDuringDeletion());
    expect(most).toBeGreaterThan(3);
    ip('link', 'del', 'stays');
    deleting.close();

    async function turnsDuringDeletion(): Promise<number> {
      for (let index = 0; index < 200; index++)
        change((out) => encodeAddVxlan(out, { ...vxlan(`gone${index}`, 100 + index), group }));
      const batch = new RtBatch().add('RTM_DELLINK', `links of group ${group}`, (out) =>
        encodeDelLinkGroup(out, group),
      );
      let isOver = false;
      const over = deleting.sendAsync(batch).finally(() => {
        isOver = true;
      });
      let turns = 0;
      while (!isOver) {
        await nextTurn();
        turns++;
      }
      expect((await over).size).toBe(0);
      expect(rtnetlink.links().map(({ name }) => name)).toEqual(['lo', 'stays']);
      return turns;
    }
  });

  it('that cannot be made leaves nothing behind', () => {
    const peer = { name: 'eth0', mac: MAC, netnsFd: 9999 };
    const spec = { name: 'tnp000000000001', mac: MAC, mtu: 1450, group: 1, peer };
    expect(() => change((out) => encodeAddVeth(out, spec))).toThrow('EBADF');
    expect(rtnetlink.links().map(({ name }) => name)).toEqual(['lo']);
  });

  function vxlan(name: string, vni: number) {
    const local = parseIp('192.0.2.1');
    return { name, vni, local, port: 4789, underlayIndex: 0, mac: MAC, mtu: 1450, group: 1 };
  }
});

describe('a datagram longer than there is room for', () => {
  it('is read whole when it is waited for, and called lost, once, when it was only looked for', () => {
    const dumping = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE, [], 16)));
    expect(dumping.links().map(({ name }) => name)).toContain('lo');
    dumping.close();
    const listener = new NetlinkSocket(NETLINK_ROUTE, [1], 16);
    ip('link', 'set', 'lo', 'mtu', '1400');
    ip('link', 'set', 'lo', 'mtu', '65536');
    expect(() => listener.poll()).toThrow(expect.objectContaining({ errno: ERRNO.ENOBUFS }));
    expect(listener.poll()?.length).toBeGreaterThan(16);
    expect(listener.poll()).toBeUndefined();
    listener.close();
  });
});

describe('waiting for a socket', () => {
  it('calls back when there is something to read, as often as it takes, and ends at once', async () => {
    const listener = new NetlinkSocket(NETLINK_ROUTE, [1]);
    let heard = 0;
    const end = whenReadable([listener.fd], () => {
      while (listener.poll() !== undefined) heard++;
    });
    for (const mtu of ['1400', '1300', '1200']) {
      const before = heard;
      ip('link', 'set', 'lo', 'mtu', mtu);
      await waitFor(() => heard > before, { what: `news of mtu ${mtu}` });
    }
    end();
    end();
    const after = heard;
    ip('link', 'set', 'lo', 'mtu', '65536');
    await nextTurn();
    expect(heard).toBe(after);
    expect(listener.poll()).toBeDefined();
    listener.close();
  });
});
