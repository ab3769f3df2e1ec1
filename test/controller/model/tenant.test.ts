/** What a tenant, a namespace and a cluster may be, field by field. */
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../../controller/errors.ts';
import { differences, newCluster, patchCluster } from '../../../controller/model/cluster.ts';
import { parseEndpointLabels } from '../../../controller/model/endpoint.ts';
import { parseNamespace } from '../../../controller/model/namespace.ts';
import type { Tenant } from '../../../controller/model/records.ts';
import { parseSubnet, parseTenant, patchTenant, type TenantRequest } from '../../../controller/model/tenant.ts';
import { parseIp, parsePrefix } from '../../../dataplane/address.ts';

const cluster = newCluster({});
const dual = newCluster({ pools: ['10.128.0.0/9', 'fd00:1::/48'].map(parsePrefix) });

/** Fields at fault, in order. */
function faultsOf(parse: () => unknown): string[] {
  try {
    parse();
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors.map(({ field }) => field);
    throw error;
  }
  return [];
}

describe('a tenant', () => {
  test('is born with a namespace of its own name and with what is usual', () => {
    expect(parseTenant({ name: 'blue' }, cluster)).toEqual({
      name: 'blue',
      namespaces: ['blue'],
      subnets: [{ kind: 'any', family: 4, length: 22 }],
      labels: {},
      quota: {},
      egress: { internet: true },
      ingress: { gateways: true },
    });
  });

  test('has each namespace once, its own first', () => {
    expect(parseTenant({ name: 'blue', namespaces: ['b', 'blue', 'b'] }, cluster).namespaces).toEqual(['blue', 'b']);
  });

  test('gets a subnet of each family that the cluster has', () => {
    expect(parseTenant({ name: 'blue', subnetPrefixLength: 24 }, dual).subnets).toEqual([
      { kind: 'any', family: 4, length: 24 },
      { kind: 'any', family: 6, length: 64 },
    ]);
  });

  test.each<[string, TenantRequest, string[]]>([
    ['an upper-case name', { name: 'Blue' }, ['name']],
    ['a name of 64 characters', { name: 'b'.repeat(64) }, ['name']],
    ['a name that ends with a hyphen', { name: 'blue-' }, ['name']],
    ['no name', { name: '' }, ['name']],
    ["the platform's name", { name: 'system' }, ['name']],
    ['a bad namespace', { name: 'blue', namespaces: ['ok', 'not.ok'] }, ['namespaces[1]']],
    ['a bad label key', { name: 'blue', labels: { '-a': 'b' } }, ['labels["-a"]']],
    ['a bad label prefix', { name: 'blue', labels: { 'A_b/c': 'd' } }, ['labels["A_b/c"]']],
    ['two slashes in a key', { name: 'blue', labels: { 'a/b/c': 'd' } }, ['labels["a/b/c"]']],
    ['a label value that is too long', { name: 'blue', labels: { a: 'b'.repeat(64) } }, ['labels.a']],
    ['a label value with a space', { name: 'blue', labels: { a: 'b c' } }, ['labels.a']],
    [
      'too many labels',
      { name: 'blue', labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])) },
      ['labels'],
    ],
    ['a subnet with host bits', { name: 'blue', subnets: ['10.128.4.1/22'] }, ['subnets[0]']],
    ['a subnet outside the pool', { name: 'blue', subnets: ['192.168.0.0/24'] }, ['subnets[0]']],
    ['a subnet larger than the pool', { name: 'blue', subnets: ['10.0.0.0/8'] }, ['subnets[0]']],
    ['the whole pool', { name: 'blue', subnets: ['10.128.0.0/9'] }, ['subnets[0]']],
    ["a part of the platform's subnet", { name: 'blue', subnets: ['10.128.1.0/24'] }, ['subnets[0]']],
    ['a subnet smaller than a block', { name: 'blue', subnets: ['10.128.4.0/28'] }, ['subnets[0]']],
    ['subnets that overlap', { name: 'blue', subnets: ['10.129.0.0/16', '10.129.4.0/22'] }, ['subnets[1]']],
    [
      'a length beside subnets',
      { name: 'blue', subnets: ['10.129.0.0/22'], subnetPrefixLength: 22 },
      ['subnetPrefixLength'],
    ],
    ['a length that is too long', { name: 'blue', subnetPrefixLength: 28 }, ['subnetPrefixLength']],
    ['a length that is too short', { name: 'blue', subnetPrefixLength: 8 }, ['subnetPrefixLength']],
    [
      'several faults',
      { name: 'B', namespaces: ['!'], labels: { a: '!' }, subnets: ['x', '10.128.0.0/22'] },
      ['name', 'namespaces[0]', 'labels.a', 'subnets[0]', 'subnets[1]'],
    ],
  ])('is refused with %s', (_, request, fields) => {
    expect(faultsOf(() => parseTenant(request, cluster))).toEqual(fields);
  });

  test.each([
    ['a', ''],
    ['app.kubernetes.io/name', 'Web_1.2'],
    ['A_b.c-9', 'z'],
    [`${'p'.repeat(63)}/n`, 'v'.repeat(63)],
  ])('may have the label %s=%s', (key, value) => {
    expect(parseTenant({ name: 'blue', labels: { [key]: value } }, cluster).labels).toEqual({ [key]: value });
  });
});

