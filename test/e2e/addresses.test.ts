/**
 * Addresses under pressure: nodes that race for a tenant's last block, many containers starting at once on one node and on all; no address
 * is ever given twice, and of containers that have gone nothing is left.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CniFailure, type Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import {
  contradictions,
  etcdDump,
  makeTenant,
  silentPairs,
  untilListed,
  untilNothingLeft,
  untilReached,
} from './support/cluster.ts';

/** Addresses of one block of the default length. */
const BLOCK_SIZE = 32;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ nodes: 3 });
});
afterAll(() => lab?.close());

const attachMany = (node: string, tenant: string, count: number): Promise<Container>[] =>
  Array.from({ length: count }, () => lab.attach(node, { tenant }));

const detachAll = (containers: readonly Container[]) => Promise.all(containers.map((each) => lab.detach(each)));

function expectUnique(containers: readonly Container[]): void {
  expect(new Set(containers.map(({ ip }) => ip)).size).toBe(containers.length);
  expect(new Set(containers.map(({ mac }) => mac)).size).toBe(containers.length);
}

test.each([1, 2, 3])(
  'two nodes race for the last block: one wins, the other says what to do (round %i)',
  async (round) => {
    const tenant = await makeTenant(lab, `race${round}`, { subnetPrefixLength: 27 });
    const tries = await Promise.allSettled([
      lab.attach('node1', { tenant: tenant.name }),
      lab.attach('node2', { tenant: tenant.name }),
    ]);
    const [winner] = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const [refusal] = tries.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
    if (winner === undefined) throw new Error('both were refused');
    if (!(refusal instanceof CniFailure)) throw new Error(`not refused: ${String(refusal)}`);
    expect(refusal.code).toBe(100);
    expect(refusal.message).toContain('no address left');
    expect(refusal.message).toContain(`tenant ${tenant.name}`);
    expect(refusal.message).toContain('give it another subnet');

    const grown = await lab.rest('POST', `/v1/tenants/${tenant.name}/subnets`, { prefixLength: 27 });
    expect(grown.status).toBe(201);
    const loser = await lab.attach(winner.host.name === 'node1' ? 'node2' : 'node1', { tenant: tenant.name });
    await untilReached(lab, [[winner, loser]]);
    await detachAll([winner, loser]);
    await untilNothingLeft(lab, tenant);
  },
);

test('a block is given to its last address, and an address given back is given again', async () => {
  const tenant = await makeTenant(lab, 'full', { subnetPrefixLength: 27 });
  const containers = await Promise.all(attachMany('node1', 'full', BLOCK_SIZE));
  expectUnique(containers);
  const refused = lab.attach('node1', { tenant: 'full' });
  await expect(refused).rejects.toSatisfy((error: CniFailure) => error.code === 100);
  const [first, ...others] = containers;
  if (first === undefined) throw new Error('no container');
  await lab.detach(first);
  const again = await lab.attach('node1', { tenant: 'full' });
  expect(again.ip).toBe(first.ip);
  expect(
    await silentPairs(
      lab,
      others.map((other) => [again, other]),
    ),
  ).toEqual([]);
  await untilListed(lab, 'full', [again, ...others]);
  await detachAll([again, ...others]);
  await untilNothingLeft(lab, tenant);
});

test('sixteen containers at once on each of three nodes', async () => {
  const tenant = await makeTenant(lab, 'crowd');
  const nodes = ['node1', 'node2', 'node3'];
  const containers = await Promise.all(nodes.flatMap((node) => attachMany(node, 'crowd', 16)));
  expectUnique(containers);
  await untilListed(lab, 'crowd', containers);
  const firsts = nodes.flatMap((node) => containers.find(({ host }) => host.name === node) ?? []);
  const pairs = firsts.flatMap((from) => containers.map((to) => [from, to] as const));
  const back = firsts.flatMap((to) => containers.map((from) => [from, to] as const));
  const different = [...pairs, ...back].filter(([from, to]) => from !== to);
  const ring = firsts.map((to, index) => [firsts[(index + 1) % 3] ?? to, to] as const);
  await untilReached(lab, ring);
  expect(await silentPairs(lab, different)).toEqual([]);
  expect(contradictions(await etcdDump(lab))).toEqual([]);
  await detachAll(containers);
  await untilNothingLeft(lab, tenant);
});
