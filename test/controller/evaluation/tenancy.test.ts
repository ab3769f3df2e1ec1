/** What cluster and tenants decide before any policy is asked. */
import { describe, expect, test } from 'vitest';
import { PROBE_ADDRESS, WorldIndex } from '../../../controller/evaluation/world.ts';
import { parseIp, parsePrefix } from '../../../dataplane/address.ts';
import { POD_GATEWAY } from '../../../dataplane/ownership.ts';
import { ALL, ask, egress, endpoint, ingress, policy, tenant, world } from './world.ts';

const closedTo = (name: string) => policy(name, { podSelector: ALL, policyTypes: ['Ingress', 'Egress'] });

describe('without a policy', () => {
  test.each<[string, string, string, boolean, string[]]>([
    ['blue/blue/web', 'blue/blue/db', 'TCP 80', true, ['default', 'default']],
    ['blue/blue/web', 'blue/test/web', 'ICMP', true, ['default', 'default']],
    ['blue/blue/web', 'blue/blue/web', 'SCTP 9', true, ['platform']],
    ['blue/blue/web', 'red/red/web', 'UDP 53', true, ['default', 'default']],
    ['red/red/web', 'blue/blue/web', 'UDP 53', true, ['default', 'default']],
    ['blue/blue/web', 'green/green/web', 'TCP 80', false, ['tenant']],
    ['green/green/web', 'blue/blue/web', 'TCP 80', false, ['tenant']],
    ['red/red/web', 'green/green/web', 'TCP 80', false, ['tenant']],
    // by their addresses
    ['10.128.4.1', '10.128.4.2', 'TCP 80', true, ['default', 'default']],
    ['10.128.4.1', '10.128.12.1', 'TCP 80', false, ['tenant']],
    // beyond the cluster
    ['blue/blue/web', '203.0.113.9', 'TCP 80', true, ['default', 'tenant']],
    ['blue/blue/web', '203.0.113.9', 'ICMP', true, ['default', 'tenant']],
    ['203.0.113.9', 'blue/blue/web', 'TCP 80', false, ['platform']],
    // closed
    ['blue/blue/web', '10.200.0.1', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '192.0.2.11', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '192.168.7.7', 'TCP 80', false, ['platform']],
    // in a node's own network
    ['blue/blue/web', '192.0.2.99', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '10.128.0.32', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '169.254.169.254', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '100.100.100.200', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '168.63.129.16', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '192.0.0.192', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '127.0.0.1', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '0.0.0.1', 'TCP 80', false, ['platform']],
    ['blue/blue/web', '224.0.0.1', 'UDP 80', false, ['platform']],
    ['blue/blue/web', '255.255.255.255', 'UDP 80', false, ['platform']],
    ['blue/blue/web', '2001:db8::1', 'TCP 80', false, ['platform']],
    // exceptions: this address, protocol and port alone
    ['blue/blue/web', '192.168.0.53', 'UDP 53', true, ['default', 'exception']],
    ['blue/blue/web', '192.168.0.53', 'TCP 53', false, ['platform']],
    ['blue/blue/web', '192.168.0.53', 'UDP 54', false, ['platform']],
    ['blue/blue/web', '192.168.0.53', 'ICMP', false, ['platform']],
    // who calls in
    ['10.128.0.32', 'blue/blue/web', 'TCP 80', true, ['tenant']],
    ['10.128.0.33', 'blue/blue/web', 'TCP 80', false, ['platform']],
    ['192.0.2.11', 'blue/blue/web', 'TCP 80', true, ['platform']],
    ['192.0.2.12', 'blue/blue/web', 'TCP 80', false, ['platform']],
    // a gateway by its underlay address: its packets have its other one
    ['192.0.2.21', 'blue/blue/web', 'TCP 80', true, ['tenant']],
    // the node's own probes
    ['169.254.1.1', 'blue/blue/web', 'TCP 80', true, ['platform']],
    ['169.254.1.2', 'blue/blue/web', 'TCP 80', false, ['platform']],
    ['192.168.7.7', 'blue/blue/web', 'TCP 80', false, ['platform']],
    ['10.200.0.1', 'blue/blue/web', 'TCP 80', false, ['platform']],
  ])('%s → %s %s: %s', (from, to, how, allowed, kinds) => {
    const verdict = ask(world(), from, to, how);
    expect(verdict.because.map(({ kind }) => kind)).toEqual(kinds);
    expect(verdict.allowed).toBe(allowed);
    expect(verdict.because.every(({ decision }) => decision === 'allowed')).toBe(allowed);
  });
});

