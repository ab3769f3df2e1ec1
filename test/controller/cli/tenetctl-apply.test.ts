/** tenetctl against a controller: apply, policies, and exit codes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { tenetctl } from './tenetctl.ts';
import { setUp } from './tenetctl-stage.ts';

describe('apply', () => {
  const MANIFEST = `
apiVersion: tenet.dev/v1
kind: Namespace
metadata: {name: shop, labels: {stage: test}}
spec: {tenant: blue}
---
apiVersion: tenet.dev/v1
kind: Tenant
metadata: {name: blue, labels: {plan: gold}}
spec: {subnets: [10.140.4.0/24], quota: {endpoints: 10}, egress: {internet: false}}
`;

  test('creates, tenants first whatever the order; a second time changes nothing', async () => {
    const { apply, json } = await setUp();
    expect(await apply(MANIFEST)).toEqual({
      code: 0,
      out: 'tenant/blue created\nnamespace/blue/shop created\n',
      err: '',
    });
    const before = await json('get', 'tenant', 'blue');
    expect(await apply(MANIFEST)).toEqual({
      code: 0,
      out: 'tenant/blue unchanged\nnamespace/blue/shop unchanged\n',
      err: '',
    });
    expect(await json('get', 'tenant', 'blue')).toEqual(before);
    expect(before).toMatchObject({ labels: { plan: 'gold' }, quota: { endpoints: 10 }, egress: { internet: false } });
  });

  test('changes what differs and keeps what is not named', async () => {
    const { apply, json, ok } = await setUp();
    await apply(MANIFEST);
    const more = MANIFEST.replace('plan: gold', 'tier: one')
      .replace('endpoints: 10', 'policies: 3')
      .replace('10.140.4.0/24', '10.140.9.0/24')
      .replace('stage: test', 'stage: live')
      .replace('spec: {subnets', 'spec: {namespaces: [extra], subnets');
    expect((await apply(more)).out).toBe('tenant/blue configured\nnamespace/blue/shop configured\n');
    expect(await json('get', 'tenant', 'blue')).toMatchObject({
      labels: { tier: 'one' },
      quota: { endpoints: 10, policies: 3 },
      subnets: ['10.140.4.0/24', '10.140.9.0/24'],
      namespaces: expect.arrayContaining(['blue', 'shop', 'extra']),
    });
    expect((await json('get', 'tenant', 'blue')).labels).toEqual({ tier: 'one' });
    expect(await json('get', 'ns', 'shop')).toMatchObject({ labels: { stage: 'live' } });
    expect((await apply(more)).out).toBe('tenant/blue unchanged\nnamespace/blue/shop unchanged\n');
    expect(await ok('get', 'namespaces', '-o', 'name')).toContain('namespace/blue/extra\n');
  });

  test('writes nothing when one document of many is invalid', async () => {
    const { apply, json } = await setUp();
    const { code, out, err } = await apply(
      `${MANIFEST}---\n${MANIFEST.replaceAll('blue', 'red').replaceAll('shop', 'Shop')}`,
    );
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^tenetctl: standard input, document 3: metadata\.name: must be/);
    expect((await json('get', 'tenants')).items.map(({ name }: { name: string }) => name)).not.toContain('blue');
  });

  test("writes nothing when one subnet is outside the cluster's pools", async () => {
    const { apply, json } = await setUp();
    const { code, err } = await apply(
      `${MANIFEST}---\n${MANIFEST.replaceAll('blue', 'red').replaceAll('shop', 'mall').replace('10.140.4.0', '8.8.8.0')}`,
    );
    expect(code).toBe(2);
    expect(err).toMatch(/^tenetctl: tenant\/red: spec\.subnets\[0\]: .*8\.8\.8\.0/);
    expect((await json('get', 'tenants')).items.map(({ name }: { name: string }) => name)).not.toContain('blue');
  });

  test('refuses a namespace of a tenant that is not there', async () => {
    const { apply } = await setUp();
    const [namespace] = MANIFEST.split('---');
    expect(await apply(namespace ?? '')).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringContaining('tenant "blue" does not exist'),
    });
  });

  test('says which object a conflict is about: a namespace that another tenant holds', async () => {
    const { apply, ok } = await setUp();
    await ok('create', 'tenant', 'green', '-n', 'shop');
    const { code, out, err } = await apply(MANIFEST);
    expect({ code, out }).toEqual({ code: 4, out: 'tenant/blue created\n' });
    expect(err).toMatch(/^tenetctl: namespace\/blue\/shop: /);
  });

  test('reads a file, and JSON, and a List', async () => {
    const { env, json } = await setUp();
    const folder = mkdtempSync(join(tmpdir(), 'tenetctl-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const items = parseAllDocuments(MANIFEST).map((document) => document.toJS());
    writeFileSync(join(folder, 'blue.json'), JSON.stringify({ apiVersion: 'tenet.dev/v1', kind: 'List', items }));
    expect(await tenetctl(['apply', '-f', join(folder, 'blue.json')], env)).toMatchObject({ code: 0 });
    expect(await json('get', 'tenant', 'blue')).toMatchObject({ subnets: ['10.140.4.0/24'] });
    expect(await tenetctl(['apply', '-f', join(folder, 'none')], env)).toMatchObject({ code: 2 });
  });
});

describe('policies', () => {
  const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector:
    matchLabels: {app: web}
    matchExpressions: [{key: old, operator: DoesNotExist}, {key: tier, operator: In, values: [a, b]}]
  ingress: [{ports: [{port: 8080}]}]
`;
  const TENANT = `
apiVersion: tenet.dev/v1
kind: Tenant
metadata: {name: blue}
spec: {namespaces: [shop]}
`;

  test('are applied after the tenant of the same file, whose their namespace is', async () => {
    const { apply, json } = await setUp();
    const manifest = `${POLICY}---${TENANT}`;
    expect(await apply(manifest)).toEqual({
      code: 0,
      out: 'tenant/blue created\npolicy/blue/shop/web created\n',
      err: '',
    });
    expect((await apply(manifest)).out).toBe('tenant/blue unchanged\npolicy/blue/shop/web unchanged\n');
    expect((await apply(POLICY.replace('8080', '8081'))).out).toBe('policy/blue/shop/web configured\n');
    expect(await json('get', 'policy', 'web', '-n', 'shop')).toMatchObject({
      tenant: 'blue',
      spec: { ingress: [{ ports: [{ protocol: 'TCP', port: 8081 }] }] },
    });
  });

  test('what `get -o yaml` prints is applied as it is', async () => {
    const { apply, ok } = await setUp();
    await apply(`${POLICY}---${TENANT}`);
    expect((await apply(await ok('get', 'netpol', 'web', '-n', 'shop', '-o', 'yaml'))).out).toBe(
      'policy/blue/shop/web unchanged\n',
    );
  });

  test('are shown, of one namespace, of one tenant and of all, and deleted', async () => {
    const { env, ok, run } = await setUp();
    for (const name of ['blue', 'green']) await ok('create', 'tenant', name);
    await ok('create', 'namespace', 'shop', '-t', 'blue');
    const bare = POLICY.replace(', namespace: shop', '');
    for (const namespace of ['shop', 'blue', 'green'])
      expect(await tenetctl(['apply', '-f', '-', '-n', namespace], env, bare)).toMatchObject({ code: 0 });
    const names = (...args: string[]) => ok('get', ...args, '-o', 'name');
    expect(await names('policies')).toBe('policy/blue/blue/web\npolicy/blue/shop/web\npolicy/green/green/web\n');
    expect(await names('networkpolicies', '-t', 'blue')).toBe('policy/blue/blue/web\npolicy/blue/shop/web\n');
    expect(await names('netpol', '-n', 'shop')).toBe('policy/blue/shop/web\n');
    const table = await ok('get', 'policies', '-n', 'shop');
    expect(table).toMatch(/^NAME +TENANT +NAMESPACE +SELECTS +TYPES +AGE\n/);
    expect(table).toMatch(/^web +blue +shop +app=web,!old,tier in \(a, b\) +Ingress +60s$/m);
    expect(await ok('delete', 'netpol', 'web', '-n', 'shop')).toBe('policy/blue/shop/web deleted\n');
    expect(await ok('delete', 'policy', 'web', '-n', 'green', '-t', 'green')).toBe('policy/green/green/web deleted\n');
    expect(await names('policies')).toBe('policy/blue/blue/web\n');
    expect(await run('delete', 'policy', 'web', '-n', 'shop')).toMatchObject({ code: 3 });
  });

  test('every fault is named before anything is written', async () => {
    const { apply, run } = await setUp();
    const bad = POLICY.replace('port: 8080', 'port: 8080, endPort: 1').replace('operator: In', 'operator: Near');
    const { code, out, err } = await apply(`${TENANT}---${bad}`);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('policy/blue/shop/web: spec.ingress[0].ports[0].endPort: ');
    expect(err).toContain('policy/blue/shop/web: spec.podSelector.matchExpressions[1].operator: ');
    expect(await run('get', 'tenant', 'blue')).toMatchObject({ code: 3 });
  });

  test('of a namespace that no tenant has are not written', async () => {
    const { apply, run, env, ok } = await setUp();
    expect(await apply(POLICY)).toMatchObject({ code: 3, err: 'tenetctl: namespace "shop" does not exist\n' });
    await ok('create', 'tenant', 'blue');
    expect(await tenetctl(['apply', '-f', '-', '-t', 'blue'], env, POLICY)).toMatchObject({ code: 3 });
    expect(await run('get', 'policy', 'web')).toMatchObject({ code: 2, err: expect.stringContaining('-n') });
    expect(await run('get', 'tenants', '-n', 'shop')).toMatchObject({ code: 2 });
  });

  test('are waited for', async () => {
    const { controller, env, ok } = await setUp();
    await ok('create', 'tenant', 'blue', '-n', 'shop');
    await controller.addNode('node1', '192.0.2.1', { live: true });
    await controller.addBlock('blue', '10.128.8.0/27');
    await controller.acknowledge('node1', 'blue');
    const { code, out } = await tenetctl(['apply', '--wait', '-f', '-'], env, POLICY);
    expect(code).toBe(0);
    expect(out).toMatch(/^policy\/blue\/shop\/web created\n {2}node1: enforced after [\d.]+ ms\n$/);
  });
});

describe('exit codes', () => {
  test('2: wrong usage and input that cannot be', async () => {
    const { run } = await setUp();
    for (const args of [[], ['paint'], ['get'], ['get', 'pods'], ['create', 'tenant'], ['get', 'tenants', '-o', 'xml']])
      expect(await run(...args), args.join(' ')).toMatchObject({ code: 2, out: '' });
    expect(await run('create', 'tenant', 'Blue')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^tenetctl: name: /),
    });
    expect(await run('create', 'tenant', 'blue', '--label', 'x')).toMatchObject({ code: 2 });
    expect(await run('create', 'tenant', 'blue', '--subnet', '10.140.4.1/24')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^tenetctl: subnets\[0\]: /),
    });
  });

  test('3: what is not there', async () => {
    const { run } = await setUp();
    for (const args of [
      ['get', 'tenant', 'x'],
      ['get', 'namespace', 'x'],
      ['get', 'namespaces', '-t', 'x'],
      ['get', 'endpoint', 'x'],
      ['get', 'node', 'x'],
      ['node', 'status', 'x'],
      ['delete', 'tenant', 'x'],
      ['delete', 'namespace', 'x'],
      ['tenant', 'grow', 'x', '--prefix-length', '26'],
      ['create', 'namespace', 'n', '-t', 'x'],
    ])
      expect(await run(...args), args.join(' ')).toMatchObject({
        code: 3,
        out: '',
        err: expect.stringContaining('does not exist'),
      });
  });

  test('4: a name taken, a subnet taken', async () => {
    const { run, ok } = await setUp();
    await ok('create', 'tenant', 'blue', '--subnet', '10.140.4.0/24');
    expect(await run('create', 'tenant', 'blue')).toMatchObject({ code: 4 });
    expect(await run('create', 'tenant', 'green', '--subnet', '10.140.4.0/25')).toMatchObject({ code: 4 });
  });

  test('5: no token, a wrong token', async () => {
    const { controller, env } = await setUp();
    expect(await tenetctl(['get', 'tenants'], { ...env, TENET_TOKEN: 'wrong' })).toMatchObject({ code: 5, out: '' });
    expect(await tenetctl(['get', 'tenants'], { TENET_SERVER: controller.url })).toMatchObject({ code: 5, out: '' });
  });

  test('6: no server', async () => {
    const { controller, run } = await setUp();
    await controller.close();
    expect(await run('get', 'tenants')).toMatchObject({ code: 6, out: '' });
  });

  test('0: help and version ask no server', async () => {
    const help = await tenetctl(['--help'], { TENET_SERVER: 'nonsense' });
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const code of [0, 1, 2, 3, 4, 5, 6]) expect(help.out).toMatch(new RegExp(`^ {2}${code} {2}\\S`, 'm'));
    expect(await tenetctl(['version'], { TENET_SERVER: 'nonsense' })).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^tenetctl \d+\.\d+\.\d+\n$/),
    });
  });
});
