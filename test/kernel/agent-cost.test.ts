/**
 * What one change costs on a node that knows ten thousand blocks of others: counted in netlink messages sent and, by the kernel's own
 * notifications, in elements changed. The whole agent on a real kernel; the store is the fake that the contract suite holds to etcd.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent } from '../../cni-plugin/agent/agent.ts';
import { Journal } from '../../cni-plugin/agent/endpoints/journal.ts';
import type { AgentRequest, CniCommand } from '../../cni-plugin/agent-protocol.ts';
import { formatRecord } from '../../controller/model/kinds/kind.ts';
import { keys } from '../../controller/store/keys.ts';
import { MemoryStore } from '../../controller/store/memory-store.ts';
import { parsePrefix } from '../../dataplane/address.ts';
import {
  NFT_MSG_DELSETELEM,
  NFT_MSG_NEWSETELEM,
  NFTA_SET_ELEM_LIST_ELEMENTS,
} from '../../dataplane/codecs/nftables/uapi.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import { parseAttributes } from '../../dataplane/netlink/attribute.ts';
import { parseMessages } from '../../dataplane/netlink/message.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { cluster, entries, facts, node, tenant } from '../cni-plugin/agent/builders.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { addNamespace, enterOwnNamespace, ip, type OtherNamespace, run } from './namespace.ts';

const BLOCKS = 10_000;
/** @see include/uapi/linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES */
const NFTABLES_GROUP = 7;
const NFGENMSG = 4;
/** batch begin, the elements of one collection, batch end */
const ONE_ELEMENT = 3;

const red = tenant('red', 42, { subnets: [parsePrefix('10.170.0.0/16')] });
const signal = new AbortController().signal;
const blockAt = (index: number) => parsePrefix(`10.170.${Math.floor(index / 256)}.${index % 256}/32`);

let dir: string;
let store: MemoryStore;
let dataplane: KernelDataplane;
let agent: Agent;
let container: OtherNamespace;
let news: NetlinkSocket;
/** messages by which traffic was counted, which the agent does from time to time whatever else there is */
const counting = { route: 0, filter: 0 };

function request(command: CniCommand, pod: string): AgentRequest {
  return {
    command,
    containerId: pod,
    netns: container.path,
    ifname: pod,
    args: {},
    config: { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', args: { cni: { tenant: 'red' } } },
  };
}

const put = (key: string, record: object) => store.commit([], [{ kind: 'put', key, value: formatRecord(record) }]);

beforeAll(async () => {
  enterOwnNamespace();
  ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'eth9-peer');
  ip('addr', 'add', '192.168.9.1/24', 'dev', 'eth9');
  for (const link of ['eth9', 'eth9-peer']) ip('link', 'set', link, 'up');
  container = addNamespace();
  dir = mkdtempSync(join(tmpdir(), 'tenet-cost-'));
  store = new MemoryStore();
  const world = entries({
    cluster: { ...cluster, blockPrefixLength: { v4: 32, v6: 128 } },
    nodes: [node(1), node(2)],
    tenants: [tenant('system', 1), red],
    blocks: Array.from({ length: BLOCKS }, (_, index): [string, string, string] => ['red', blockAt(index), 'node2']),
  });
  for (const { key, value } of world) await store.commit([], [{ kind: 'put', key, value }]);
  dataplane = KernelDataplane.open({ backend: 'nftables' });
  const traffic = dataplane.traffic.bind(dataplane);
  dataplane.traffic = () => {
    const before = dataplane.messagesSent;
    const counts = traffic();
    counting.route += dataplane.messagesSent.route - before.route;
    counting.filter += dataplane.messagesSent.filter - before.filter;
    return counts;
  };
  const underlay = { ...facts().underlay, link: 'eth9' };
  agent = new Agent({
    facts: facts({ underlay }),
    readFacts: () => facts({ underlay }),
    readTable: () => undefined,
    version: 'test',
    store,
    dataplane,
    journal: Journal.open(dir, 'node1'),
    stateDir: dir,
    log: pino({ level: 'silent' }),
  });
  await agent.start();
  expect(await agent.handle(request('ADD', 'first'), signal)).toMatchObject({ ok: true });
  news = new NetlinkSocket(NETLINK_NETFILTER, [NFTABLES_GROUP]);
  // Ten thousand routes are more news than the agent's own socket holds: it reads the kernel back once more.
  let quiet = { sent: -1, looks: 0 };
  const isQuiet = () => {
    const sent = messagesSent().route + messagesSent().filter;
    quiet = { sent, looks: sent === quiet.sent ? quiet.looks + 1 : 0 };
    return quiet.looks > 75;
  };
  await waitFor(isQuiet, { what: 'the agent has nothing more to do', everyMs: 20, timeoutMs: 60_000 });
}, 120_000);
afterAll(async () => {
  news?.close();
  await agent?.close();
  await store?.close();
  container?.remove();
  if (dir) rmSync(dir, { recursive: true });
});