test('probes come from the address that pods know as their gateway', () => {
  expect(PROBE_ADDRESS).toBe(POD_GATEWAY);
});

test('policies open nothing that cluster or tenants close', () => {
  const everything = [{}];
  const anyAddress = [{ to: [{ ipBlock: { cidr: parsePrefix('0.0.0.0/0') } }] }, { to: [{ namespaceSelector: ALL }] }];
  const about = world({
    policies: ['blue/blue', 'green/green'].flatMap((space) => [
      ingress(`${space}/in`, everything),
      egress(`${space}/out`, anyAddress),
    ]),
  });
  for (const to of ['green/green/web', '10.200.0.1', '192.0.2.11', '192.168.7.7', '169.254.169.254', '10.128.0.32'])
    expect(ask(about, 'blue/blue/web', to).allowed).toBe(false);
  for (const from of ['green/green/web', '203.0.113.9', '192.0.2.12', '192.168.7.7'])
    expect(ask(about, from, 'blue/blue/web').allowed).toBe(false);
});

test('policies close neither the own node, nor gateways, nor a container to itself', () => {
  const about = world({ policies: [closedTo('blue/blue/none')] });
  for (const from of ['192.0.2.11', '10.128.0.32', 'blue/blue/web'])
    expect(ask(about, from, 'blue/blue/web').allowed).toBe(true);
  expect(ask(about, 'blue/test/web', 'blue/blue/web').allowed).toBe(false);
});

test('policies of the source hold for what is beyond, exceptions included', () => {
  const about = world({ policies: [closedTo('blue/blue/none')] });
  for (const [to, how] of [
    ['203.0.113.9', 'TCP 80'],
    ['192.168.0.53', 'UDP 53'],
  ] as const)
    expect(ask(about, 'blue/blue/web', to, how)).toMatchObject({
      allowed: false,
      because: [
        { end: 'source', decision: 'denied', kind: 'policy' },
        { end: 'destination', decision: 'allowed' },
      ],
    });
});

test('a tenant without internet has exceptions alone', () => {
  const about = world({ tenants: [tenant('blue', { egress: { internet: false } })] });
  expect(ask(about, 'blue/blue/web', '203.0.113.9')).toMatchObject({
    allowed: false,
    because: [{ end: 'source', kind: 'tenant', reason: expect.stringContaining('egress.internet is false') }],
  });
  expect(ask(about, 'blue/blue/web', '198.51.100.7', 'UDP 123').allowed).toBe(true);
  expect(ask(about, 'blue/blue/web', '198.51.100.7', 'UDP 124').allowed).toBe(false);
  expect(ask(about, 'blue/blue/web', 'blue/blue/db').allowed).toBe(true);
});

test('a tenant may forbid gateways, but not its own node', () => {
  const own = endpoint('blue/blue/here', '10.128.4.9', {}, { node: 'gateway1' });
  const about = world({
    tenants: [tenant('blue', { ingress: { gateways: false } })],
    endpoints: [...world().endpoints, own],
  });
  expect(ask(about, '10.128.0.32', 'blue/blue/web')).toMatchObject({ allowed: false, because: [{ kind: 'tenant' }] });
  expect(ask(about, '10.128.0.32', 'blue/blue/here').allowed).toBe(true);
  expect(ask(about, '192.0.2.21', 'blue/blue/here').allowed).toBe(true);
});

test('a peering is in force while both ask, and who has not is named', () => {
  expect(ask(world(), 'blue/blue/web', 'green/green/web').because).toEqual([
    {
      end: 'source',
      decision: 'denied',
      kind: 'tenant',
      reason: 'tenants blue and green have no peering in force: green has asked for it, blue has not',
    },
  ]);
  const about = world({ peerings: [] });
  expect(ask(about, 'blue/blue/web', 'red/red/web').because[0]?.reason).toContain('neither has asked');
});

test('nothing is open to containers of a tenant that is not there', () => {
  const about = world({ tenants: [tenant('red')] });
  for (const to of ['blue/blue/db', 'red/red/web', '203.0.113.9'])
    expect(ask(about, 'blue/blue/web', to)).toMatchObject({ allowed: false, because: [{ kind: 'tenant' }] });
  for (const from of ['192.0.2.11', '10.128.0.32', 'red/red/web'])
    expect(ask(about, from, 'blue/blue/web').allowed).toBe(false);
});

