/** What a node tells callers of tenants' packets: samples of those refused, sums of all; nothing of floods, nothing of strangers. */

import pino from 'pino';
import { afterEach, expect, test } from 'vitest';
import { Sightings } from '../../../../cni-plugin/agent/reports/sightings.ts';
import { readRecord } from '../../../../controller/model/kinds/all.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import { type Subject, subjects } from '../../../../controller/model/kinds/wanted.ts';
import type { Denials, Endpoint, Traffic } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { MemoryStore } from '../../../../controller/store/memory-store.ts';
import type { Guard, Write } from '../../../../controller/store/store.ts';
import { parseIp } from '../../../../dataplane/address.ts';
import type { Refusal } from '../../../../dataplane/dataplane.ts';
import { FakeDataplane } from '../../../../dataplane/fake-dataplane.ts';
import { waitFor } from '../../../lab/probe/deadline.ts';
import { endpoint, problemBook, tenant } from '../builders.ts';

const red = tenant('red', 42);
const here = endpoint('aaaaaaaaaaaa', red, '10.170.0.1');
const there = endpoint('bbbbbbbbbbbb', red, '10.170.0.65', { node: 'node2' });
const refusal: Refusal = {
  link: 'tnpaaaaaaaaaaaa',
  direction: 'egress',
  reason: 'policy',
  source: parseIp('10.170.0.1'),
  destination: parseIp('10.170.0.65'),
  protocol: 6,
  destinationPort: 80,
};

/** Counts what is written to it. */
class CountingStore extends MemoryStore {
  puts = 0;
  bytes = 0;

  override async commit(guards: readonly Guard[], writes: readonly Write[]) {
    for (const write of writes)
      if (write.kind === 'put') {
        this.puts++;
        this.bytes += write.key.length + write.value.length;
      }
    return await super.commit(guards, writes);
  }

  /** What a controller writes for a caller. */
  async ask(subject: Subject, asker = 'c1'): Promise<void> {
    await super.commit([], [{ kind: 'put', key: keys.wantedBy(subject, asker), value: formatRecord({}) }]);
  }

  async askNoMore(subject: Subject, asker = 'c1'): Promise<void> {
    await super.commit([], [{ kind: 'delete', key: keys.wantedBy(subject, asker) }]);
  }
}

let sightings: Sightings | undefined;
let tenantExists = true;
afterEach(() => sightings?.close());

/** @param asked before it starts */
async function start(asked: readonly Subject[] = [subjects.denials('red'), subjects.traffic], nodes = 1) {
  const knows: readonly Endpoint[] = [there];
  const store = new CountingStore();
  for (const subject of asked) await store.ask(subject);
  const dataplane = new FakeDataplane();
  for (const key of [keys.node('node1'), keys.tenant('red')])
    await store.commit([], [{ kind: 'put', key, value: formatRecord({}) }]);
  store.puts = store.bytes = 0;
  sightings = new Sightings({
    store,
    node: 'node1',
    dataplane,
    hasEndpoint: (tenant) => tenant === 'red',
    nodes: () => nodes,
    endpoint: (id) => (id === here.id ? here : undefined),
    whoHas: (address) => knows.find(({ ips }) => ips.includes(address)),
    isTenant: () => tenantExists,
    book: problemBook(),
    log: pino({ level: 'silent' }),
    everyMs: { traffic: 5, denials: 5 },
  });
  sightings.start();
  const read = async <T extends object>(key: string): Promise<T | undefined> => {
    const { entry } = await store.get(key);
    const found = entry && readRecord(entry);
    return found === undefined ? undefined : (found as unknown as { readonly record: T }).record;
  };
  return { store, dataplane, read };
}

/** @returns the record once it is as wanted */
async function until<T>(look: () => Promise<T | undefined>, isIt: (found: T) => boolean): Promise<T> {
  let found: T | undefined;
  await waitFor(
    async () => {
      found = await look();
      return found !== undefined && isIt(found);
    },
    { what: 'the record' },
  );
  return found as T;
}

