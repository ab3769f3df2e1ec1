/** tenetctl against a controller: create, get, grow and delete. */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { setUp } from './tenetctl-stage.ts';

describe('create and get', () => {
  test('a tenant with everything a flag can say', async () => {
    const { ok, json } = await setUp();
    const flags = ['-n', 'shop', '-n', 'shop-test', '--subnet', '10.140.4.0/24', '-l', 'plan=gold', '-l', 'empty='];
    expect(await ok('create', 'tenant', 'blue', ...flags, '--no-internet', '--quota-endpoints', '5')).toBe(
      'tenant/blue created\n',
    );
    expect(await json('get', 'tenant', 'blue')).toMatchObject({
      name: 'blue',
      subnets: ['10.140.4.0/24'],
      namespaces: expect.arrayContaining(['shop', 'shop-test']),
      labels: { plan: 'gold', empty: '' },
      egress: { internet: false },
      quota: { endpoints: 5 },
      phase: 'active',
    });
  });

  test('a tenant with nothing but a name gets what the controller chooses', async () => {
    const { ok, json } = await setUp();
    await ok('create', 'tenant', 'blue');
    expect(await json('get', 'tenants', 'blue')).toMatchObject({
      namespaces: ['blue'],
      egress: { internet: true },
      quota: {},
    });
    const { subnets } = await json('create', 'tenant', 'green', '--prefix-length', '/26');
    expect(subnets).toEqual([expect.stringMatching(/\/26$/)]);
  });

  test('json is what REST gives; yaml says the same; name is for scripts', async () => {
    const { controller, ok, json } = await setUp();
    for (const name of ['blue', 'green']) await ok('create', 'tenant', name);
    const rest = await controller.get('/v1/tenants/blue');
    expect(await json('get', 'tenant', 'blue')).toEqual(rest);
    expect(parse(await ok('get', 'tenant', 'blue', '-o', 'yaml'))).toEqual(rest);
    expect(await json('get', 'tenants')).toEqual(await controller.get('/v1/tenants'));
    expect(await ok('get', 'tenants', '-o', 'name')).toMatch(/^tenant\/blue$\n^tenant\/green$/m);
  });

  test('a table shows VNI, subnets, namespaces and endpoints', async () => {
    const { ok } = await setUp();
    await ok('create', 'tenant', 'blue', '--subnet', '10.140.4.0/24', '-n', 'shop');
    const table = await ok('get', 'tenants', 'blue');
    expect(table).toMatch(/^NAME +VNI +SUBNETS +NAMESPACES +ENDPOINTS +PHASE +AGE\n/);
    expect(table).toMatch(/^blue +\d+ +10\.140\.4\.0\/24 +blue, shop +0 +active +\d+s$/m);
  });

  test('namespaces, of one tenant and of all, with or without saying whose', async () => {
    const { ok, json, run } = await setUp();
    await ok('create', 'tenant', 'blue');
    await ok('create', 'tenant', 'green');
    expect(await ok('create', 'namespace', 'shop', '-t', 'blue', '-l', 'stage=test')).toBe('namespace/shop created\n');
    expect(await json('get', 'ns', 'shop')).toMatchObject({ tenant: 'blue', name: 'shop', labels: { stage: 'test' } });
    expect(await ok('get', 'namespaces', '-o', 'name')).toContain('namespace/blue/shop\n');
    expect(await ok('get', 'namespaces', '-t', 'green', '-o', 'name')).toBe('namespace/green/green\n');
    expect(await run('create', 'namespace', 'shop', '-t', 'blue')).toMatchObject({ code: 4 });
    expect(await json('get', 'ns', 'shop')).toMatchObject({ labels: { stage: 'test' } });
  });

  test('endpoints by id, name and container, of one tenant and of all', async () => {
    const { controller, ok, json } = await setUp();
    await ok('create', 'tenant', 'blue');
    await ok('create', 'tenant', 'green');
    await controller.addEndpoint({
      id: '0123456789ab',
      tenant: 'blue',
      name: 'web',
      ip: '10.140.0.2',
      containerId: 'c'.repeat(64),
    });
    await controller.addEndpoint({
      id: 'ba9876543210',
      tenant: 'green',
      name: 'web',
      ip: '10.140.4.2',
      containerId: 'd'.repeat(64),
    });
    expect(await ok('get', 'endpoints', '-o', 'name')).toBe(
      'endpoint/blue/0123456789ab\nendpoint/green/ba9876543210\n',
    );
    expect(await ok('get', 'endpoints', '-t', 'green', '-o', 'name')).toBe('endpoint/green/ba9876543210\n');
    expect(await json('get', 'endpoint', '0123456789ab')).toMatchObject({ tenant: 'blue', name: 'web' });
    expect(await json('get', 'ep', 'web', '-t', 'green')).toMatchObject({ id: 'ba9876543210' });
    expect((await json('get', 'ep', 'web')).items).toHaveLength(2);
    expect(await json('get', 'ep', 'd'.repeat(12))).toMatchObject({ tenant: 'green' });
    expect(await ok('get', 'ep', 'web', '-t', 'blue')).toMatch(/0123456789ab +blue +blue +web +10\.140\.0\.2 +node1/);
  });

  test('nodes and their status', async () => {
    const { controller, ok, json, run } = await setUp();
    await controller.addNode('node1', '192.0.2.1', { live: true });
    await controller.addNode('node2', '192.0.2.2', { live: false });
    await controller.acknowledge('node1');
    const table = await ok('node', 'status');
    expect(table).toMatch(/^NAME +STATUS +ROLES +UNDERLAY +ENDPOINTS +ENFORCED +VERSION +PROBLEMS$/m);
    expect(table).toMatch(/^node1 +live +compute +192\.0\.2\.1 +0 +30s +0\.1\.0 +0$/m);
    expect(table).toMatch(/^node2 +dead /m);
    expect(await json('node', 'status', 'node1')).toEqual(await controller.get('/v1/nodes/node1'));
    await controller.tellProblem('node1', 'blue');
    const told = await ok('node', 'status', 'node1');
    expect(told).toMatch(/^node1 .* 1$/m);
    expect(told).toMatch(/^60s +kernel_refused +node1 +blue +link tnt42 +RTM_NEWLINK link tnt42: EEXIST$/m);
    expect(await ok('node', 'status', '-o', 'name')).toBe('node/node1\nnode/node2\n');
    expect(await ok('get', 'problems')).toMatch(/^60s +kernel_refused +node1 +blue +link tnt42 /m);
    expect(await json('get', 'problems')).toEqual(await controller.get('/v1/cluster/problems'));
    expect(await run('get', 'problems', 'x')).toMatchObject({ code: 2 });
    expect(await run('delete', 'node', 'node1')).toMatchObject({ code: 4 });
    expect(await ok('delete', 'node', 'node2')).toBe('node/node2 deleted\n');
    expect(await ok('get', 'nodes', '-o', 'name')).toBe('node/node1\n');
  });

  test('the cluster', async () => {
    const { controller, ok, json } = await setUp();
    expect(await json('get', 'cluster')).toEqual(await controller.get('/v1/cluster'));
    expect(await ok('get', 'cluster')).toMatch(/^POOLS +SYSTEM SUBNETS /);
  });
});