describe('a subnet to grow by', () => {
  test.each<[string, object, string[]]>([
    ['a CIDR and a length', { cidr: '10.129.0.0/22', prefixLength: 22 }, ['prefixLength']],
    ['a CIDR and a family', { cidr: '10.129.0.0/22', family: 4 }, ['family']],
    ['a family that the cluster lacks', { family: 6 }, ['family']],
    ['a length out of bounds', { prefixLength: 30 }, ['prefixLength']],
    ['no CIDR at all', { cidr: 'here' }, ['cidr']],
  ])('is refused with %s', (_, request, fields) => {
    expect(faultsOf(() => parseSubnet(request, cluster))).toEqual(fields);
  });

  test('is one of the usual length, in the family asked for', () => {
    expect(parseSubnet({}, dual)).toEqual({ kind: 'any', family: 4, length: 22 });
    expect(parseSubnet({ family: 6 }, dual)).toEqual({ kind: 'any', family: 6, length: 64 });
    expect(parseSubnet({ cidr: 'FD00:1:0:8::/64' }, dual)).toEqual({
      kind: 'exact',
      prefix: 'fd00:1:0:8::/64',
      field: 'cidr',
    });
  });
});

describe('a patch', () => {
  const tenant: Tenant = {
    name: 'blue',
    vni: 2,
    subnets: [],
    namespaces: ['blue'],
    labels: { a: '1', b: '2' },
    quota: { endpoints: 5 },
    egress: { internet: false },
    ingress: { gateways: false },
    phase: 'active',
    createdAt: '2026-11-23T12:00:00.000Z',
  };

  test('leaves alone what it does not name', () => {
    expect(patchTenant(tenant, {})).toEqual(tenant);
  });

  test('adds, replaces and takes away', () => {
    const patched = patchTenant(tenant, {
      labels: { a: null, b: '3', c: '4' },
      quota: { endpoints: null, subnets: 2 },
    });
    expect(patched.labels).toEqual({ b: '3', c: '4' });
    expect(patched.quota).toEqual({ subnets: 2 });
  });

  test('null for the whole brings back what is usual', () => {
    expect(patchTenant(tenant, { labels: null, quota: null, egress: null, ingress: { gateways: null } })).toEqual({
      ...tenant,
      labels: {},
      quota: {},
      egress: { internet: true },
      ingress: { gateways: true },
    });
  });

  test('is refused when a label would be bad', () => {
    expect(faultsOf(() => patchTenant(tenant, { labels: { '!': 'x' } }))).toEqual(['labels["!"]']);
  });
});

