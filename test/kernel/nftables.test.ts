/** nf_tables of a real kernel, in a network namespace of this file's own: what we write is what nft would have written. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ERRNO, KernelError } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import type { SetElement } from '../../dataplane/nftables/element.ts';
import * as field from '../../dataplane/nftables/field.ts';
import { match } from '../../dataplane/nftables/match.ts';
import { Nftables, type TableDump } from '../../dataplane/nftables/nftables.ts';
import { buildRule } from '../../dataplane/nftables/rule-builder.ts';
import type { NftSet } from '../../dataplane/nftables/set.ts';
import { accept, counter, drop } from '../../dataplane/nftables/statement.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { unshareNetns } from '../../dataplane/system/netns.ts';
import {
  addSampleTable,
  FORWARD,
  GUARD4,
  IDENTITY4,
  SAMPLE_TABLE_TEXT,
  TABLE,
} from '../dataplane/nftables/sample-table.ts';

let connection: NetlinkConnection | undefined;
let nftables: Nftables;

beforeAll(() => {
  unshareNetns();
  const own = new NetlinkConnection(new NetlinkSocket(NETLINK_NETFILTER));
  nftables = new Nftables(own);
  connection = own;
});

afterAll(() => connection?.close());

beforeEach(() => {
  nft('flush', 'ruleset');
});

/** The machine's own rules are never touched: without a namespace of our own there is no connection. */
function connected(): NetlinkConnection {
  if (connection === undefined) throw new Error('not in a namespace of its own');
  return connection;
}

function nft(...args: string[]): string {
  connected();
  return execFileSync('nft', args, { encoding: 'utf8' });
}

function load(text: string): void {
  execFileSync('nft', ['-f', '-'], { input: text });
}

