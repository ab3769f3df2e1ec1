/** A container's interface as iproute2 sees it, from the host and from inside. */
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseMac } from '../../dataplane/address.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import type { PodSpec } from '../../dataplane/dataplane.ts';
import { InvalidNetns, KernelError } from '../../dataplane/errors.ts';
import { createPod, setPodMtu, viewPod } from '../../dataplane/links/kernel-pods.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { HOST_END_MAC, POD_GATEWAY, POD_GROUP } from '../../dataplane/ownership.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { addNamespace, enterOwnNamespace, ip, ipJson, type OtherNamespace, run } from './namespace.ts';

const LINK = 'tnp0a1b2c3d4e5f';
const ADDRESS = parseIp('10.129.0.5');
const MAC = parseMac('0a:58:0a:81:00:05');

let rtnetlink: Rtnetlink;
let container: OtherNamespace;

beforeAll(() => {
  enterOwnNamespace();
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
});
afterAll(() => rtnetlink?.close());

beforeEach(() => {
  container = addNamespace();
});
afterEach(() => {
  if (ipJson('link').some(({ ifname }) => ifname === LINK)) ip('link', 'del', LINK);
  container.remove();
});

function spec(tweak: Partial<PodSpec> = {}): PodSpec {
  return {
    link: LINK,
    netns: container.path,
    ifname: 'eth0',
    mac: MAC,
    mtu: 1450,
    addresses: [ADDRESS],
    ...tweak,
  };
}

const setting = (link: string, name: string) => run('cat', [`/proc/sys/net/ipv4/conf/${link}/${name}`]).trim();
const inside = (...args: string[]) => ipJson('-n', container.name, ...args);
const only = (rows: readonly Readonly<Record<string, unknown>>[]) => {
  expect(rows).toHaveLength(1);
  return rows[0] ?? {};
};

/** Sets the host's end up, and waits until the kernel has given the container's end its link-local address: news of the carrier is out. */
async function comeUp(): Promise<void> {
  ip('link', 'set', LINK, 'up');
  const local = () => inside('address', 'show', 'dev', 'eth0', 'scope', 'link');
  await waitFor(() => local().some(({ addr_info: found }) => Array.isArray(found) && found.length > 0), {
    what: 'a link-local address in the container',
  });
}

describe('the host’s end', () => {
  it('stays down until told, answers no ARP and is in the pods’ group', () => {
    createPod(rtnetlink, spec());
    const link = only(ipJson('link', 'show', 'dev', LINK));
    expect(link).toMatchObject({
      address: HOST_END_MAC,
      mtu: 1450,
      group: String(POD_GROUP),
      num_tx_queues: 1,
      num_rx_queues: 1,
      linkinfo: { info_kind: 'veth' },
      inet6_addr_gen_mode: 'none',
    });
    expect(link.flags).toContain('NOARP');
    expect(link.flags).not.toContain('UP');
  });

  it('has no address of any family, even when it comes up', async () => {
    createPod(rtnetlink, spec());
    await comeUp();
    expect(only(ipJson('link', 'show', 'dev', LINK)).operstate).toBe('UP');
    expect(only(ipJson('address', 'show', 'dev', LINK)).addr_info).toEqual([]);
  });

  it('forwards, and neither redirects, believes redirects nor filters by reverse path', () => {
    createPod(rtnetlink, spec());
    expect(
      Object.fromEntries(
        [
          'forwarding',
          'rp_filter',
          'accept_redirects',
          'send_redirects',
          'proxy_arp',
          'arp_ignore',
          'route_localnet',
        ].map((name) => [name, setting(LINK, name)]),
      ),
    ).toEqual({
      forwarding: '1',
      rp_filter: '0',
      accept_redirects: '0',
      send_redirects: '0',
      proxy_arp: '0',
      arp_ignore: '8',
      route_localnet: '0',
    });
  });
});

