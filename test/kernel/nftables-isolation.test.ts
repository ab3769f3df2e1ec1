/** The nftables backend beside others who write: transactions on the table as it was read, sets that fill, what is left when it goes. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  NftablesIsolation,
  type NftablesIsolationOptions,
} from '../../dataplane/backends/nftables/nftables-isolation.ts';
import { Nftables } from '../../dataplane/codecs/nftables/nftables.ts';
import { diff } from '../../dataplane/diff.ts';
import { ERRNO } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { type ElementItem, type NodeState, PORT_SET } from '../../dataplane/state.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { RULE_SET as RULES } from '../dataplane/rule-set.ts';
import { enterOwnNamespace, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

const egress = (index: number): ElementItem => ({
  kind: 'element',
  collection: 'egress',
  fields: [100 + index, 'tnp0a1b2c3d4e5f'],
  value: PORT_SET.all,
});
const stateWith = (count: number): NodeState =>
  stateOf([RULES, ...Array.from({ length: count }, (_, index) => egress(index))]);

let socket: NetlinkSocket;
let isolation: NftablesIsolation;
let state: NodeState;

beforeAll(enterOwnNamespace);
beforeEach(() => {
  run('nft', ['flush', 'ruleset']);
});
afterEach(() => socket?.close());

function open(options: NftablesIsolationOptions): void {
  socket = new NetlinkSocket(NETLINK_NETFILTER);
  isolation = new NftablesIsolation(new Nftables(new NetlinkConnection(socket)), options);
  isolation.observe(stateOf([RULES]));
  state = new Map();
}

function reach(desired: NodeState): void {
  isolation.apply(diff(desired, state), desired);
  state = desired;
}

const differences = () => diff(state, isolation.observe(state));
const nft = (...args: string[]) => run('nft', args);

describe('a transaction', () => {
  it('happens however often others change their own tables meanwhile', () => {
    let asked = 0;
    open({
      isTouched: () => {
        asked++;
        return false;
      },
    });
    reach(stateWith(1));
    nft('add table ip other');
    reach(stateWith(2));
    nft('add chain ip other theirs');
    nft('delete table ip other');
    reach(stateWith(3));
    expect(asked).toBe(2);
    expect(differences()).toEqual([]);
  });

  it('does not happen when another program has changed the table, and says so', () => {
    open({ isTouched: () => true });
    reach(stateWith(2));
    nft('flush map inet tenet egress');
    expect(() => reach(stateWith(3))).toThrow(expect.objectContaining({ errno: ERRNO.ERESTART }));
    expect(nft('list map inet tenet egress')).not.toContain('elements');
    state = isolation.observe(state);
    reach(stateWith(3));
    expect(differences()).toEqual([]);
  });

  it('that changes nothing does not make the next one fail', () => {
    open({ isTouched: () => false });
    reach(stateWith(2));
    const absent = egress(77);
    isolation.apply([{ op: 'remove', item: absent }], state);
    reach(stateWith(3));
    expect(differences()).toEqual([]);
  });
});

describe('a set that fills', () => {
  it('is made larger together with the whole table in one transaction, again and again', () => {
    open({ isTouched: () => false, sizes: { egress: 8 } });
    reach(stateWith(8));
    expect(nft('list map inet tenet egress')).toContain('size 8');
    for (const count of [9, 18, 19, 100, 3, 101]) {
      reach(stateWith(count));
      expect(differences()).toEqual([]);
    }
    expect(nft('list map inet tenet egress')).toContain('size 256');
  });

  it('is found as large as it has become after a restart, and left so', () => {
    open({ isTouched: () => false, sizes: { egress: 8 } });
    reach(stateWith(20));
    const before = nft('list ruleset');
    open({ isTouched: () => false, sizes: { egress: 8 } });
    state = isolation.observe(stateWith(20));
    expect(diff(stateWith(20), state)).toEqual([]);
    reach(stateWith(21));
    expect(nft('-s', 'list', 'chain', 'inet', 'tenet', 'forward')).not.toBe('');
    expect(nft('list ruleset')).not.toBe(before);
    expect(differences()).toEqual([]);
  });
});

it('that another program put to sleep is not as it should be, and wakes', () => {
  open({ isTouched: () => false });
  reach(stateWith(1));
  nft('add table inet tenet { flags dormant; }');
  expect(nft('list table inet tenet')).toContain('flags dormant');
  state = isolation.observe(state);
  reach(stateWith(1));
  expect(nft('list table inet tenet')).not.toContain('dormant');
  expect(differences()).toEqual([]);
});

it('takes its table away, and no other program’s', () => {
  open({ isTouched: () => false });
  nft('add table ip other');
  reach(stateWith(1));
  expect(isolation.exists()).toBe(true);
  isolation.remove();
  isolation.remove();
  expect(isolation.exists()).toBe(false);
  expect(nft('list ruleset')).toBe('table ip other {\n}\n');
});
