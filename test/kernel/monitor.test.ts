/** News of foreign changes to what is ours, and silence about everything else. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { diff } from '../../dataplane/diff.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import { KernelMonitor } from '../../dataplane/kernel-monitor.ts';
import type { Item, NodeState } from '../../dataplane/state.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { addNamespace, enterOwnNamespace, ip, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

const POD_LINK = 'tnp0a1b2c3d4e5f';
const GATEWAY = parseIp('192.0.2.7');
const NEXT_HOP = parseMac('0a:58:c0:00:02:07');
const TENANT: NodeState = stateOf([
  {
    kind: 'overlayLink',
    name: 'tnt42',
    vni: 42,
    local: parseIp('192.0.2.1'),
    port: 4789,
    underlay: 'eth9',
    mac: parseMac('0a:58:c0:00:02:01'),
    mtu: 1450,
    up: true,
  },
  { kind: 'address', link: 'tnt42', address: parseIp('10.129.0.1') },
  { kind: 'neighbour', link: 'tnt42', address: GATEWAY, mac: NEXT_HOP },
  { kind: 'neighbour', link: 'eth8', address: parseIp('192.0.2.9'), mac: NEXT_HOP },
  { kind: 'fdb', link: 'tnt42', mac: NEXT_HOP, remote: GATEWAY },
  { kind: 'route', type: 'unicast', destination: parsePrefix('10.129.4.0/24'), link: 'tnt42', gateway: GATEWAY },
  { kind: 'route', type: 'blackhole', destination: parsePrefix('10.128.0.0/14') },
]);

/** whose monitor it is */
let dataplane: KernelDataplane;
/** makes what is there in the beginning: the other one has not just changed anything itself */
let maker: KernelDataplane;
let monitor: { close(): void };
let news: string[];

