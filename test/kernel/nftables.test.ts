/** nf_tables of a real kernel: what we write is what nft would have written, and a transaction happens wholly or not at all. */
import { beforeEach, describe, expect, it } from 'vitest';
import * as field from '../../dataplane/codecs/nftables/field.ts';
import { match } from '../../dataplane/codecs/nftables/match.ts';
import { Nftables, type TableDump } from '../../dataplane/codecs/nftables/nftables.ts';
import { buildRule } from '../../dataplane/codecs/nftables/rule-builder.ts';
import type { NftSet } from '../../dataplane/codecs/nftables/set.ts';
import { accept, counter, drop } from '../../dataplane/codecs/nftables/statement.ts';
import { ERRNO } from '../../dataplane/errors.ts';
import {
  addSampleTable,
  FORWARD,
  GUARD4,
  IDENTITY4,
  SAMPLE_TABLE_TEXT,
  TABLE,
} from '../dataplane/codecs/nftables/sample-table.ts';
import { load, nft, pod, refusal, useNftables } from './nftables-fixture.ts';

const { connected, nftables } = useNftables();

/** What two dumps of equal tables share: all but handles, the generation and the order inside a hash. */
function comparable({ chains, rules, sets }: TableDump): unknown {
  const sorted = sets.map((set) => ({
    ...set,
    elements: set.elements.map((element) => JSON.stringify(element)).sort(),
  }));
  return withoutHandles({ chains, rules, sets: sorted });
}

function withoutHandles(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutHandles);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const kept = Object.entries(value).filter(([key]) => key !== 'handle');
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutHandles(field)]));
}

describe('a whole table', () => {
  it('lists as the same table loaded by nft', () => {
    nftables().transaction(addSampleTable);
    const ours = nft('list', 'ruleset');
    nft('flush', 'ruleset');
    load(SAMPLE_TABLE_TEXT);
    expect(ours).toBe(nft('list', 'ruleset'));
    expect(ours).toContain('iifgroup 32335 iifname . ether saddr . ip saddr @guard4 ip hdrlength 5 accept comment "x"');
  });

  it('is read back as the same table loaded by nft', () => {
    nftables().transaction(addSampleTable);
    const ours = nftables().dumpTable(TABLE);
    nft('flush', 'ruleset');
    load(SAMPLE_TABLE_TEXT);
    const theirs = nftables().dumpTable(TABLE);
    if (ours === undefined || theirs === undefined) throw new Error('no table');
    expect(comparable(ours)).toEqual(comparable(theirs));
    expect(ours.rules.find(({ comment }) => comment === 'x')?.chain).toBe('prerouting');
    expect(ours.sets.find(({ name }) => name === 'identity4')).toMatchObject({
      set: IDENTITY4,
      elements: [{ key: ['10.129.0.1'], data: 0x420000 }],
    });
  });

  it('that is not there is no table', () => {
    expect(nftables().dumpTable(TABLE)).toBeUndefined();
  });

  it('is read even with rules and sets in it that we never write', () => {
    load(`table inet tenet {
      set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
      chain c { type filter hook input priority 0; quota 25 mbytes drop; meta cpu 1 accept; ip saddr 1.2.3.4 accept; }
    }`);
    const dump = nftables().dumpTable(TABLE);
    expect(dump?.sets).toMatchObject([{ name: 'ranges', set: undefined, elements: [] }]);
    expect(dump?.rules.map(({ expressions }) => expressions[0]?.kind)).toEqual(['unknown', 'meta', 'meta']);
    expect(dump?.chains).toMatchObject([{ chain: 'c', base: { hook: 'input', policy: 'accept' } }]);
  });

  it('of a neighbour is neither read nor touched', () => {
    load('table inet other { chain c { counter; }; }');
    nftables().transaction(addSampleTable);
    expect(
      nftables()
        .dumpTable(TABLE)
        ?.chains.map(({ chain }) => chain),
    ).toEqual(['prerouting', 'forward', 'postrouting']);
    nftables().transaction((batch) => batch.deleteTable(TABLE));
    expect(nft('list', 'ruleset')).toContain('table inet other');
  });
});

