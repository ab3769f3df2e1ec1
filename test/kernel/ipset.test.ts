/** ipset on a real kernel: what is written is what the stock tool lists, what the stock tool makes is read, refusals are named. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { Ipset, type IpsetChange, type IpsetMember, type IpsetSpec } from '../../dataplane/codecs/ipset/ipset.ts';
import { IPSET_ERR_HASH_FULL, IPSET_ERR_TYPE_MISMATCH } from '../../dataplane/codecs/ipset/uapi.ts';
import { CodecError, ERRNO } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { enterOwnNamespace, run } from './namespace.ts';

let connection: NetlinkConnection;
let ipset: Ipset;

beforeAll(() => {
  enterOwnNamespace();
  connection = new NetlinkConnection(new NetlinkSocket(NETLINK_NETFILTER));
  ipset = new Ipset(connection);
});
afterAll(() => connection?.close());
beforeEach(() => {
  run('ipset', ['flush']);
  run('ipset', ['destroy']);
});

const stock = (...args: string[]) => run('ipset', args);
/** Members as the stock tool lists them, in order. */
const listed = (name: string) =>
  stock('list', name)
    .split('Members:\n')[1]
    ?.split('\n')
    .filter((line) => line !== '')
    .sort();

const KINDS: readonly (readonly [IpsetSpec, readonly IpsetMember[], readonly string[]])[] = [
  [{ name: 't-ip', type: 'hash:ip' }, [{ address: parseIp('192.0.2.1') }], ['192.0.2.1']],
  [
    { name: 't-net', type: 'hash:net', maxElements: 1000, hashSize: 64 },
    [{ address: parsePrefix('10.128.0.0/9') }, { address: parsePrefix('10.1.2.3/32') }],
    ['10.1.2.3', '10.128.0.0/9'],
  ],
  [
    { name: 't-port', type: 'hash:ip,port' },
    [
      { address: parseIp('192.0.2.1'), protocol: 17, port: 53 },
      { address: parseIp('192.0.2.1'), protocol: 6, port: 53 },
    ],
    ['192.0.2.1,tcp:53', '192.0.2.1,udp:53'],
  ],
  [
    { name: 't-iface', type: 'hash:net,iface' },
    [
      { address: parsePrefix('10.129.0.0/22'), link: 'tnp0a1b2c3d4e5f' },
      { address: parsePrefix('10.129.0.1/32'), link: 'tnt42' },
    ],
    ['10.129.0.0/22,tnp0a1b2c3d4e5f', '10.129.0.1,tnt42'],
  ],
  [
    { name: 't-mac', type: 'bitmap:ip,mac', range: parsePrefix('192.168.0.0/16') },
    [{ address: parseIp('192.168.9.1'), mac: parseMac('02:00:00:00:00:01') }],
    ['192.168.9.1,02:00:00:00:00:01'],
  ],
];
const NET6: IpsetSpec = { name: 't-net6', type: 'hash:net', family: 6 };
const IFACE = KINDS[3]?.[0] as IpsetSpec;

const changes = (op: 'add' | 'del', set: IpsetSpec, members: readonly IpsetMember[]): IpsetChange[] =>
  members.map((member) => ({ op, set, member }));
const many = (count: number): IpsetMember[] =>
  Array.from({ length: count }, (_, index) => ({
    address: parsePrefix(`10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}/32`),
    link: `tnp${(index % 100).toString(16).padStart(12, '0')}`,
  }));

it('speaks the protocol that both know', () => {
  expect([6, 7]).toContain(ipset.protocol);
});

describe.each(KINDS.map(([spec, members, shown]) => ({ type: spec.type, spec, members, shown })))(
  '$type',
  ({ spec, members, shown }) => {
    it('is made and filled as the stock tool lists it, and read back', () => {
      ipset.create(spec);
      for (const change of changes('add', spec, members)) ipset.change([change]);
      expect(listed(spec.name)).toEqual([...shown].sort());
      const found = ipset.find(spec.name);
      expect(found?.spec).toMatchObject(spec);
      expect(found?.elements).toBe(members.length);
      const byText = (a: IpsetMember, b: IpsetMember) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
      expect([...(found?.members ?? [])].sort(byText)).toEqual([...members].sort(byText));
    });

    it('takes what it has again, and what it has not away, without a word', () => {
      ipset.create(spec);
      ipset.change([...changes('add', spec, members), ...changes('add', spec, members)]);
      ipset.change([...changes('del', spec, members), ...changes('del', spec, members)]);
      expect(listed(spec.name)).toEqual([]);
    });
  },
);

it('a set of IPv6 networks', () => {
  ipset.create(NET6);
  ipset.change(changes('add', NET6, [{ address: parsePrefix('2001:db8::/32') }]));
  expect(listed('t-net6')).toEqual(['2001:db8::/32']);
  expect(ipset.find('t-net6')?.members).toEqual([{ address: '2001:db8::/32' }]);
});

it('a list of sets', () => {
  const list: IpsetSpec = { name: 't-list', type: 'list:set' };
  ipset.create(IFACE);
  ipset.create(list);
  ipset.change(changes('add', list, [{ set: IFACE.name }]));
  expect(listed('t-list')).toEqual([IFACE.name]);
  expect(ipset.find('t-list')?.members).toEqual([{ set: IFACE.name }]);
  expect(ipset.headers('t-').map(({ spec, references }) => [spec.name, references])).toEqual(
    expect.arrayContaining([
      ['t-list', 0],
      [IFACE.name, 1],
    ]),
  );
});