beforeAll(() => {
  enterOwnNamespace();
  for (const name of ['eth8', 'eth9']) {
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-peer`);
    ip('link', 'set', name, 'addrgenmode', 'none');
    ip('link', 'set', name, 'up');
  }
  dataplane = KernelDataplane.open();
  maker = KernelDataplane.open();
});
afterAll(() => {
  maker?.close();
  dataplane?.close();
});

beforeEach(async () => {
  news = [];
  await settle(TENANT, maker);
  dataplane.observe(new Map());
  monitor = dataplane.monitor((what) => news.push(what), ['eth9']);
});
afterEach(() => monitor.close());

/** Applies until the kernel is as wanted. */
async function settle(desired: NodeState, by = dataplane): Promise<void> {
  await waitFor(
    () => {
      const changes = diff(desired, linksSeen(by));
      if (changes.length > 0) by.apply(changes, desired);
      return changes.length === 0;
    },
    { what: 'the kernel as wanted' },
  );
}

/** What is there apart from rules. */
function linksSeen(by: KernelDataplane): NodeState {
  const isLinks = ([, item]: [string, Item]) => item.kind !== 'element' && item.kind !== 'ruleSet';
  return new Map([...by.observe(new Map())].filter(isLinks));
}

async function firstNews(): Promise<string> {
  return waitFor(() => news[0], { what: 'news' });
}

describe('the monitor tells of', () => {
  it.each([
    ['link set tnt42 down', 'link tnt42'],
    ['link set tnt42 mtu 1300', 'link tnt42'],
    ['link set tnt42 arp on', 'link tnt42'],
    ['link set tnt42 group 0', 'link tnt42'],
    ['route del 10.129.4.0/24 proto 126', 'route 10.129.4.0/24'],
    ['route replace 10.129.4.0/24 via 192.0.2.8 dev tnt42 onlink proto 126', 'route 10.129.4.0/24'],
    ['route replace 10.129.4.0/24 dev eth8 proto static', 'route 10.129.4.0/24'],
    ['route del blackhole 10.128.0.0/14', 'route 10.128.0.0/14'],
    ['route add 10.129.9.0/24 dev eth8 proto 126', 'route 10.129.9.0/24'],
    ['neighbour del 192.0.2.7 dev tnt42', 'neighbour 192.0.2.7'],
    ['neighbour replace 192.0.2.7 lladdr 0a:58:c0:00:02:99 dev tnt42 nud permanent', 'neighbour 192.0.2.7'],
    ['neighbour add 192.0.2.8 lladdr 0a:58:c0:00:02:99 dev tnt42 nud permanent', 'neighbour 192.0.2.8'],
    ['neighbour del 192.0.2.9 dev eth8', 'neighbour 192.0.2.9'],
    ['neighbour replace 192.0.2.9 lladdr 0a:58:c0:00:02:99 dev eth8 nud permanent', 'neighbour 192.0.2.9'],
    ['neighbour add 192.0.2.10 lladdr 0a:58:c0:00:02:99 dev eth8 nud permanent protocol 126', 'neighbour 192.0.2.10'],
    ['address del 10.129.0.1/32 dev tnt42', 'address 10.129.0.1'],
    ['address add 10.9.9.9/32 dev tnt42', 'address 10.9.9.9'],
    ['address add 10.9.9.9/32 dev eth9', 'address 10.9.9.9'],
    ['link set eth9 mtu 1400', 'link eth9'],
    ['link set eth9 down', 'link eth9'],
  ])('ip %s', async (command, what) => {
    ip(...command.split(' '));
    expect(await firstNews()).toBe(what);
    ip('link', 'set', 'eth9', 'up', 'mtu', '1500');
    ip('address', 'flush', 'dev', 'eth9');
    if (/ (replace|add) .* eth8/.test(command)) ip(...command.replace(/ (replace|add) /, ' del ').split(' '));
  });

  it.each([
    ['net.ipv4.conf.tnt42.forwarding=0', /^(settings of|link) tnt42$/],
    ['net.ipv4.conf.tnt42.rp_filter=1', /^(settings of|link) tnt42$/],
    ['net.ipv4.conf.tnt42.proxy_arp=1', /^(settings of|link) tnt42$/],
    ['net.ipv4.conf.eth9.forwarding=0', /^forwarding of eth9$/],
  ])('sysctl %s', async (setting, what) => {
    run('sysctl', ['-qw', 'net.ipv4.conf.eth9.forwarding=1']);
    run('sysctl', ['-qw', setting]);
    expect(await firstNews()).toMatch(what);
    await settle(TENANT);
  });

  it('forwarding that is switched off for the whole node', async () => {
    run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
    run('sysctl', ['-qw', 'net.ipv4.ip_forward=0']);
    expect(await firstNews()).toMatch(/^((settings of|link) tnt42|forwarding of eth9)$/);
    await settle(TENANT);
  });

  it('settings of which the kernel tells nothing, at its next look', async () => {
    const looking = new KernelMonitor({
      ...{ ownPorts: new Set(), unsettled: new Set(), alsoLinks: new Set(), lookAtLinksMs: 20 },
      ...{ links: () => dataplane.links(), wanted: () => TENANT, onIptables: () => undefined },
      onForeignChange: (what) => news.push(what),
    });
    try {
      for (const setting of ['accept_redirects=1', 'send_redirects=1', 'route_localnet=1', 'arp_ignore=0']) {
        news = [];
        run('sysctl', ['-qw', `net.ipv4.conf.tnt42.${setting}`]);
        expect(await firstNews()).toBe('link tnt42');
        await settle(TENANT);
      }
    } finally {
      looking.close();
    }
  });

  it('a tunnel’s end that is taken away', async () => {
    run('bridge', ['fdb', 'del', NEXT_HOP, 'dev', 'tnt42', 'dst', GATEWAY]);
    expect(await firstNews()).toBe(`neighbour ${GATEWAY}`);
  });

  it('a link of ours that another program deletes', async () => {
    ip('link', 'del', 'tnt42');
    await waitFor(() => news.length > 0, { what: 'news' });
    await settle(TENANT);
  });

  it('a link of ours that another program deletes just after it was put right', async () => {
    for (let round = 0; round < 2; round++) {
      news = [];
      ip('link', 'del', 'tnt42');
      await waitFor(() => news.length > 0, { what: `news of deletion ${round + 1}` });
      await settle(TENANT);
    }
  });

  it.each([
    ['an element', 'add element inet tenet s { 1.2.3.4 }'],
    ['a rule', 'add rule inet tenet c accept'],
    ['a chain', 'add chain inet tenet d'],
    ['a table', 'delete table inet tenet'],
    ['everything', 'flush ruleset'],
  ])('our rules changed by nft: %s', async (_, command) => {
    monitor.close();
    run('nft', ['-f', '-'], 'table inet tenet { set s { type ipv4_addr; }; chain c { }; }');
    monitor = dataplane.monitor((what) => news.push(what), []);
    run('nft', command.split(' '));
    expect(await firstNews()).toBe('rules');
    run('nft', ['flush', 'ruleset']);
  });

  it('tables that iptables decides in, changed by the variant of its programs that writes nftables', async () => {
    let heard = 0;
    const other = new KernelMonitor({
      ownPorts: new Set(),
      unsettled: new Set(),
      alsoLinks: new Set(),
      links: () => dataplane.links(),
      wanted: () => TENANT,
      onForeignChange: (what) => news.push(what),
      onIptables: () => heard++,
    });
    try {
      run('iptables-nft', ['-A', 'FORWARD', '-j', 'ACCEPT']);
      run('nft', ['add', 'table', 'inet', 'tenet']);
      await waitFor(() => news.length >= 2, { what: 'news of both monitors, which come after it' });
      expect(heard).toBe(0);
      run('iptables-nft', ['-t', 'mangle', '-I', 'FORWARD', '-j', 'ACCEPT']);
      await waitFor(() => heard > 0, { what: 'word of a rule' });
      heard = 0;
      run('nft', ['flush', 'ruleset']);
      await waitFor(() => heard > 0, { what: 'word of the end of all rules' });
    } finally {
      other.close();
    }
  });

  it('filters of a pod’s link that another program puts there or takes away', async () => {
    ip('link', 'add', POD_LINK, 'type', 'ifb');
    await firstNews();
    run('tc', ['qdisc', 'add', 'dev', POD_LINK, 'clsact']);
    for (const command of [
      ['filter', 'add', 'dev', POD_LINK, 'ingress', 'bpf', 'da', 'bytecode', '1,6 0 0 2,'],
      ['qdisc', 'del', 'dev', POD_LINK, 'clsact'],
    ]) {
      news = [];
      run('tc', command);
      expect(await firstNews()).toBe(`filters of ${POD_LINK}`);
    }
    ip('link', 'del', POD_LINK);
  });

  it('a burst of changes once', async () => {
    for (let net = 10; net < 20; net++) ip('route', 'add', `10.129.${net}.0/24`, 'dev', 'eth8', 'proto', '126');
    await firstNews();
    const told = news.length;
    expect(told).toBeLessThan(5);
    for (let net = 10; net < 20; net++) ip('route', 'del', `10.129.${net}.0/24`, 'dev', 'eth8', 'proto', '126');
  });
});

/** A foreign change that is news: whatever was told before it would have been told first. */
const SENTINEL = 'route add blackhole 10.129.99.0/24 proto 126';

async function expectSilence(): Promise<void> {
  ip(...SENTINEL.split(' '));
  expect(await firstNews()).toBe('route 10.129.99.0/24');
  ip(...SENTINEL.replace('add', 'del').split(' '));
}

describe('the monitor is silent about', () => {
  it.each([
    'link set eth8 mtu 1400',
    'link set eth8 down',
    'link set eth8 up',
    'link add tnp0a1b2c3d4e5 type ifb',
    'link del tnp0a1b2c3d4e5',
    'address add 10.9.9.8/32 dev eth8',
    'address del 10.9.9.8/32 dev eth8',
    'route add 10.1.0.0/16 dev eth8 proto static',
    'route del 10.1.0.0/16 dev eth8 proto static',
    'route add 10.129.4.0/24 dev eth8 proto 126 table 100',
    'route flush table 100',
    'neighbour add 192.0.2.7 lladdr 0a:58:c0:00:02:99 dev eth8 nud permanent',
    'neighbour del 192.0.2.7 dev eth8',
    'rule add from 10.0.0.0/8 table 100 priority 77',
    'rule del priority 77',
  ])('ip %s', async (command) => {
    ip(...command.split(' '));
    await expectSilence();
  });

  it('other tables', async () => {
    run(
      'nft',
      ['-f', '-'],
      'table inet other { set s { type ipv4_addr; elements = { 1.2.3.4 } }; chain c { accept; }; }',
    );
    run('nft', ['-f', '-'], 'table ip tenet6 { chain tenet { }; }');
    run('nft', ['delete', 'table', 'inet', 'other']);
    // Both sockets are read whenever one has something, and news of rules would overtake this.
    await expectSilence();
    run('nft', ['add', 'table', 'inet', 'tenet']);
    await waitFor(() => news.includes('rules'), { what: 'news of a table of ours' });
    run('nft', ['flush', 'ruleset']);
  });

  it('what the dataplane does itself', async () => {
    const without = stateOf([...TENANT.values()].filter(({ kind }) => kind === 'overlayLink'));
    await settle(without);
    await settle(TENANT);
    await settle(
      stateOf([...TENANT.values()].map((item) => (item.kind === 'overlayLink' ? { ...item, mtu: 1400 } : item))),
    );
    await settle(new Map());
    await settle(TENANT);
    await expectSilence();
  });

  /** With false timers: no news but the sentinel's, once all has been heard and every doubt has had its time. */
  async function expectNothingLater(): Promise<void> {
    ip(...SENTINEL.split(' '));
    const tick = () => vi.advanceTimersByTime(1) && news.length > 0;
    await waitFor(tick, { what: 'news', everyMs: 1 });
    vi.advanceTimersByTime(10_000);
    expect(news).toEqual(['route 10.129.99.0/24']);
    ip(...SENTINEL.replace('add', 'del').split(' '));
  }

  it('pods that the dataplane makes and deletes, then and later', async () => {
    // Doubts about links that are being made are voiced later: the clock is turned by hand once all has been heard.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const container = addNamespace();
    try {
      for (let round = 0; round < 3; round++) {
        dataplane.createPod({
          link: POD_LINK,
          netns: container.path,
          ifname: 'eth0',
          mac: NEXT_HOP,
          mtu: 1450,
          addresses: [parseIp('10.129.0.5')],
        });
        const pod: Item = { kind: 'podLink', name: POD_LINK, mtu: 1450, up: true };
        const route: Item = {
          kind: 'route',
          type: 'unicast',
          destination: parsePrefix('10.129.0.5/32'),
          link: POD_LINK,
        };
        await settle(stateOf([...TENANT.values(), pod, route]));
        await settle(stateOf([...TENANT.values(), pod]));
        // As DEL does it: first it is not wanted any more.
        dataplane.apply(diff(TENANT, linksSeen(dataplane)), TENANT);
        expect(await dataplane.deleteLink(POD_LINK)).toBe(true);
      }
    } finally {
      container.remove();
    }
    await expectNothingLater();
  });

  it('links of ours that stay, whatever settings links are born with here', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const born = (forwarding: number, filter: number) =>
      run('sysctl', [
        '-qw',
        `net.ipv4.conf.default.forwarding=${forwarding}`,
        `net.ipv4.conf.default.rp_filter=${filter}`,
      ]);
    born(0, 1);
    const container = addNamespace();
    try {
      const addresses = [parseIp('10.129.0.5')];
      dataplane.createPod({
        link: POD_LINK,
        netns: container.path,
        ifname: 'eth0',
        mac: NEXT_HOP,
        mtu: 1450,
        addresses,
      });
      const overlay = { ...TENANT.get('link tnt42'), name: 'tnt43', vni: 43 } as Item;
      const pod: Item = { kind: 'podLink', name: POD_LINK, mtu: 1450, up: true };
      await settle(stateOf([...TENANT.values(), pod, overlay]));
      await expectNothingLater();
      await Promise.all([POD_LINK, 'tnt43'].map((link) => dataplane.deleteLink(link)));
    } finally {
      container.remove();
      born(0, 0);
    }
  });

  it('anything once it is closed', async () => {
    monitor.close();
    ip('link', 'set', 'tnt42', 'down');
    await settle(TENANT);
    expect(news).toEqual([]);
  });
});