test('a refused packet is told with both ends as they are known', async () => {
  const { dataplane, read } = await start();
  dataplane.refuse(refusal);
  dataplane.refuse({
    ...refusal,
    direction: 'ingress',
    source: parseIp('10.171.0.1'),
    destination: refusal.source,
    protocol: 1,
    destinationPort: undefined,
  });
  const { denials, sequence } = await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    (found) => found.sequence === 2,
  );
  expect(sequence).toBe(2);
  expect(denials).toMatchObject([
    {
      from: { name: here.name },
      to: { name: there.name, ip: '10.170.0.65' },
      protocol: 'TCP',
      port: 80,
      direction: 'egress',
    },
    { from: { ip: '10.171.0.1' }, to: { name: here.name }, protocol: 'ICMP', direction: 'ingress' },
  ]);
  expect(Object.keys(denials[1]?.from ?? {})).toEqual(['ip']);
});

test('a flood is one line with a count, does not drive out others, and of an unknown link nothing is told', async () => {
  const { dataplane, read } = await start();
  dataplane.refuse({ ...refusal, link: 'tnpffffffffffff' });
  for (let i = 0; i < 150; i++) dataplane.refuse(refusal);
  dataplane.refuse({ ...refusal, destinationPort: 81 });
  for (let i = 0; i < 10_000; i++) dataplane.refuse(refusal);
  const { denials, sequence } = await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    (found) => found.sequence > 0,
  );
  expect(denials.map(({ port, count }) => [port, count])).toEqual([
    [80, 199],
    [81, undefined],
  ]);
  expect(sequence).toBe(2);
});

test('a scan of many ports is told of twenty', async () => {
  const { dataplane, read } = await start();
  for (let port = 1; port <= 100; port++) dataplane.refuse({ ...refusal, destinationPort: port });
  const { denials, sequence } = await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    (found) => found.sequence > 0,
  );
  expect(denials).toHaveLength(20);
  expect(sequence).toBe(20);
});

test('counts go on when a link’s begin again, and end with the link', async () => {
  const { dataplane, read } = await start();
  const told = (allowed: number, denied: number) =>
    until(
      () => read<Traffic>(keys.traffic('node1')),
      ({ tenants }) => tenants.red?.allowed === allowed && tenants.red.denied === denied,
    );
  dataplane.carried.set(refusal.link, { delivered: 10, refused: 3 });
  await told(10, 3);
  dataplane.carried.set(refusal.link, { delivered: 15, refused: 1 });
  await told(15, 4);
  dataplane.carried.clear();
  dataplane.carried.set('tnpffffffffffff', { delivered: 7, refused: 7 });
  await told(15, 4);
});

test('a tenant that is gone is not told of any more', async () => {
  const { dataplane, read } = await start();
  dataplane.carried.set(refusal.link, { delivered: 1, refused: 1 });
  await until(
    () => read<Traffic>(keys.traffic('node1')),
    ({ tenants }) => tenants.red !== undefined,
  );
  tenantExists = false;
  dataplane.carried.clear();
  await until(
    () => read<Traffic>(keys.traffic('node1')),
    ({ tenants }) => tenants.red === undefined,
  );
  tenantExists = true;
});

test('a kernel that does not show packets counts them all the same', async () => {
  const store = new MemoryStore();
  await store.commit([], [{ kind: 'put', key: keys.node('node1'), value: formatRecord({}) }]);
  await store.commit([], [{ kind: 'put', key: keys.wantedBy('traffic', 'c1'), value: formatRecord({}) }]);
  const dataplane = new FakeDataplane();
  dataplane.failNext('watchRefusals', 16);
  dataplane.carried.set(refusal.link, { delivered: 1, refused: 1 });
  sightings = new Sightings({
    store,
    node: 'node1',
    dataplane,
    endpoint: () => here,
    hasEndpoint: () => true,
    nodes: () => 1,
    whoHas: () => undefined,
    isTenant: () => true,
    book: problemBook(),
    log: pino({ level: 'silent' }),
    everyMs: { traffic: 5, denials: 5 },
  });
  sightings.start();
  await waitFor(async () => (await store.get(keys.traffic('node1'))).entry !== undefined, { what: 'the counts' });
});

