/** Bounds of what pods' fragments take of a node's memory, in a real kernel: what it holds, and whose datagrams still get through. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import type { Item } from '../../dataplane/state.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BOUNDS, enterNode, type FragmentStage, held, NODE, raiseFragmentStage, WAIT_S } from './fragment-stage.ts';
import { ip } from './namespace.ts';
import { stateOf } from './node-state.ts';

/** Datagrams of 20,000 bytes, a little apart, so that a socket of this machine takes them. */
const FLOOD = `
  const socket = require('node:dgram').createSocket('udp4');
  const each = (count) =>
    count === 0 ? socket.close() : socket.send(Buffer.alloc(20000), 7001, '10.200.0.1', () => each(count - 1));
  each(500);`;

let rtnetlink: Rtnetlink;
let stage: FragmentStage;

beforeAll(() => {
  rtnetlink = enterNode();
});
afterAll(() => rtnetlink.close());

describe.each([
  { how: 'by themselves', byFilter: false },
  { how: 'on a queueing discipline, as before Linux 6.6', byFilter: true },
])('programs $how', ({ byFilter }) => {
  beforeEach(async () => {
    stage = await raiseFragmentStage(rtnetlink, { byFilter });
  });
  afterEach(async () => {
    stage.close();
    await waitFor(() => held() === 0, { what: 'the kernel gives up what is not complete' });
  });

  it('hold one pod that never ends a datagram, and none that does', async () => {
    await stage.delivers('red', 'blue');
    stage.begin('red', 4_000);
    expect(held()).toBeGreaterThan(0);
    expect(held()).toBeLessThanOrEqual(BOUNDS.bytes / 3);
    expect(stage.refused('red')).toBeGreaterThan(2_000);
    await stage.delivers('blue', 'red too');
    expect([stage.refused('blue'), stage.refused('red too')]).toEqual([0, 0]);
  });

  it('hold all pods of a tenant together', async () => {
    for (const name of ['red', 'red too', 'red in another block'] as const) stage.begin(name, 4_000);
    expect(held()).toBeLessThanOrEqual(BOUNDS.bytes / 2);
    await stage.delivers('blue', 'green');
    stage.begin('blue', 4_000);
    await stage.delivers('green');
    expect(held()).toBeLessThanOrEqual(BOUNDS.bytes);
  });

  it('let a pod go on once the kernel has given up what it held', async () => {
    stage.guard({ bounds: { ...BOUNDS, seconds: WAIT_S } });
    stage.begin('red', 4_000);
    expect(stage.refused('red')).toBeGreaterThan(2_000);
    await waitFor(
      () => {
        const before = stage.refused('red');
        stage.begin('red', 1);
        return stage.refused('red') === before;
      },
      { what: 'red begins a datagram again' },
    );
    await stage.delivers('red');
  });

  it('count no datagram that is complete, however many are under way', async () => {
    const under = Array.from({ length: 8 }, (_, index) => stage.datagram('red', `token ${index}`, 20_000));
    const before = counters();
    for (let round = 0; round < 50; round++)
      for (let index = 0; under.some((each) => index < each.length); index++)
        for (const each of under) for (const one of each.slice(index, index + 1)) stage.pod('red').raw.send(one);
    await waitFor(() => counters().ReasmOKs - before.ReasmOKs === 400, { what: 'all are put together' });
    expect(counters().ReasmFails).toBe(before.ReasmFails);
    expect(stage.refused('red')).toBe(0);
    // In another order: each counts for a while, and comes.
    for (const each of stage.datagram('red', 'backwards', 5_000).reverse()) stage.pod('red').raw.send(each);
    await stage.hears('backwards');
    expect(stage.refused('red')).toBe(0);
  });

  it('lose nothing of what several processes of a pod send at once', async () => {
    const before = counters();
    const { netns, address } = stage.pod('red');
    ip('-n', netns.name, 'address', 'add', `${address}/32`, 'dev', 'eth0');
    ip('-n', netns.name, 'route', 'add', 'default', 'dev', 'eth0');
    ip('-n', netns.name, 'neighbour', 'add', NODE, 'lladdr', HOST_END_MAC, 'dev', 'eth0', 'nud', 'permanent');
    const senders = Array.from({ length: 4 }, () =>
      spawn('nsenter', [`--net=${netns.path}`, process.execPath, '-e', FLOOD], { stdio: 'ignore' }),
    );
    await Promise.all(senders.map((sender) => once(sender, 'exit')));
    await waitFor(() => counters().ReasmOKs - before.ReasmOKs === 4 * 500, { what: 'all are put together' });
    expect(counters().ReasmFails).toBe(before.ReasmFails);
    expect(stage.refused('red')).toBe(0);
  });

  it('hold a datagram of ever more small fragments', async () => {
    for (let id = 1; id <= 4; id++)
      for (let fragmentOffset = 0; fragmentOffset < 32_000; fragmentOffset += 8)
        stage.pod('red').raw.send(stage.frame('red', { id, fragmentOffset, moreFragments: true }, Buffer.alloc(8)));
    expect(held()).toBeLessThanOrEqual(BOUNDS.bytes / 3);
    await stage.delivers('blue');
  });

  it('know a pod that is new, and forget one that has gone', async () => {
    const items = stage.items();
    const isGreens = (item: Item) => item.kind === 'element' && item.fields[0] === stage.pod('green').link;
    const state = stateOf(items);
    const [guard] = items.filter(isGreens);
    if (guard === undefined) throw new Error('green has no source');
    const without = stateOf(items.filter((item) => !isGreens(item)));
    stage.guards.follow([{ op: 'remove', item: guard }], without);
    stage.begin('green', 10);
    // Not known is not allowed.
    expect(held()).toBe(0);
    stage.guards.follow([{ op: 'add', item: guard }], state);
    await stage.delivers('green');
    expect(stage.refused('green')).toBe(0);
  });
});

it('programs of a former process are replaced', async () => {
  stage = await raiseFragmentStage(rtnetlink);
  onTestFinished(() => stage.close());
  const former = stage.guards;
  const later = stage.guard();
  stage.begin('red', 2_000);
  expect(stage.refused('red', later)).toBeGreaterThan(0);
  expect(stage.refused('red', former)).toBe(0);
});

/** @see Documentation/networking/snmp_counter.rst */
function counters(): { readonly ReasmOKs: number; readonly ReasmFails: number } {
  const [names = '', values = ''] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Ip:'));
  const value = (name: string) => Number(values.split(' ')[names.split(' ').indexOf(name)]);
  return { ReasmOKs: value('ReasmOKs'), ReasmFails: value('ReasmFails') };
}