function refusal(work: () => void): KernelError {
  try {
    work();
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
  throw new Error('the kernel refused nothing');
}

/** A pod as the anti-spoofing set knows it. */
function pod(number: number): SetElement {
  return { key: ['tnp0a1b2c3d4e5f', '0a:58:0a:81:00:01', `10.129.${number >> 8}.${number & 255}`] };
}

function sorted(elements: readonly SetElement[]): string[] {
  return elements.map((element) => JSON.stringify(element)).sort();
}

/** What two dumps of equal tables share: all but handles and the generation. */
function comparable({ chains, rules, sets }: TableDump) {
  return JSON.parse(
    JSON.stringify({ chains, rules, sets }, (key, value: unknown) => {
      if (key === 'handle') return undefined;
      if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
      return typeof value === 'bigint' ? String(value) : value;
    }),
  );
}

describe('a whole table', () => {
  it('lists as the same table loaded by nft', () => {
    nftables.transaction(addSampleTable);
    const ours = nft('list', 'ruleset');
    nft('flush', 'ruleset');
    load(SAMPLE_TABLE_TEXT);
    expect(ours).toBe(nft('list', 'ruleset'));
    expect(ours).toContain('iifgroup 32335 iifname . ether saddr . ip saddr @guard4 ip hdrlength 5 accept comment "x"');
  });

  it('is read back as the same table loaded by nft', () => {
    nftables.transaction(addSampleTable);
    const ours = nftables.dumpTable(TABLE);
    nft('flush', 'ruleset');
    load(SAMPLE_TABLE_TEXT);
    const theirs = nftables.dumpTable(TABLE);
    if (ours === undefined || theirs === undefined) throw new Error('no table');
    expect(comparable(ours)).toEqual(comparable(theirs));
    expect(ours.rules.find(({ comment }) => comment === 'x')?.chain).toBe('prerouting');
    expect(ours.sets.find(({ name }) => name === 'identity4')).toMatchObject({
      set: IDENTITY4,
      elements: [{ key: ['10.129.0.1'], data: 0x420000 }],
    });
  });

  it('that is not there is no table', () => {
    expect(nftables.dumpTable(TABLE)).toBeUndefined();
  });

  it('is read even with rules and sets in it that we never write', () => {
    load(`table inet tenet {
      set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
      chain c { type filter hook input priority 0; quota 25 mbytes drop; meta cpu 1 accept; ip saddr 1.2.3.4 accept; }
    }`);
    const dump = nftables.dumpTable(TABLE);
    expect(dump?.sets).toMatchObject([{ name: 'ranges', set: undefined, elements: [] }]);
    expect(dump?.rules.map(({ expressions }) => expressions[0]?.kind)).toEqual(['unknown', 'meta', 'meta']);
    expect(dump?.chains).toMatchObject([{ chain: 'c', base: { hook: 'input', policy: 'accept' } }]);
  });

  it('of a neighbour is neither read nor touched', () => {
    load('table inet other { chain c { counter; }; }');
    nftables.transaction(addSampleTable);
    expect(nftables.dumpTable(TABLE)?.chains.map(({ chain }) => chain)).toEqual([
      'prerouting',
      'forward',
      'postrouting',
    ]);
    nftables.transaction((batch) => batch.deleteTable(TABLE));
    expect(nft('list', 'ruleset')).toContain('table inet other');
  });
});

describe('elements', () => {
  beforeEach(() => nftables.transaction(addSampleTable));

  it('10,000 in one transaction are read back as written, and go in one', () => {
    const pods = Array.from({ length: 10_000 }, (_, i) => pod(i));
    nftables.transaction((batch) => batch.addElements(GUARD4, pods));
    expect(sorted(nftables.dumpElements(GUARD4))).toEqual(sorted(pods));
    nftables.transaction((batch) => batch.deleteElements(GUARD4, pods));
    expect(nftables.dumpElements(GUARD4)).toEqual([]);
  });

  it('that are there already are refused by name, if they are to be new', () => {
    nftables.transaction((batch) => batch.addElements(GUARD4, [pod(7)]));
    const add = () => nftables.transaction((batch) => batch.addElements(GUARD4, [pod(6), pod(7), pod(8)], 'create'));
    expect(refusal(add)).toMatchObject({
      op: 'NFT_MSG_NEWSETELEM',
      object: 'element tnp0a1b2c3d4e5f . 0a:58:0a:81:00:01 . 10.129.0.7 in set inet tenet guard4',
      errno: ERRNO.EEXIST,
    });
    expect(nftables.dumpElements(GUARD4)).toEqual([pod(7)]);
    nftables.transaction((batch) => batch.addElements(GUARD4, [pod(7)]));
  });

  it('of a map get new data only where they are replaced', () => {
    const renamed = [{ key: ['10.129.0.1'], data: 0x430000 }];
    const add = () => nftables.transaction((batch) => batch.addElements(IDENTITY4, renamed));
    expect(refusal(add)).toMatchObject({
      object: 'element 10.129.0.1 in map inet tenet identity4',
      errno: ERRNO.EEXIST,
    });
    nftables.transaction((batch) => batch.replaceElements(IDENTITY4, renamed));
    expect(nftables.dumpElements(IDENTITY4)).toEqual(renamed);
    expect(nft('list', 'map', 'inet', 'tenet', 'identity4')).toContain('10.129.0.1 : 43:0');
  });

  it('that are not there cannot be deleted', () => {
    const remove = () => nftables.transaction((batch) => batch.deleteElements(GUARD4, [pod(1)]));
    expect(refusal(remove)).toMatchObject({ op: 'NFT_MSG_DELSETELEM', errno: ERRNO.ENOENT });
  });

  it.each([
    ['as the kernel offers it', {}],
    ['where the kernel has no way to do so', { canDestroy: false }],
  ])('are destroyed whether they are there or not, %s', (_, options) => {
    const nftables = new Nftables(connected(), options);
    nftables.transaction((batch) => batch.addElements(GUARD4, [pod(1), pod(2), pod(3)]));
    nftables.transaction((batch) => batch.destroyElements(GUARD4, [pod(0), pod(1), pod(3), pod(4)]));
    expect(nftables.dumpElements(GUARD4)).toEqual([pod(2)]);
    nftables.transaction((batch) => batch.destroyElements(GUARD4, [pod(0)]));
    nftables.transaction((batch) => batch.replaceElements(IDENTITY4, [{ key: ['10.129.0.2'], data: 1 }]));
    expect(nftables.dumpElements(IDENTITY4)).toContainEqual({ key: ['10.129.0.2'], data: 1 });
  });

  it('over the size of their set are refused', () => {
    const small: NftSet = { ...TABLE, name: 'small', key: ['ipv4_addr'], size: 4 };
    const addresses = Array.from({ length: 5 }, (_, i) => ({ key: [`10.0.0.${i}`] }));
    nftables.transaction((batch) => batch.addSet(small));
    const fill = () => nftables.transaction((batch) => batch.addElements(small, addresses));
    expect(refusal(fill)).toMatchObject({ object: 'element 10.0.0.4 in set inet tenet small', errno: ERRNO.ENFILE });
    expect(nftables.dumpElements(small)).toEqual([]);
  });

  it('of several types are read back by us, and by nft as their values', () => {
    const mixed: NftSet = {
      ...TABLE,
      name: 'mixed',
      key: ['mark', 'ifname', 'inet_proto', 'inet_service'],
      timeoutMs: 0,
    };
    const v6: NftSet = { ...TABLE, name: 'v6', key: ['ipv6_addr', 'ether_addr'], data: 'mark' };
    const first = { key: [0x12345678, 'eth0', 17, 53], timeoutMs: 3_600_000 };
    const second = { key: ['fd00::1', '0a:58:0a:81:00:01'], data: 0x10 };
    nftables.transaction((batch) => {
      batch.addSet(mixed);
      batch.addSet(v6);
      batch.addElements(mixed, [first, { key: [1, 'lo', 6, 80] }]);
      batch.addElements(v6, [second]);
    });
    expect(sorted(nftables.dumpElements(mixed))).toEqual(sorted([first, { key: [1, 'lo', 6, 80] }]));
    expect(nftables.dumpElements(v6)).toEqual([second]);
    expect(nft('list', 'set', 'inet', 'tenet', 'mixed')).toMatch(/0x12345678 \. "eth0" \. udp \. 53 timeout 1h/);
    expect(nft('list', 'map', 'inet', 'tenet', 'v6')).toContain('fd00::1 . 0a:58:0a:81:00:01 : 0x00000010');
  });

  it('go all at once when their set is flushed', () => {
    nftables.transaction((batch) => batch.addElements(GUARD4, [pod(1), pod(2)]));
    nftables.transaction((batch) => batch.flushSet(GUARD4));
    expect(nftables.dumpElements(GUARD4)).toEqual([]);
  });
});

describe('a transaction', () => {
  beforeEach(() => nftables.transaction(addSampleTable));

  it('that is refused in the middle does nothing', () => {
    const before = nft('list', 'ruleset');
    const nowhere: NftSet = { ...TABLE, name: 'nowhere', key: ['ipv4_addr'] };
    const work = () =>
      nftables.transaction((batch) => {
        batch.addElements(GUARD4, [pod(1)]);
        batch.addElements(nowhere, [{ key: ['10.0.0.1'] }]);
        batch.flushChain(FORWARD);
      });
    expect(refusal(work)).toMatchObject({
      object: 'element 10.0.0.1 in set inet tenet nowhere',
      errno: ERRNO.ENOENT,
    });
    expect(nft('list', 'ruleset')).toBe(before);
  });

  it('at a generation that has passed is refused, and goes through at the one of now', () => {
    const stale = nftables.generationId();
    nftables.transaction((batch) => batch.addElements(GUARD4, [pod(1)]));
    const work = (generation: number) =>
      nftables.transaction((batch) => batch.addElements(GUARD4, [pod(2)]), { generation });
    expect(refusal(() => work(stale))).toMatchObject({ object: `batch at generation ${stale}`, errno: ERRNO.ERESTART });
    expect(nftables.dumpElements(GUARD4)).toEqual([pod(1)]);
    work(nftables.generationId());
    expect(nftables.dumpElements(GUARD4)).toHaveLength(2);
  });

  it('whose making fails sends nothing, and the next is not harmed', () => {
    const broken = () =>
      nftables.transaction((batch) => {
        batch.flushChain(FORWARD);
        throw new Error('no');
      });
    const before = nft('list', 'ruleset');
    expect(broken).toThrow('no');
    nftables.transaction(() => undefined);
    expect(nft('list', 'ruleset')).toBe(before);
  });

  it('of nothing changes nothing, not even the generation', () => {
    const generation = nftables.generationId();
    nftables.transaction(() => undefined);
    new Nftables(connected()).transaction((batch) => batch.destroyElements(GUARD4, []));
    expect(nftables.generationId()).toBe(generation);
  });
});

describe('rules', () => {
  const chain = { ...TABLE, chain: 'c' };
  const named = (name: string) => buildRule(chain, [match(field.iifname, name), counter, accept], name);
  const order = () => nftables.dumpTable(TABLE)?.rules.map(({ comment }) => comment);
  const handleOf = (name: string) => {
    const rule = nftables.dumpTable(TABLE)?.rules.find(({ comment }) => comment === name);
    if (rule === undefined) throw new Error(`no rule ${name}`);
    return rule.handle;
  };

  beforeEach(() =>
    nftables.transaction((batch) => {
      batch.addTable(TABLE);
      batch.addChain(chain);
      batch.addRule(named('b'));
      batch.addRule(named('d'));
    }),
  );

  it('are added, inserted, replaced and deleted where they should be', () => {
    nftables.transaction((batch) => batch.insertRule(named('a')));
    nftables.transaction((batch) => batch.addRule(named('c'), handleOf('b')));
    expect(order()).toEqual(['a', 'b', 'c', 'd']);
    nftables.transaction((batch) => batch.insertRule(named('bb'), handleOf('c')));
    nftables.transaction((batch) => batch.replaceRule(named('e'), handleOf('d')));
    nftables.transaction((batch) => batch.deleteRule({ ...chain, handle: handleOf('a') }));
    expect(order()).toEqual(['b', 'bb', 'c', 'e']);
    nftables.transaction((batch) => batch.flushChain(chain));
    expect(order()).toEqual([]);
    nftables.transaction((batch) => batch.deleteChain(chain));
    expect(nftables.dumpTable(TABLE)?.chains).toEqual([]);
  });

  it('that the kernel refuses are named by chain and comment', () => {
    const missing: NftSet = { ...TABLE, name: 'missing', key: ['ifname'] };
    const rule = buildRule({ ...TABLE, chain: 'nowhere' }, [drop], 'last resort');
    expect(refusal(() => nftables.transaction((batch) => batch.addRule(rule)))).toMatchObject({
      op: 'NFT_MSG_NEWRULE',
      object: 'rule "last resort" in chain inet tenet nowhere',
      errno: ERRNO.ENOENT,
    });
    expect(refusal(() => nftables.transaction((batch) => batch.deleteSet(missing)))).toMatchObject({
      object: 'set inet tenet missing',
      errno: ERRNO.ENOENT,
    });
  });
});