test('while no caller asks nothing is written, whatever is refused; the first that asks is told the latest, as of before', async () => {
  const { store, dataplane, read } = await start([]);
  // Another tenant's callers are no reason to tell of this one.
  await store.ask(subjects.denials('blue'));
  for (let round = 0; round < 5; round++) {
    for (let port = 1; port <= 7; port++) dataplane.refuse({ ...refusal, destinationPort: 100 * round + port });
    dataplane.carried.set(refusal.link, { delivered: round, refused: 7 * round });
    // Intervals pass: of those within one only twenty lines are kept.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await store.ask(subjects.denials('red'));
  const told = await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    () => true,
  );
  expect({ ...told, ports: told.denials.map(({ port }) => port).slice(-2) }).toMatchObject({
    sequence: 35,
    unasked: 35,
    ports: [406, 407],
  });
  // The answer, and nothing before it.
  expect(store.puts).toBe(1);
  expect(told.denials).toHaveLength(20);
  await store.ask(subjects.traffic);
  const { tenants } = await until(
    () => read<Traffic>(keys.traffic('node1')),
    () => true,
  );
  expect(tenants).toEqual({ red: { allowed: 4, denied: 28 } });
});

test('a caller that asks where nothing was refused is told so, and each that asks is answered', async () => {
  const { store, read } = await start([]);
  for (const asker of ['c1', 'c2']) {
    const { puts } = store;
    await store.ask(subjects.denials('red'), asker);
    await waitFor(async () => store.puts > puts, { what: 'an answer' });
    expect(await read<Denials>(keys.nodeDenials('red', 'node1'))).toMatchObject({ sequence: 0, denials: [] });
  }
});

test('when the last caller has gone nothing more is written', async () => {
  const { store, dataplane, read } = await start([subjects.denials('red')]);
  await store.ask(subjects.denials('red'), 'c2');
  await store.askNoMore(subjects.denials('red'));
  dataplane.refuse(refusal);
  await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    ({ sequence }) => sequence === 1,
  );
  await store.askNoMore(subjects.denials('red'), 'c2');
  dataplane.refuse({ ...refusal, destinationPort: 81 });
  await store.ask(subjects.traffic);
  // Both are looked at as often: once the counts have been told so many times, the other had its turn.
  for (let round = 1; round <= 5; round++) {
    dataplane.carried.set(refusal.link, { delivered: round, refused: round });
    await until(
      () => read<Traffic>(keys.traffic('node1')),
      ({ tenants }) => tenants.red?.denied === round,
    );
  }
  expect(await read<Denials>(keys.nodeDenials('red', 'node1'))).toMatchObject({ sequence: 1 });
});

test('while one follows, a flood writes no more than the node’s share of what the cluster may', async () => {
  const { store, dataplane } = await start([subjects.denials('red')], 100);
  const started = performance.now();
  // Each interval twenty lines of their own: 6 kB, 200 times a second.
  for (let port = 1; port <= 2_000; port++) {
    dataplane.refuse({ ...refusal, destinationPort: port });
    dataplane.carried.set(refusal.link, { delivered: port, refused: port });
    if (port % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 6));
  }
  const seconds = (performance.now() - started) / 1000;
  const share = (16 * 1024) / 100;
  // What it may at once, the last record, which may go beyond it, and its share of the time.
  expect(store.puts).toBeGreaterThan(0);
  expect(store.bytes).toBeLessThan(8 * 1024 + 8 * 1024 + share * seconds);
});