function messagesSent() {
  const { route, filter } = dataplane.messagesSent;
  return { route: route - counting.route, filter: filter - counting.filter };
}

/** Elements that the kernel says have come or gone since the last look. */
function elementsChanged(): number {
  let count = 0;
  for (let datagram = news.poll(); datagram !== undefined; datagram = news.poll()) {
    for (const { type, payload } of parseMessages(datagram)) {
      if ((type & 0xff) !== NFT_MSG_NEWSETELEM && (type & 0xff) !== NFT_MSG_DELSETELEM) continue;
      count += parseAttributes(payload, NFGENMSG).get(NFTA_SET_ELEM_LIST_ELEMENTS)?.list().length ?? 0;
    }
  }
  return count;
}

/** Makes a change and waits until a look at the kernel shows it. @returns what that cost */
async function costOf(change: () => Promise<unknown>, isDone: () => boolean) {
  elementsChanged();
  const before = messagesSent();
  await change();
  await waitFor(isDone, { what: 'the kernel has it', everyMs: 2 });
  const { route, filter } = messagesSent();
  return { route: route - before.route, filter: filter - before.filter, elements: elementsChanged() };
}

const hasRoute = (destination: string) => ip('route', 'show', destination).trim() !== '';

describe(`among ${BLOCKS} blocks of others, one change costs its own messages alone`, () => {
  it('there they are', () => {
    expect(ip('route', 'show', 'dev', 'tnt42').trim().split('\n')).toHaveLength(BLOCKS);
  });

  it('a block of another node comes and goes', async () => {
    const key = keys.block('red', parsePrefix('10.170.250.1/32'));
    const come = await costOf(
      () => put(key, { node: 'node2' }),
      () => hasRoute('10.170.250.1'),
    );
    // Whose it is, and who may send for it: begin, two collections, end.
    const cost = { route: 1, filter: 4, elements: 2 };
    expect(come).toEqual(cost);
    const go = await costOf(
      () => store.commit([], [{ kind: 'delete', key }]),
      () => !hasRoute('10.170.250.1'),
    );
    expect(go).toEqual(cost);
  });

  it('a tenant is forbidden the internet and given it back, which its one endpoint here feels', async () => {
    const members = () => run('nft', ['list', 'set', 'inet', 'tenet', 'internet']);
    const forbidden = await costOf(
      () => put(keys.tenant('red'), { ...red, egress: { internet: false } }),
      () => !members().includes('tnp'),
    );
    expect(forbidden).toEqual({ route: 0, filter: ONE_ELEMENT, elements: 1 });
    const given = await costOf(
      () => put(keys.tenant('red'), red),
      () => members().includes('tnp'),
    );
    expect(given).toEqual({ route: 0, filter: ONE_ELEMENT, elements: 1 });
  });

  it('an endpoint comes and goes', async () => {
    const come = await costOf(
      () => agent.handle(request('ADD', 'second'), signal),
      () => true,
    );
    // Its own block, guard, pod address, internet, what is refused; what it may call: its tenant, beyond; what may call it: its
    // tenant, gateways.
    expect(come.elements).toBe(9);
    // Begin, eight collections, end; the block may come before the rest, as a transaction of its own.
    expect(come.filter).toBeLessThanOrEqual(12);
    // Birth: two. Then the neighbour, the link going up, the route.
    expect(come.route).toBe(5);
    const go = await costOf(
      () => agent.handle(request('DEL', 'second'), signal),
      () => true,
    );
    expect(go.elements).toBe(8);
    expect(go.filter).toBeLessThanOrEqual(9);
    expect(go.route).toBeLessThanOrEqual(3);
  });

  it('a node comes: it may send VXLAN, is closed to pods, and its MAC is known, unless others keep that', async () => {
    const cost = await costOf(
      () => put(keys.node('node9'), node(9)),
      () => run('nft', ['list', 'set', 'inet', 'tenet', 'vxlan_peer4']).includes('192.168.9.9'),
    );
    expect(cost).toEqual({ route: 2, filter: 4, elements: 2 });
  });
});
