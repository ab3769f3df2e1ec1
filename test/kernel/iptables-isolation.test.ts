/** The iptables backend in a real kernel, with each variant of the programs, beside others who write rules and sets. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parsePrefix } from '../../dataplane/address.ts';
import {
  IptablesIsolation,
  type IptablesIsolationOptions,
} from '../../dataplane/backends/iptables/iptables-isolation.ts';
import { Ipset } from '../../dataplane/codecs/ipset/ipset.ts';
import { Nftables } from '../../dataplane/codecs/nftables/nftables.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { diff } from '../../dataplane/diff.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { type Collection, type ElementItem, type NodeState, PORT_SET } from '../../dataplane/state.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { RULE_SET } from '../dataplane/rule-set.ts';
import { enterOwnNamespace, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

const RULES = { ...RULE_SET, platformNetworks: [parsePrefix('192.0.2.0/24')] };
const TENANT = 4711;
const link = (index: number) => `tnp${index.toString(16).padStart(12, '0')}`;
const element = (collection: Collection, fields: (string | number)[], value?: number): ElementItem => ({
  kind: 'element',
  collection,
  fields,
  ...(value === undefined ? {} : { value }),
});
const subnet = (tenant: number) => element('network', [`10.${128 + (tenant % 100)}.0.0/20`], tenant);
const pod = (index: number, tenant = TENANT) => [
  element('egress', [tenant, link(index)], PORT_SET.all),
  element('ingress', [tenant, link(index)], PORT_SET.all),
];
const stateWith = (...elements: ElementItem[]): NodeState => stateOf([RULES, subnet(TENANT), ...elements]);
const pods = (count: number) => stateWith(...Array.from({ length: count }, (_, index) => pod(index)).flat());

let socket: NetlinkSocket;
let connection: NetlinkConnection;
let rtnetlink: Rtnetlink;
let isolation: IptablesIsolation;
let state: NodeState;

beforeAll(() => {
  enterOwnNamespace();
  // The older programs lock a file of the whole machine, unless they are given another.
  const dir = mkdtempSync(join(tmpdir(), 'tenet-xtables-'));
  process.env.XTABLES_LOCKFILE = join(dir, 'lock');
  return () => rmSync(dir, { recursive: true });
});

function open(options: IptablesIsolationOptions = {}): void {
  socket?.close();
  socket = new NetlinkSocket(NETLINK_NETFILTER);
  connection = new NetlinkConnection(socket);
  rtnetlink?.close();
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
  const nftables = new Nftables(connection);
  const generation = () => nftables.generationId();
  isolation = new IptablesIsolation(new Ipset(connection), rtnetlink, { generation, ...options });
  state = new Map();
}

function reach(desired: NodeState): void {
  isolation.apply(diff(desired, state), desired);
  state = desired;
}

function putRight(desired: NodeState): void {
  state = isolation.observe(desired);
  reach(desired);
}

const ipset = (...args: string[]) => run('ipset', args);
const members = (set: string) => ipset('list', set).split('Members:\n')[1]?.trim().split('\n').filter(Boolean).sort();
const isAsWanted = () => diff(state, isolation.observe(state)).length === 0;

describe.each(['nft', 'legacy'] as const)('with iptables-%s', (variant) => {
  const save = (family = '') =>
    run(`ip${family}tables-${variant}-save`, [])
      .replace(/^#.*\n/gm, '')
      .replace(/ \[.*\]$/gm, '');
  const iptables = (...args: string[]) => run(`iptables-${variant}`, args);

  beforeEach(() => open({ variant }));
  afterEach(() => {
    isolation.remove();
    for (const table of ['filter', 'mangle']) {
      iptables('-t', table, '-F');
      iptables('-t', table, '-X');
    }
    socket.close();
  });

  it('writes what is wanted, and finds it again as it was', () => {
    reach(pods(2));
    expect(isAsWanted()).toBe(true);
    expect(save()).toContain('-A FORWARD -m comment --comment "tenants first');
    expect(save('6')).toContain('-A TENET-RAW -i tnp+');
    open({ variant });
    expect(diff(pods(2), isolation.observe(pods(2)))).toEqual([]);
    const before = save();
    reach(pods(2));
    expect(save()).toBe(before);
  });

  it('is entered before all others’ rules, which stay as they are', () => {
    const mangle = (...args: string[]) => iptables('-t', 'mangle', ...args);
    mangle('-N', 'KUBE-FORWARD');
    mangle('-A', 'FORWARD', '-j', 'KUBE-FORWARD');
    mangle(
      '-A',
      'FORWARD',
      '-s',
      '192.0.2.7',
      '-m',
      'comment',
      '--comment',
      'an administrator’s: "quoted"',
      '-j',
      'ACCEPT',
    );
    const theirs = () =>
      save()
        .split('\n')
        .filter((line) => !line.includes('TENET-') && line !== '');
    const before = theirs();
    reach(pods(1));
    mangle('-I', 'FORWARD', '-j', 'ACCEPT');
    expect(isAsWanted()).toBe(false);
    putRight(pods(1));
    expect(isAsWanted()).toBe(true);
    const forward = save()
      .split('\n')
      .filter((line) => line.startsWith('-A FORWARD'));
    expect(forward.map((line) => line.split(' ').at(-1))).toEqual([
      'TENET-FORWARD',
      'ACCEPT',
      'KUBE-FORWARD',
      'ACCEPT',
    ]);
    mangle('-D', 'FORWARD', '-j', 'ACCEPT');
    isolation.remove();
    expect(theirs().filter((line) => !/^[*:]|COMMIT/.test(line))).toEqual(
      before.filter((line) => !/^[*:]|COMMIT/.test(line)),
    );
    expect(save()).not.toContain('TENET-');
    expect(ipset('list', '-name')).toBe('');
  });

  it.each([
    ['a rule deleted', () => iptables('-t', 'mangle', '-D', 'TENET-TO-POD', '2')],
    ['a rule added', () => iptables('-t', 'mangle', '-I', 'TENET-TO-POD', '-j', 'ACCEPT')],
    ['a chain emptied', () => iptables('-t', 'mangle', '-F', 'TENET-FROM-POD')],
    ['the jump deleted', () => iptables('-t', 'mangle', '-D', 'INPUT', '1')],
    [
      'the jump twice',
      () => iptables('-t', 'mangle', '-A', 'FORWARD', '-m', 'comment', '--comment', 'another', '-j', 'TENET-FORWARD'),
    ],
    ['a chain of ours that is none', () => iptables('-t', 'mangle', '-N', 'TENET-OLD')],
    ['a jump from elsewhere', () => iptables('-t', 'mangle', '-A', 'OUTPUT', '-j', 'TENET-FORWARD')],
    ['all emptied', () => iptables('-t', 'mangle', '-F')],
    ['a rule of IPv6 deleted', () => run(`ip6tables-${variant}`, ['-t', 'mangle', '-F', 'TENET-FORWARD'])],
    ['a member gone', () => ipset('del', 'tenet-egress-0', `10.139.0.0/20,${link(0)}`)],
    ['a member more', () => ipset('add', 'tenet-egress-0', `10.99.0.0/16,${link(0)}`)],
    ['a set emptied', () => ipset('flush', 'tenet-closed')],
    ['a list emptied', () => ipset('flush', 'tenet-ingress')],
    ['a set more', () => ipset('create', 'tenet-what', 'hash:ip')],
    [
      'a set of others in a list of ours',
      () => ipset('create', 'theirs', 'hash:ip') + ipset('add', 'tenet-egress', 'theirs'),
    ],
  ])('notices %s by itself and puts it right', async (_name, tamper) => {
    open({ variant, checkMs: 5 });
    reach(pods(1));
    const before = [save(), save('6')];
    let noticed = '';
    const seen = new Promise<void>((resolve) => {
      const watch = isolation.watch((what) => {
        noticed = what;
        watch.close();
        resolve();
      });
    });
    tamper();
    await seen;
    expect(noticed).toMatch(/^(set tenet-|rules)/);
    expect(isAsWanted()).toBe(false);
    putRight(pods(1));
    expect(isAsWanted()).toBe(true);
    expect([save(), save('6')].join()).toBe(before.join());
    expect(members('tenet-egress')).toEqual(['tenet-egress-0']);
    if (ipset('list', '-name').includes('theirs')) ipset('destroy', 'theirs');
  });

  it('looks at once when something was heard, and not before', async () => {
    open({ variant, checkMs: 2 ** 30 });
    reach(pods(1));
    let watch: ReturnType<typeof isolation.watch> | undefined;
    const seen = new Promise<string>((resolve) => {
      watch = isolation.watch(resolve);
    });
    iptables('-t', 'mangle', '-I', 'FORWARD', '-j', 'ACCEPT');
    watch?.look();
    expect(await seen).toBe('rules of iptables');
    watch?.close();
  });

  it('reads rules again only after some have changed, where the kernel counts changes', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tenet-save-'));
    const runs = join(dir, 'runs');
    const save4 = `iptables-${variant}-save`;
    const { PATH = '' } = process.env;
    const real = run('sh', ['-c', `command -v ${save4}`]).trim();
    writeFileSync(join(dir, save4), `#!/bin/sh\n[ "$1" ] || echo >>${runs}\nexec ${real} "$@"\n`, { mode: 0o755 });
    writeFileSync(runs, '');
    const counted = () => readFileSync(runs).length;
    open({ variant, checkMs: 1 });
    reach(pods(1));
    process.env.PATH = `${dir}:${PATH}`;
    let noticed = '';
    const watch = isolation.watch((what) => {
      noticed = what;
    });
    try {
      const looked = async (count: number) => {
        const before = connection.messagesSent;
        await expect.poll(() => connection.messagesSent - before, { interval: 2 }).toBeGreaterThan(count);
      };
      await looked(60);
      const times = counted();
      if (variant === 'nft') expect(times).toBe(1);
      else expect(times).toBeGreaterThan(1);
      iptables('-t', 'mangle', '-I', 'FORWARD', '-j', 'ACCEPT');
      await expect.poll(() => noticed, { interval: 2 }).toBe('rules of iptables');
      expect(counted()).toBeGreaterThan(times);
    } finally {
      watch.close();
      process.env.PATH = PATH;
      rmSync(dir, { recursive: true });
    }
  });

  it('takes away what the other variant of the programs wrote', () => {
    reach(pods(1));
    const other = variant === 'nft' ? 'legacy' : 'nft';
    open({ variant: other });
    expect(isolation.observe(pods(1)).has('rules')).toBe(false);
    reach(pods(1));
    expect(save()).not.toContain('TENET-');
    expect(run(`iptables-${other}-save`, [])).toContain('TENET-');
  });
});

describe('a change', () => {
  beforeEach(() => open());
  afterEach(() => isolation.remove());

  it('of one endpoint among thousands is a handful of messages', () => {
    reach(pods(2_000));
    const before = connection.messagesSent;
    reach(stateWith(...[...pods(2_000).values()].filter((item) => item.kind === 'element'), ...pod(5_000)));
    expect(connection.messagesSent - before).toBe(2);
    expect(isAsWanted()).toBe(true);
  });

  it('of a subnet is one member for each link that may meet it', () => {
    reach(pods(200));
    const desired = stateOf([...pods(200).values(), element('network', ['10.200.0.0/20'], TENANT)]);
    reach(desired);
    expect(isAsWanted()).toBe(true);
    const all = [0, 2, 4, 6].flatMap((number) => members(`tenet-egress-${number}`) ?? []);
    expect(all.filter((member) => member.startsWith('10.200.0.0/20,'))).toHaveLength(200);
    reach(pods(200));
    expect(isAsWanted()).toBe(true);
  });

  it('keeps every link in its set, also across a restart, and gives back sets that are not needed', () => {
    reach(pods(130));
    expect(members('tenet-egress')).toEqual(['tenet-egress-0', 'tenet-egress-2', 'tenet-egress-4']);
    const some = stateWith(...pod(129), ...pod(3));
    reach(some);
    expect(members('tenet-egress')).toEqual(['tenet-egress-0', 'tenet-egress-4']);
    open();
    expect(diff(some, isolation.observe(some))).toEqual([]);
    state = some;
    reach(stateWith(...pod(3)));
    expect(ipset('list', '-name')).not.toContain('tenet-egress-4');
    expect(isAsWanted()).toBe(true);
  });

  it('grows a set that is full', () => {
    open({ maxElements: 16 });
    for (const count of [8, 17, 60, 3, 64]) {
      reach(pods(count));
      expect(isAsWanted()).toBe(true);
    }
    expect(ipset('list', '-t', 'tenet-egress-0')).toContain('maxelem 64');
    expect(ipset('list', '-name')).not.toContain('growing');
  });

  it('of a pod’s own MAC, of nodes, of exceptions is found in the sets for them', () => {
    const desired = stateWith(
      element('guard', [link(1), '02:00:00:00:00:07', '10.139.0.9']),
      element('guard', [link(2), '0a:58:0a:8b:00:0a', '10.139.0.10']),
      element('internet', [link(2)]),
      element('vxlanPeer', ['192.0.2.7', '02:00:00:00:00:17']),
      element('vxlanRouted', ['198.51.100.7']),
      element('node', ['192.0.2.7']),
      element('exception', ['192.0.2.53', 17, 53]),
      element('block', ['10.139.0.0'], TENANT),
      element('overlaySource', ['tnt4711', TENANT]),
      element('identity', ['10.128.0.1'], 1),
      element('overlaySource', ['tnt1', 1]),
      element('podAddress', [link(2), '10.139.0.10']),
    );
    reach(desired);
    expect(members('tenet-pod')).toEqual([`10.139.0.10,${link(2)}`, `10.139.0.9,${link(1)}`]);
    expect(members('tenet-own-mac')).toEqual([`10.139.0.9,${link(1)}`]);
    expect(members('tenet-macs-10.139')).toEqual(['10.139.0.9,02:00:00:00:00:07']);
    expect(members('tenet-internet')).toEqual([`10.139.0.10,${link(2)}`]);
    expect(members('tenet-vxlan-peers-192.0')).toEqual(['192.0.2.7,02:00:00:00:00:17']);
    expect(members('tenet-exception')).toEqual(['192.0.2.53,udp:53']);
    expect(members('tenet-overlay-0')).toEqual(['10.139.0.0/27,tnt4711']);
    expect(members('tenet-overlay-1')).toEqual(['10.128.0.1,tnt1']);
    expect(members('tenet-system')).toEqual(['10.128.0.1']);
    expect(isAsWanted()).toBe(true);
    reach(stateWith());
    expect(isAsWanted()).toBe(true);
    expect(members('tenet-macs')).toEqual([]);
  });

  it('that the kernel refuses names the object, and all is read back and put right after it', () => {
    reach(pods(1));
    ipset('flush', 'tenet-ingress');
    ipset('destroy', 'tenet-ingress-0');
    expect(() => reach(pods(2))).toThrow(/tenet-ingress-0: ENOENT/);
    expect(() => reach(pods(2))).toThrow(/rules of iptables/);
    putRight(pods(2));
    expect(isAsWanted()).toBe(true);
  });
});