it('reads what the stock tool has made', () => {
  stock('create', 't-theirs', 'hash:net,iface', 'maxelem', '77');
  stock('add', 't-theirs', '10.0.0.0/8,eth0');
  stock('create', 'other', 'hash:ip');
  stock('create', 't-strange', 'hash:ip,port,ip');
  expect(ipset.list('t-')).toMatchObject([
    {
      spec: { name: 't-theirs', type: 'hash:net,iface', maxElements: 77 },
      members: [{ address: '10.0.0.0/8', link: 'eth0' }],
    },
  ]);
});

describe('many members', () => {
  it('come and go in one call, 200,000 of them, and are read back', () => {
    const spec: IpsetSpec = { ...IFACE, maxElements: 262_144 };
    ipset.create(spec);
    const members = many(200_000);
    ipset.change(changes('add', spec, members));
    expect(ipset.headers(spec.name)[0]?.elements).toBe(200_000);
    const found = new Set(ipset.find(spec.name)?.members.map(({ address, link }) => `${address},${link}`));
    expect(found.size).toBe(200_000);
    expect(members.every(({ address, link }) => found.has(`${address},${link}`))).toBe(true);
    ipset.change(changes('del', spec, members));
    expect(ipset.headers(spec.name)[0]?.elements).toBe(0);
  });

  it('a few of several sets in one call, in order', () => {
    const other: IpsetSpec = { ...IFACE, name: 't-other' };
    for (const spec of [IFACE, other]) ipset.create(spec);
    const [one, two] = many(2) as [IpsetMember, IpsetMember];
    const before = connection.messagesSent;
    ipset.change([
      { op: 'add', set: IFACE, member: one },
      { op: 'del', set: IFACE, member: one },
      { op: 'add', set: other, member: two },
    ]);
    expect(connection.messagesSent - before).toBe(3);
    expect([listed(IFACE.name), listed('t-other')]).toEqual([[], ['10.128.0.1,tnp000000000001']]);
  });
});

describe('what is refused', () => {
  it('a set too many', () => {
    ipset.create(IFACE);
    expect(() => ipset.create(IFACE)).toThrow(expect.objectContaining({ errno: ERRNO.EEXIST, object: 'set t-iface' }));
  });

  it.each([1, 30])('a member too many, of %i in one call: it is named, and so is why', (extra) => {
    const small: IpsetSpec = { ...IFACE, maxElements: 64, hashSize: 64 };
    ipset.create(small);
    ipset.change(changes('add', small, many(64)));
    expect(() => ipset.change(changes('add', small, many(64 + extra).slice(64)))).toThrow(
      expect.objectContaining({
        errno: IPSET_ERR_HASH_FULL,
        object: '10.128.0.64/32,tnp000000000040 in set t-iface',
        message: expect.stringContaining('the set is full'),
      }),
    );
    expect(ipset.headers(small.name)[0]?.elements).toBe(64);
  });

  it('a set that is not there', () => {
    expect(() => ipset.change(changes('add', IFACE, many(1)))).toThrow(
      expect.objectContaining({ errno: ERRNO.ENOENT }),
    );
    expect(() => ipset.flush('t-absent')).toThrow(expect.objectContaining({ errno: ERRNO.ENOENT }));
    ipset.destroy('t-absent');
    expect(ipset.find('t-absent')).toBeUndefined();
  });

  it('the other family, and a field that is missing, before anything is sent', () => {
    ipset.create(IFACE);
    const before = connection.messagesSent;
    for (const member of [{ address: parsePrefix('2001:db8::/32'), link: 'a' }, { address: parsePrefix('10.0.0.0/8') }])
      expect(() => ipset.change(changes('add', IFACE, [member]))).toThrow(CodecError);
    expect(connection.messagesSent).toBe(before);
  });

  it('destroying what a rule refers to', () => {
    ipset.create(IFACE);
    run('iptables', ['-A', 'FORWARD', '-m', 'set', '--match-set', IFACE.name, 'src,src', '-j', 'DROP']);
    try {
      expect(ipset.headers(IFACE.name)[0]?.references).toBe(1);
      expect(() => ipset.destroy(IFACE.name)).toThrow('in use');
    } finally {
      run('iptables', ['-F']);
    }
    ipset.destroy(IFACE.name);
  });
});

describe('a set that is outgrown', () => {
  it('is swapped for a larger one of its name, to which rules then refer', () => {
    const small: IpsetSpec = { ...IFACE, maxElements: 64 };
    const larger: IpsetSpec = { ...IFACE, name: 't-iface-next', maxElements: 128 };
    ipset.create(small);
    ipset.change(changes('add', small, many(64)));
    run('iptables', ['-A', 'FORWARD', '-m', 'set', '--match-set', small.name, 'src,src', '-j', 'DROP']);
    try {
      ipset.create(larger);
      ipset.change(changes('add', larger, many(64)));
      ipset.swap(larger.name, small.name);
      ipset.destroy(larger.name);
      ipset.change(changes('add', small, many(100)));
      expect(ipset.headers('t-')).toMatchObject([
        { spec: { name: small.name, maxElements: 128 }, elements: 100, references: 1 },
      ]);
    } finally {
      run('iptables', ['-F']);
    }
  });

  it('is not swapped for one of another type', () => {
    ipset.create(IFACE);
    ipset.create(NET6);
    expect(() => ipset.swap(IFACE.name, NET6.name)).toThrow(
      expect.objectContaining({ errno: IPSET_ERR_TYPE_MISMATCH }),
    );
  });
});

it('flushes', () => {
  ipset.create(IFACE);
  ipset.change(changes('add', IFACE, many(5)));
  ipset.flush(IFACE.name);
  expect(listed(IFACE.name)).toEqual([]);
});
