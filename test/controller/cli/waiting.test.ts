/** tenetctl's peerings and --wait, against the real REST application on the memory store. */
import { expect, onTestFinished, test } from 'vitest';
import { joinWait } from '../../../controller/cli/waiting.ts';
import { startController } from './controller.ts';
import { tenetctl } from './tenetctl.ts';

/** Blue has a block on node1, which acknowledges all; `late` also has one on node2, which is alive and says nothing. */
async function setUp() {
  const controller = await startController();
  onTestFinished(() => controller.close());
  const env = { TENET_SERVER: controller.url, TENET_TOKEN: controller.token };
  const run = (...args: readonly string[]) => tenetctl(args, env);
  const ok = async (...args: readonly string[]) => {
    const { code, out, err } = await run(...args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return out;
  };
  const apply = (manifest: string, ...args: readonly string[]) =>
    tenetctl(['apply', '-f', '-', ...args], env, manifest);
  const json = async (...args: readonly string[]) => JSON.parse(await ok(...args, '-o', 'json'));
  for (const tenant of ['blue', 'red', 'late']) await ok('create', 'tenant', tenant);
  for (const node of ['node1', 'node2']) await controller.addNode(node, '192.0.2.1', { live: true });
  await controller.addBlock('blue', '10.140.0.0/27', 'node1');
  await controller.addBlock('late', '10.141.0.0/27', 'node1');
  await controller.addBlock('late', '10.141.0.32/27', 'node2');
  await controller.acknowledge('node1', 'blue', 'late', 'red');
  return { controller, env, run, ok, apply, json };
}

test('peerings are created, shown and deleted', async () => {
  const { ok, run, json } = await setUp();
  expect(await ok('create', 'peering', 'red', '-t', 'blue')).toBe(
    'peering/blue/red created, in force once red asks too: create peering blue -t red\n',
  );
  expect(await run('create', 'peering', 'red', '-t', 'blue')).toMatchObject({ code: 4 });
  expect(await ok('create', 'peering', 'blue', '-t', 'red')).toBe('peering/red/blue created\n');
  expect(await ok('get', 'peerings')).toMatch(
    /^TENANT +PEER +IN FORCE +AGE\nblue +red +yes +60s\nred +blue +yes +60s\n$/,
  );
  expect(await ok('get', 'peerings', '-t', 'blue', '-o', 'name')).toBe('peering/blue/red\n');
  expect(await json('get', 'peering', 'red', '-t', 'blue')).toMatchObject({
    tenant: 'blue',
    peer: 'red',
    inForce: true,
  });
  expect(await run('get', 'peering', 'red')).toMatchObject({ code: 2 });
  expect(await ok('delete', 'peering', 'red', '-t', 'blue')).toBe('peering/blue/red deleted\n');
  expect(await json('get', 'peering', 'blue', '-t', 'red')).toMatchObject({ inForce: false });
  expect(await run('delete', 'peering', 'red', '-t', 'blue')).toMatchObject({ code: 3 });
  expect(await run('create', 'peering', 'blue', '-t', 'blue')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^tenetctl: peer: /),
  });
  expect(await run('create', 'peering', 'grey', '-t', 'blue')).toMatchObject({
    code: 3,
    err: expect.stringContaining('tenant "grey" does not exist'),
  });
});

const PEERINGS = `
apiVersion: tenet.dev/v1
kind: Peering
metadata: {name: red}
spec: {tenant: blue}
---
apiVersion: tenet.dev/v1
kind: Peering
metadata: {name: red}
spec: {tenant: green}
---
apiVersion: tenet.dev/v1
kind: Tenant
metadata: {name: green}
`;

test('peerings are applied after the tenants they are of', async () => {
  const { apply, run } = await setUp();
  const created = 'tenant/green created\npeering/blue/red created\npeering/green/red created\n';
  expect(await apply(PEERINGS)).toEqual({ code: 0, out: created, err: '' });
  expect(await apply(PEERINGS)).toEqual({ code: 0, out: created.replaceAll('created', 'unchanged'), err: '' });
  expect((await run('get', 'peerings', '-t', 'green', '-o', 'name')).out).toBe('peering/green/red\n');
});

