/** FIB rules as iproute2 shows them, and as we read what iproute2 made. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parsePrefix } from '../../dataplane/address.ts';
import { RtBatch, Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { encodeAddRule, encodeDelRule, type Rule } from '../../dataplane/codecs/rtnetlink/rule.ts';
import { ERRNO } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { enterOwnNamespace, ip, ipJson } from './namespace.ts';

let rtnetlink: Rtnetlink;

beforeAll(() => {
  enterOwnNamespace();
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
});
afterAll(() => rtnetlink?.close());

/** Every namespace is born with these. */
const BORN: Readonly<Record<4 | 6, readonly Rule[]>> = {
  4: [
    { family: 4, priority: 0, table: 255, protocol: 2 },
    { family: 4, priority: 32766, table: 254, protocol: 2 },
    { family: 4, priority: 32767, table: 253, protocol: 2 },
  ],
  6: [
    { family: 6, priority: 0, table: 255, protocol: 2 },
    { family: 6, priority: 32766, table: 254, protocol: 2 },
  ],
};

const FULL: Rule = {
  family: 4,
  priority: 1000,
  table: 1000,
  protocol: 126,
  source: parsePrefix('10.129.0.0/16'),
  destination: parsePrefix('10.128.0.0/12'),
  inputLink: 'tnt42',
  mark: { value: 0x420000, mask: 0xffff0000 },
};
const FULL6: Rule = {
  family: 6,
  priority: 1001,
  table: 100,
  protocol: 126,
  source: parsePrefix('fd00::/64'),
};
const EVERYTHING: Rule = { family: 4, priority: 1002, table: 200, protocol: 126 };

function send(encode: typeof encodeAddRule, ...rules: readonly Rule[]): void {
  const batch = new RtBatch();
  for (const rule of rules) batch.add('rule', `rule ${rule.priority}`, (out) => encode(out, rule));
  rtnetlink.sendAll(batch);
}

const foreignTo = (family: 4 | 6) => rtnetlink.rules(family).filter(({ priority }) => priority > 0 && priority < 32766);

beforeEach(() => {
  for (const family of ['-4', '-6']) {
    for (const { priority } of ipJson<{ priority: number }>(family, 'rule'))
      if (priority > 0 && priority < 32766) ip(family, 'rule', 'del', 'priority', String(priority));
  }
});

describe('rules', () => {
  it('are those a namespace is born with', () => {
    expect(rtnetlink.rules(4)).toEqual(BORN[4]);
    expect(rtnetlink.rules(6)).toEqual(BORN[6]);
  });

  it('are read as they were written, and shown by iproute2 as meant', () => {
    send(encodeAddRule, FULL, FULL6, EVERYTHING);
    expect(foreignTo(4)).toEqual([FULL, EVERYTHING]);
    expect(foreignTo(6)).toEqual([FULL6]);
    expect(ipJson('rule').filter(({ protocol }) => protocol === '126')).toMatchObject([
      {
        priority: 1000,
        src: '10.129.0.0',
        srclen: 16,
        dst: '10.128.0.0',
        dstlen: 12,
        fwmark: '0x420000',
        fwmask: '0xffff0000',
        iif: 'tnt42',
        table: '1000',
      },
      { priority: 1002, src: 'all', table: '200' },
    ]);
    expect(ipJson('-6', 'rule').filter(({ protocol }) => protocol === '126')).toMatchObject([
      { priority: 1001, src: 'fd00::', srclen: 64, table: '100' },
    ]);
  });

  it('are refused twice and deleted once', () => {
    send(encodeAddRule, FULL);
    expect(() => send(encodeAddRule, FULL)).toThrow(expect.objectContaining({ errno: ERRNO.EEXIST }));
    send(encodeDelRule, FULL);
    expect(foreignTo(4)).toEqual([]);
    expect(() => send(encodeDelRule, FULL)).toThrow(expect.objectContaining({ errno: ERRNO.ENOENT }));
  });

  it('of others are left alone by a deletion that names more than they have', () => {
    ip(...'rule add from 10.129.0.0/16 table 1000 priority 1000 protocol 4'.split(' '));
    expect(() => send(encodeDelRule, FULL)).toThrow(expect.objectContaining({ errno: ERRNO.ENOENT }));
    expect(foreignTo(4)).toHaveLength(1);
  });

  it.each([
    ['from 10.1.2.3/16 table 100', { table: 100, source: '10.1.0.0/16' }],
    ['to 10.1.0.0/16 table 100', { table: 100, destination: '10.1.0.0/16' }],
    ['fwmark 7 table 100', { table: 100, mark: { value: 7, mask: 0xffffffff } }],
    ['fwmark 0/0xff table 100', { table: 100, mark: { value: 0, mask: 0xff } }],
    ['iif lo table 70000', { table: 70_000, inputLink: 'lo' }],
    ['iif not-there table 100', { table: 100, inputLink: 'not-there' }],
  ])('made by iproute2 are read: %s', (text, expected) => {
    ip('rule', 'add', ...text.split(' '), 'priority', '77', 'protocol', '4');
    expect(foreignTo(4)).toEqual([{ family: 4, priority: 77, protocol: 4, ...expected }]);
  });

  it.each([
    'not from 10.1.0.0/16 table 100',
    'from 10.1.0.0/16 blackhole',
    'from 10.1.0.0/16 tos 0x10 table 100',
    'oif lo table 100',
    'ipproto udp dport 53 table 100',
    'uidrange 0-9 table 100',
    'table 100 suppress_prefixlength 0',
    'goto 32766',
  ])('of kinds that a Rule cannot tell are not taken for simpler ones: %s', (text) => {
    ip('rule', 'add', ...text.split(' '), 'priority', '77');
    expect(foreignTo(4)).toEqual([]);
  });
});