describe('a transaction', () => {
  beforeEach(() => nftables().transaction(addSampleTable));

  it('that is refused in the middle does nothing', () => {
    const before = nft('list', 'ruleset');
    const nowhere: NftSet = { ...TABLE, name: 'nowhere', key: ['ipv4_addr'] };
    const work = () =>
      nftables().transaction((batch) => {
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
    const stale = nftables().generationId();
    nftables().transaction((batch) => batch.addElements(GUARD4, [pod(1)]));
    const work = (generation: number) =>
      nftables().transaction((batch) => batch.addElements(GUARD4, [pod(2)]), { generation });
    expect(refusal(() => work(stale))).toMatchObject({ object: `batch at generation ${stale}`, errno: ERRNO.ERESTART });
    expect(nftables().dumpElements(GUARD4)).toEqual([pod(1)]);
    work(nftables().generationId());
    expect(nftables().dumpElements(GUARD4)).toHaveLength(2);
  });

  it('whose making fails sends nothing, and the next is not harmed', () => {
    const broken = () =>
      nftables().transaction((batch) => {
        batch.flushChain(FORWARD);
        throw new Error('no');
      });
    const before = nft('list', 'ruleset');
    expect(broken).toThrow('no');
    nftables().transaction(() => undefined);
    expect(nft('list', 'ruleset')).toBe(before);
  });

  it('of nothing changes nothing, not even the generation', () => {
    const generation = nftables().generationId();
    nftables().transaction(() => undefined);
    new Nftables(connected()).transaction((batch) => batch.destroyElements(GUARD4, []));
    expect(nftables().generationId()).toBe(generation);
  });
});

describe('rules', () => {
  const chain = { ...TABLE, chain: 'c' };
  const named = (name: string) => buildRule(chain, [match(field.iifname, name), counter, accept], name);
  const order = () =>
    nftables()
      .dumpTable(TABLE)
      ?.rules.map(({ comment }) => comment);
  const handleOf = (name: string) => {
    const rule = nftables()
      .dumpTable(TABLE)
      ?.rules.find(({ comment }) => comment === name);
    if (rule === undefined) throw new Error(`no rule ${name}`);
    return rule.handle;
  };

  beforeEach(() =>
    nftables().transaction((batch) => {
      batch.addTable(TABLE);
      batch.addChain(chain);
      batch.addRule(named('b'));
      batch.addRule(named('d'));
    }),
  );

  it('are added, inserted, replaced and deleted where they should be', () => {
    nftables().transaction((batch) => batch.insertRule(named('a')));
    nftables().transaction((batch) => batch.addRule(named('c'), handleOf('b')));
    expect(order()).toEqual(['a', 'b', 'c', 'd']);
    nftables().transaction((batch) => batch.insertRule(named('bb'), handleOf('c')));
    nftables().transaction((batch) => batch.replaceRule(named('e'), handleOf('d')));
    nftables().transaction((batch) => batch.deleteRule({ ...chain, handle: handleOf('a') }));
    expect(order()).toEqual(['b', 'bb', 'c', 'e']);
    nftables().transaction((batch) => batch.flushChain(chain));
    expect(order()).toEqual([]);
    nftables().transaction((batch) => batch.deleteChain(chain));
    expect(nftables().dumpTable(TABLE)?.chains).toEqual([]);
  });

  it('that the kernel refuses are named by chain and comment', () => {
    const missing: NftSet = { ...TABLE, name: 'missing', key: ['ifname'] };
    const rule = buildRule({ ...TABLE, chain: 'nowhere' }, [drop], 'last resort');
    expect(refusal(() => nftables().transaction((batch) => batch.addRule(rule)))).toMatchObject({
      op: 'NFT_MSG_NEWRULE',
      object: 'rule "last resort" in chain inet tenet nowhere',
      errno: ERRNO.ENOENT,
    });
    expect(refusal(() => nftables().transaction((batch) => batch.deleteSet(missing)))).toMatchObject({
      object: 'set inet tenet missing',
      errno: ERRNO.ENOENT,
    });
  });
});