describe('a namespace', () => {
  test('always has its name among its labels', () => {
    expect(parseNamespace('blue', 'shop', { a: 'b' }).labels).toEqual({
      a: 'b',
      'kubernetes.io/metadata.name': 'shop',
    });
  });

  test('cannot be called otherwise by that label', () => {
    expect(faultsOf(() => parseNamespace('blue', 'shop', { 'kubernetes.io/metadata.name': 'x' }))).toEqual([
      'labels["kubernetes.io/metadata.name"]',
    ]);
  });
});

test("an endpoint's labels keep to the same rules", () => {
  expect(faultsOf(() => parseEndpointLabels({ 'a b': 'c' }))).toEqual(['labels["a b"]']);
});

describe('a cluster', () => {
  test('gives the system tenant the beginning of each pool', () => {
    expect(cluster.systemSubnets).toEqual(['10.128.0.0/22']);
    expect(dual.systemSubnets).toEqual(['10.128.0.0/22', 'fd00:1::/64']);
    const small = newCluster({ pools: [parsePrefix('10.9.0.0/24')], subnetPrefixLength: 26, blockPrefixLength: 28 });
    expect(small.systemSubnets).toEqual(['10.9.0.0/26']);
  });

  test.each<[string, Parameters<typeof newCluster>[0], string[]]>([
    ['no pool', { pools: [] }, ['pools']],
    ['pools that overlap', { pools: ['10.0.0.0/8', '10.128.0.0/9'].map(parsePrefix) }, ['pools[1]']],
    [
      'a pool that is too small',
      { pools: [parsePrefix('10.0.0.0/28')], subnetPrefixLength: 28, blockPrefixLength: 28 },
      ['pools[0]'],
    ],
    ['subnets larger than the pool', { subnetPrefixLength: 8 }, ['subnetPrefixLength']],
    ['blocks larger than subnets', { blockPrefixLength: 20 }, ['blockPrefixLength']],
    ['a platform network in the pool', { platformNetworks: [parsePrefix('10.200.0.0/24')] }, ['platformNetworks[0]']],
    ['a platform network around the pool', { platformNetworks: [parsePrefix('10.0.0.0/8')] }, ['platformNetworks[0]']],
    ['a default tenant of a bad name', { defaultTenant: 'A' }, ['defaultTenant']],
  ])('is not made with %s', (_, options, fields) => {
    expect(faultsOf(() => newCluster(options))).toEqual(fields);
  });

  const dns = { name: 'dns', address: '192.0.2.53', protocol: 'UDP', port: 53 } as const;

  test('opens nothing that is a tenant’s', () => {
    expect(faultsOf(() => patchCluster(cluster, { exceptions: [{ ...dns, address: '10.128.4.1' }] }))).toEqual([
      'exceptions[0].address',
    ]);
    expect(faultsOf(() => patchCluster(cluster, { exceptions: [{ ...dns, address: '10.128.0.53' }] }))).toEqual([]);
  });

  test('has exceptions of different names, at addresses', () => {
    expect(faultsOf(() => patchCluster(cluster, { exceptions: [dns, { ...dns, address: 'x' }, dns] }))).toEqual([
      'exceptions[1].address',
      'exceptions[1].name',
    ]);
  });

  test('takes a default tenant and gives it up', () => {
    const patched = patchCluster(cluster, { defaultTenant: 'blue' });
    expect(patched.defaultTenant).toBe('blue');
    expect(patchCluster(patched, {}).defaultTenant).toBe('blue');
    expect('defaultTenant' in patchCluster(patched, { defaultTenant: null })).toBe(false);
  });

  test('tells flags that can never be from those that REST has overruled', () => {
    expect(differences(cluster, {})).toEqual({ fixed: [], changeable: [] });
    expect(differences(cluster, { subnetPrefixLength: 22, pools: cluster.pools })).toEqual({
      fixed: [],
      changeable: [],
    });
    const exceptions = [{ ...dns, address: parseIp(dns.address) }];
    expect(differences(cluster, { subnetPrefixLength: 24, exceptions })).toEqual({
      fixed: ['subnetPrefixLength'],
      changeable: ['exceptions'],
    });
  });
});