describe('the container’s end', () => {
  it('is up under its final name with its own MAC, MTU and one address', () => {
    createPod(rtnetlink, spec());
    const link = only(inside('address', 'show', 'dev', 'eth0'));
    expect(link).toMatchObject({ address: MAC, mtu: 1450, num_tx_queues: 1, num_rx_queues: 1 });
    expect(link.flags).toContain('UP');
    expect(link.addr_info).toMatchObject([{ family: 'inet', local: ADDRESS, prefixlen: 32, scope: 'global' }]);
  });

  it('knows one way out, and its neighbour for good', () => {
    createPod(rtnetlink, spec());
    expect(inside('route')).toMatchObject([
      { dst: 'default', gateway: POD_GATEWAY, dev: 'eth0', flags: expect.arrayContaining(['onlink']) },
      { dst: POD_GATEWAY, dev: 'eth0', scope: 'link' },
    ]);
    expect(inside('neighbour')).toMatchObject([
      { dst: POD_GATEWAY, dev: 'eth0', lladdr: HOST_END_MAC, state: ['PERMANENT'] },
    ]);
  });

  it('replaces what an earlier try left', () => {
    createPod(rtnetlink, spec());
    createPod(rtnetlink, spec({ mtu: 1400, addresses: [parseIp('10.129.0.6')] }));
    const link = only(inside('address', 'show', 'dev', 'eth0'));
    expect(link.mtu).toBe(1400);
    expect(link.addr_info).toMatchObject([{ local: '10.129.0.6' }]);
  });

  it('is not made over an interface that the container already has', () => {
    ip('-n', container.name, 'link', 'add', 'eth0', 'type', 'bridge');
    expect(() => createPod(rtnetlink, spec())).toThrow(KernelError);
    expect(only(inside('link', 'show', 'dev', 'eth0')).linkinfo).toMatchObject({ info_kind: 'bridge' });
    expect(ipJson('link').map(({ ifname }) => ifname)).not.toContain(LINK);
  });
});

describe('viewPod', () => {
  it('sees what createPod made, and not the link-local address that the kernel adds', async () => {
    createPod(rtnetlink, spec());
    await comeUp();
    expect(viewPod(container.path, 'eth0')).toEqual({
      ifname: 'eth0',
      mac: MAC,
      mtu: 1450,
      up: true,
      addresses: [ADDRESS],
      hasDefaultRoute: true,
      knowsGateway: true,
    });
  });

  it('notices an address, a neighbour, a default route and a link that are gone', () => {
    createPod(rtnetlink, spec());
    ip('-n', container.name, 'neighbour', 'del', '169.254.1.1', 'dev', 'eth0');
    expect(viewPod(container.path, 'eth0')).toMatchObject({ knowsGateway: false });
    ip('-n', container.name, 'route', 'del', 'default');
    expect(viewPod(container.path, 'eth0')).toMatchObject({ hasDefaultRoute: false });
    ip('-n', container.name, 'address', 'del', `${ADDRESS}/32`, 'dev', 'eth0');
    expect(viewPod(container.path, 'eth0')).toMatchObject({ addresses: [] });
    ip('-n', container.name, 'link', 'set', 'eth0', 'down');
    expect(viewPod(container.path, 'eth0')).toMatchObject({ up: false });
  });

  it('says undefined for an interface or a namespace that is gone', () => {
    expect(viewPod(container.path, 'eth0')).toBeUndefined();
    expect(viewPod('/run/netns/tenet-test-no-such', 'eth0')).toBeUndefined();
  });
});

describe('setPodMtu', () => {
  it('sets the MTU of the container’s end alone', () => {
    createPod(rtnetlink, spec());
    setPodMtu(container.path, 'eth0', 1300);
    expect(only(inside('link', 'show', 'dev', 'eth0')).mtu).toBe(1300);
    expect(only(ipJson('link', 'show', 'dev', LINK)).mtu).toBe(1450);
  });

  it('does nothing for an interface or a namespace that is gone', () => {
    expect(() => setPodMtu(container.path, 'eth0', 1300)).not.toThrow();
    expect(() => setPodMtu('/run/netns/tenet-test-no-such', 'eth0', 1300)).not.toThrow();
  });
});

describe('a path that is no network namespace', () => {
  it('is InvalidNetns when nothing is there, and nothing is made', () => {
    expect(() => createPod(rtnetlink, spec({ netns: '/run/netns/tenet-test-no-such' }))).toThrow(InvalidNetns);
    expect(ipJson('link').map(({ ifname }) => ifname)).not.toContain(LINK);
  });

  it('is InvalidNetns when it is a plain file or a namespace of another kind, and nothing is made', () => {
    const file = join(tmpdir(), `tenet-test-${process.pid}`);
    writeFileSync(file, '');
    try {
      for (const path of [file, '/proc/self/ns/uts']) {
        expect(() => createPod(rtnetlink, spec({ netns: path })), path).toThrow(InvalidNetns);
        expect(viewPod(path, 'eth0'), path).toBeUndefined();
      }
    } finally {
      rmSync(file);
    }
    expect(ipJson('link').map(({ ifname }) => ifname)).not.toContain(LINK);
  });
});