describe('grow and delete', () => {
  test('a tenant grows by a size or by a subnet, not by both or neither', async () => {
    const { ok, run, json } = await setUp();
    await ok('create', 'tenant', 'blue', '--subnet', '10.140.4.0/24');
    expect(await ok('tenant', 'grow', 'blue', '--cidr', '10.140.9.0/24')).toBe(
      'tenant/blue grown: subnets 10.140.4.0/24, 10.140.9.0/24\n',
    );
    await ok('tenant', 'grow', 'blue', '--prefix-length', '26');
    expect((await json('get', 'tenant', 'blue')).subnets).toHaveLength(3);
    expect(await run('tenant', 'grow', 'blue')).toMatchObject({ code: 2 });
    expect(await run('tenant', 'grow', 'blue', '--cidr', '10.140.10.0/24', '--prefix-length', '26')).toMatchObject({
      code: 2,
    });
  });

  test('a tenant with endpoints stays, and the hint says what to look at', async () => {
    const { controller, ok, run } = await setUp();
    await ok('create', 'tenant', 'blue');
    await controller.addEndpoint({
      id: '0123456789ab',
      tenant: 'blue',
      name: 'web',
      ip: '10.140.0.2',
      containerId: 'c'.repeat(64),
    });
    const { code, err } = await run('delete', 'tenant', 'blue');
    expect(code).toBe(4);
    expect(err).toContain('hint: stop its containers first: tenetctl get endpoints -t blue');
    await controller.removeEndpoint('blue', '0123456789ab');
    expect(await ok('delete', 'tenant', 'blue')).toBe('tenant/blue deleted\n');
    expect(await run('get', 'tenant', 'blue')).toMatchObject({ code: 3 });
  });

  test('several at once; a namespace without saying whose', async () => {
    const { ok } = await setUp();
    await ok('create', 'tenant', 'blue', '-n', 'shop');
    await ok('create', 'tenant', 'green');
    expect(await ok('delete', 'namespace', 'shop')).toBe('namespace/shop deleted\n');
    expect(await ok('delete', 'tenant', 'blue', 'green')).toBe('tenant/blue deleted\ntenant/green deleted\n');
  });
});