test.each([
  ['one with itself', PEERINGS.replace('name: red', 'name: blue'), 2, 'metadata.name: is the tenant itself'],
  ['one with an unknown tenant', PEERINGS.replace('name: red', 'name: grey'), 3, 'tenant "grey" does not exist'],
  ['one without who asks', PEERINGS.replace('spec: {tenant: blue}', 'spec: {}'), 2, 'spec.tenant: is missing'],
  ['one twice', PEERINGS.replace('tenant: green', 'tenant: blue'), 2, 'Peering blue red is in'],
  ['one with labels', PEERINGS.replace('name: red', 'name: red, labels: {}'), 2, 'metadata.labels: is no known field'],
])('a manifest with %s is refused whole', async (_, manifest, code, words) => {
  const { apply } = await setUp();
  expect(await apply(manifest)).toMatchObject({ code, out: '', err: expect.stringContaining(words) });
});

test('--wait says of each node how long it took', async () => {
  const { ok, json, apply } = await setUp();
  const took = '  node1: enforced after [\\d.]+ ms\n';
  expect(await ok('create', 'namespace', 'shop', '-t', 'blue', '--wait')).toMatch(
    new RegExp(`^namespace/shop created\n${took}$`),
  );
  expect(await ok('create', 'peering', 'red', '-t', 'blue', '--wait=5s')).toMatch(new RegExp(`asks too: .*\n${took}$`));
  expect(await ok('delete', 'peering', 'red', '-t', 'blue', '--wait')).toMatch(new RegExp(` deleted\n${took}$`));
  expect(await ok('delete', 'namespace', '--wait', 'shop')).toMatch(new RegExp(`^namespace/shop deleted\n${took}$`));
  expect(await ok('tenant', 'grow', 'blue', '--prefix-length', '24', '--wait')).toMatch(new RegExp(`^.*\n${took}$`));
  expect(await ok('create', 'tenant', '--wait', 'green')).toBe(
    'tenant/green created\n  no node has anything to enforce yet\n',
  );
  expect(await ok('delete', 'tenant', 'green', '--wait')).toBe(
    'tenant/green deleted\n  no node has anything to enforce yet\n',
  );
  expect(await json('create', 'namespace', 'mall', '-t', 'blue', '--wait')).toMatchObject({
    name: 'mall',
    status: { enforced: true, nodes: [{ node: 'node1' }] },
  });
  const { code, out } = await apply(PEERINGS, '--wait');
  expect({ code, out }).toMatchObject({
    code: 0,
    out: expect.stringMatching(new RegExp(`peering/blue/red created\n${took}`)),
  });
});

test('--wait that runs out names the nodes and exits with 6; what was written stays', async () => {
  const { controller, run, json, apply } = await setUp();
  await controller.addBlock('late', '10.141.0.64/27', 'node3');
  const { code, out, err } = await run('create', 'namespace', 'shop', '-t', 'late', '--wait=20ms');
  expect(code).toBe(6);
  expect(out).toMatch(
    /^namespace\/shop created\n {2}node1: enforced after .* ms\n {2}node2: not enforced yet\n {2}node3: .* agent is dead\n$/,
  );
  expect(err).toMatch(/^tenetctl: namespace\/shop is not enforced everywhere: node2, node3 \(dead\)\n {2}hint: /);
  expect(await json('get', 'namespace', 'shop')).toMatchObject({ tenant: 'late' });
  const manifest = PEERINGS.replace('tenant: blue', 'tenant: late');
  expect(await apply(manifest, '--wait=20ms')).toMatchObject({
    code: 6,
    out: expect.stringContaining('peering/green/red created'),
    err: expect.stringContaining('peering/late/red is not enforced everywhere: node2'),
  });
  expect(await run('delete', 'tenant', 'late', 'red', '--wait=20ms')).toMatchObject({
    code: 6,
    out: expect.stringMatching(
      /^tenant\/late deleting, waiting for node1, node2, node3 to return .*\n(.*\n)*tenant\/red deleted\n/,
    ),
    err: expect.stringContaining('tenant/late is not enforced everywhere: node1, node2, node3 (dead)'),
  });
});

test.each(['', '5', '1h', '6m', '0s'])('--wait=%s is refused before anything is sent', async (wait) => {
  const { run, apply } = await setUp();
  expect(await run('create', 'tenant', 'green', `--wait=${wait}`)).toMatchObject({ code: 2, out: '' });
  expect(await run('delete', 'tenant', 'red', `--wait=${wait}`)).toMatchObject({ code: 2, out: '' });
  expect(await apply(PEERINGS, `--wait=${wait}`)).toMatchObject({ code: 2, out: '' });
});

test('--wait takes no word that follows', () => {
  expect(joinWait(['delete', 'tenant', '--wait', 'blue'])).toEqual(['delete', 'tenant', '--wait=10s', 'blue']);
  expect(joinWait(['--wait=1s', '--', '--wait'])).toEqual(['--wait=1s', '--', '--wait']);
});