describe('ends', () => {
  test('are found by name, by id and by address, and shown as what they are', () => {
    const web = world().endpoints[0];
    const seen = { kind: 'endpoint', tenant: 'blue', namespace: 'blue', name: 'web', id: web?.id, node: 'node1' };
    for (const from of ['blue/blue/web', `blue/blue/${web?.id}`, '10.128.4.1'])
      expect(ask(world(), from, '10.128.4.2').from).toEqual({ ...seen, ips: ['10.128.4.1'] });
    const shown = (ip: string) => ask(world(), 'blue/blue/web', ip).to;
    expect(shown('10.128.0.32')).toEqual({ kind: 'gateway', ip: '10.128.0.32', node: 'gateway1' });
    expect(shown('192.0.2.12')).toEqual({ kind: 'node', ip: '192.0.2.12', node: 'node2' });
    expect(shown('10.128.0.33')).toEqual({ kind: 'nobody', ip: '10.128.0.33', network: '10.128.0.0/9' });
    expect(shown('192.168.0.1')).toEqual({ kind: 'platform', ip: '192.168.0.1', network: '192.168.0.0/16' });
    expect(shown('100.64.0.1')).toEqual({ kind: 'platform', ip: '100.64.0.1', network: '100.64.0.0/10' });
    expect(shown('169.254.1.1')).toEqual({ kind: 'reserved', ip: '169.254.1.1', network: '169.254.0.0/16' });
    expect(shown('203.0.113.9')).toEqual({ kind: 'external', ip: '203.0.113.9' });
  });

  test.each([
    ['grey/blue/web', { code: 'not_found', field: 'from.tenant' }],
    ['blue/other/web', { code: 'not_found', field: 'from.namespace' }],
    ['blue/blue/other', { code: 'not_found', field: 'from.name' }],
    ['blue/red/web', { code: 'not_found', field: 'from.namespace' }],
    ['10.0.0.256', { code: 'invalid_input', errors: [{ field: 'from.ip', message: expect.any(String) }] }],
    ['203.0.113.9', { code: 'invalid_input', errors: [{ field: 'to', message: expect.any(String) }] }],
  ])('%s cannot be asked about', (from, error) => {
    const to = from === '203.0.113.9' ? '198.51.100.1' : 'blue/blue/db';
    expect(() => ask(world(), from, to)).toThrow(expect.objectContaining(error));
  });

  test('of one name are told apart by their ids', () => {
    const twin = endpoint('blue/blue/web', '10.128.4.99');
    const about = world({ endpoints: [...world().endpoints, twin] });
    expect(() => ask(about, 'blue/blue/web', 'blue/blue/db')).toThrow(
      new RegExp(`from.name: 2 endpoints .*${twin.id}`),
    );
    expect(ask(about, `blue/blue/${twin.id}`, 'blue/blue/db').from).toMatchObject({ id: twin.id });
  });

  test('with a port where the protocol has some, and none with ICMP', () => {
    for (const how of ['TCP', 'UDP', 'TCP 0', 'TCP 65536', 'TCP 1.5', 'ICMP 8'])
      expect(() => ask(world(), 'blue/blue/web', 'blue/blue/db', how)).toThrow(/^port: /);
  });

  test('of several addresses are judged by the one asked about', () => {
    const two = endpoint('blue/blue/two', '10.128.4.50', {}, { ips: ['10.128.4.50', '10.128.4.60'].map(parseIp) });
    const about = world({
      endpoints: [...world().endpoints, two],
      policies: [ingress('blue/blue/in', [{ from: [{ ipBlock: { cidr: parsePrefix('10.128.4.60/32') } }] }])],
    });
    expect(ask(about, '10.128.4.50', 'blue/blue/db').allowed).toBe(false);
    expect(ask(about, '10.128.4.60', 'blue/blue/db').allowed).toBe(true);
  });
});

test('a network that is closed by default is beyond the cluster where the cluster opens it', () => {
  const { cluster, ...rest } = world();
  const index = new WorldIndex({ ...rest, cluster: { ...cluster, openNetworks: [parsePrefix('100.100.0.0/16')] } });
  expect(index.endAt(parseIp('100.100.100.200')).kind).toBe('external');
  expect(index.endAt(parseIp('100.101.0.1'))).toMatchObject({ kind: 'platform', network: '100.64.0.0/10' });
});

test('a pool inside a network that is closed by default is a pool', () => {
  const { cluster, ...rest } = world();
  const index = new WorldIndex({ ...rest, cluster: { ...cluster, pools: [parsePrefix('100.64.0.0/16')] } });
  expect(index.endAt(parseIp('100.64.3.3')).kind).toBe('nobody');
  expect(index.endAt(parseIp('100.65.0.1')).kind).toBe('platform');
});
