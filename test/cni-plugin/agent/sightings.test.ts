/** What a node tells of tenants' packets: samples of those refused, sums of all; nothing of floods, nothing of strangers. */

import pino from 'pino';
import { afterEach, expect, test } from 'vitest';
import { Sightings } from '../../../cni-plugin/agent/sightings.ts';
import type { Denials, Endpoint, Traffic } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { formatRecord, parseRecord } from '../../../controller/store/records.ts';
import { parseIp } from '../../../dataplane/address.ts';
import type { Refusal } from '../../../dataplane/dataplane.ts';
import { FakeDataplane } from '../../../dataplane/fake-dataplane.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { endpoint, tenant } from './builders.ts';

const red = tenant('red', 42);
const here = endpoint('aaaaaaaaaaaa', red, '10.170.0.1');
const there = endpoint('bbbbbbbbbbbb', red, '10.170.0.65', { node: 'node2' });
const refusal: Refusal = {
  link: 'tnpaaaaaaaaaaaa',
  direction: 'egress',
  source: parseIp('10.170.0.1'),
  destination: parseIp('10.170.0.65'),
  protocol: 6,
  destinationPort: 80,
};

let sightings: Sightings | undefined;
let tenantExists = true;
afterEach(() => sightings?.close());

async function start(knows: readonly Endpoint[] = [there]) {
  const store = new MemoryStore();
  const dataplane = new FakeDataplane();
  for (const key of [keys.node('node1'), keys.tenant('red')])
    await store.commit([], [{ kind: 'put', key, value: formatRecord({}) }]);
  sightings = new Sightings({
    store,
    node: 'node1',
    dataplane,
    endpoint: (id) => (id === here.id ? here : undefined),
    whoHas: (address) => knows.find(({ ips }) => ips.includes(address)),
    isTenant: () => tenantExists,
    log: pino({ level: 'silent' }),
    everyMs: { traffic: 5, denials: 5 },
  });
  sightings.start();
  const read = async <T extends object>(key: string): Promise<T | undefined> => {
    const { entry } = await store.get(key);
    return entry && parseRecord<T>(key, entry.value);
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

test('a flood is one line with a count, does not drive out others, and of a link that nobody knows nothing is told', async () => {
  const { dataplane, read } = await start();
  dataplane.refuse({ ...refusal, link: 'tnpffffffffffff' });
  for (let i = 0; i < 150; i++) dataplane.refuse(refusal);
  dataplane.refuse({ ...refusal, destinationPort: 81 });
  for (let i = 0; i < 10_000; i++) dataplane.refuse(refusal);
  const { denials, sequence } = await until(
    () => read<Denials>(keys.nodeDenials('red', 'node1')),
    () => true,
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
    () => true,
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
  const dataplane = new FakeDataplane();
  dataplane.failNext('watchRefusals', 16);
  dataplane.carried.set(refusal.link, { delivered: 1, refused: 1 });
  sightings = new Sightings({
    store,
    node: 'node1',
    dataplane,
    endpoint: () => here,
    whoHas: () => undefined,
    isTenant: () => true,
    log: pino({ level: 'silent' }),
    everyMs: { traffic: 5, denials: 5 },
  });
  sightings.start();
  await waitFor(async () => (await store.get(keys.traffic('node1'))).entry !== undefined, { what: 'the counts' });
});
