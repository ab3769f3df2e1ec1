/** What is read as a record of each kind, what is not, and what is said of it. */
import { Type } from 'typebox';
import { describe, expect, test } from 'vitest';
import { kindOf, locate, rangeOf, readRecord, tenantOf } from '../../../../controller/model/kinds/all.ts';
import { claimant } from '../../../../controller/model/kinds/claim.ts';
import { formatRecord, Kind, names, RecordError, Unreadable } from '../../../../controller/model/kinds/kind.ts';
import { policies, policyInForce } from '../../../../controller/model/kinds/policy.ts';
import { tenants } from '../../../../controller/model/kinds/tenant.ts';
import { cluster, endpoint, node, tenant } from '../../../cni-plugin/agent/builders.ts';

const at = '2026-01-01T00:00:00Z';
const red = tenant('red', 42);
const denial = { at, from: { ip: '10.128.4.1' }, to: { ip: '10.128.4.2' }, protocol: 'TCP', direction: 'egress' };
const spec = {
  podSelector: { matchLabels: { app: 'web' } },
  policyTypes: ['Ingress'],
  ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: [{ protocol: 'TCP', port: 80, endPort: 90 }] }],
};
const policy = { tenant: 'red', namespace: 'red', name: 'web', spec, createdAt: at };
const NAMED_RANGE = { protocol: 'TCP', port: 'a', endPort: 9 };
const revisions = { tenant: 1, namespaces: 1, peerings: 1 };

/** One good record of every kind. */
const GOOD: readonly (readonly [string, object])[] = [
  ['cluster', cluster],
  ['tenants/red', red],
  ['claims/vni/00000042', { tenant: 'red' }],
  ['claims/subnet/010.128.004.000-22', { tenant: 'red' }],
  ['claims/namespace/red', { tenant: 'red' }],
  ['namespaces/red/red', { tenant: 'red', name: 'red', labels: {} }],
  ['policies/red/red/web', policy],
  ['policy-turns/red', { operation: 'x' }],
  ['peerings/red/blue', { tenant: 'red', peer: 'blue', createdAt: at }],
  ['blocks/red/010.170.000.064-27', { node: 'node1' }],
  ['endpoints/red/node1/aaaaaaaaaaaa', endpoint('aaaaaaaaaaaa', red, '10.170.0.65')],
  ['nodes/node1', node(1)],
  ['live/node1', {}],
  ['enforced/node1', { at, history: 'birth', all: revisions, tenants: { red: { policies: 7 } } }],
  ['denials/red/node1', { at, sequence: 1, started: at, denials: [denial] }],
  ['problems/node1', { problems: [] }],
  ['traffic/node1', { at, tenants: { red: { allowed: 1, denied: 2 } } }],
  ['wanted/denials/red/c1', {}],
  ['wanted/traffic/c1', {}],
  ['leader', { name: 'c1', attempt: 'x' }],
];

const entry = (key: string, record: object, schema = 1) => ({ key, value: JSON.stringify({ ...record, schema }) });

describe('each kind', () => {
  test.each(GOOD)('%s is read, and its key says where it is', (key, record) => {
    const found = readRecord(entry(key, record));
    expect(found).not.toBeInstanceOf(Unreadable);
    expect(found).toMatchObject({ kind: kindOf(key)?.name, record });
    expect((kindOf(key) as { key(at: object): string } | undefined)?.key(locate(key)?.at ?? {})).toBe(key);
  });

  test.each(GOOD)('%s of the next version is read for what it shares with this one', (key, record) => {
    const found = readRecord(entry(key, { ...record, addedLater: { x: 1 } }, (kindOf(key)?.version ?? 0) + 1));
    expect(found).toMatchObject({ record });
  });

  test.each(GOOD)('%s is named with its reason where it cannot be read', (key, record) => {
    const { version = 0 } = kindOf(key) ?? {};
    const newer = JSON.stringify({ ...record, schema: version + 2 });
    const reasons = ['', '[]', 'null', JSON.stringify(record), newer].map((value) => {
      const found = readRecord({ key, value });
      expect(found).toBeInstanceOf(Unreadable);
      expect(found).toMatchObject({ key, kind: kindOf(key)?.name });
      return found instanceof Unreadable ? found.reason : '';
    });
    const read = version === 1 ? '1 and 2' : `${version - 1}, ${version} and ${version + 1}`;
    expect(reasons).toEqual([
      'is not JSON',
      'is not an object',
      'is not an object',
      `has schema undefined, this version reads ${read}`,
      `has schema ${version + 2}, this version reads ${read}`,
    ]);
  });

  test.each([
    ['blocks/t1/zz', { node: 'c9' }, 'is no key of the form blocks/<tenant>/<address>-<length>'],
    ['blocks/t1/010.170.000.065-27', { node: 'c9' }, 'is no key of the form blocks/<tenant>/<address>-<length>'],
    ['blocks/t1/10.170.0.64-27', { node: 'c9' }, 'is no key of the form blocks/<tenant>/<address>-<length>'],
    ['policies/red/web', policy, 'is no key of the form policies/<tenant>/<namespace>/<name>'],
    ['tenants/', red, 'is no key of the form tenants/<name>'],
    ['tenants/blue', red, 'name is not what the key says'],
    ['endpoints/red/node2/aaaaaaaaaaaa', endpoint('aaaaaaaaaaaa', red, '10.1.0.1'), 'node is not what the key says'],
    ['tenants/red', { ...red, subnets: ['10.0.0.1/8'] }, 'subnets[0] must be a network without host bits'],
    ['tenants/red', { ...red, subnets: ['10.0.0.0/33'] }, 'subnets[0] must be a network without host bits'],
    ['tenants/red', { ...red, subnets: ['10.256.0.0/16'] }, 'subnets[0] must be a network without host bits'],
    ['tenants/red', { ...red, vni: 0 }, 'vni must be >= 1'],
    ['nodes/node1', { ...node(1), underlay: '010.0.0.1' }, 'underlay must be an IP address'],
    ['nodes/node1', { ...node(1), underlayMac: undefined }, 'must have required properties underlayMac'],
  ])('%s: says why', (key, record, reason) => {
    expect(readRecord(entry(key, record))).toMatchObject({ key, reason });
  });

  test('a key of nothing of Tenet’s is none', () => {
    expect(readRecord({ key: 'other/x', value: '{}' })).toBeUndefined();
    expect(locate('clusters')).toBeUndefined();
  });
});

describe('a policy', () => {
  const peers = (...from: object[]) => ({ ...policy, spec: { ...spec, ingress: [{ from }] } });

  test.each([
    ['of a rule it does not know all of', peers({ podSelector: {}, clusterSelector: {} })],
    ['of a peer that names nothing', peers({})],
    ['of a selector with more than is known', peers({ podSelector: { matchLabels: {}, matchFields: [] } })],
    ['that restricts nothing', { ...policy, spec: { ...spec, policyTypes: [] } }],
    ['with a range that begins with a name', { ...policy, spec: { ...spec, ingress: [{ ports: [NAMED_RANGE] }] } }],
  ])('%s cannot be read, and allows nothing in its namespace', (_, odd) => {
    const stored = entry('policies/red/red/web', odd, 2);
    expect(policies.find(stored)).toBeUndefined();
    expect(policyInForce(stored)).toMatchObject({
      namespace: 'red',
      spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
    });
  });
});

describe('versions', () => {
  const kind = new Kind({
    name: 'thing',
    prefix: 'things/',
    form: names('name'),
    schema: Type.Object({ name: Type.String(), colour: Type.String() }),
    version: 4,
    upgrade: () => ({ colour: 'grey' }),
  });
  const read = (record: object, schema: number) => kind.read(entry('things/a', record, schema));

  test('the one before is read with what has been added since, and keeps what it has', () => {
    expect(read({ name: 'a' }, 3)).toEqual({ name: 'a', colour: 'grey' });
    expect(read({ name: 'a', colour: 'red' }, 3)).toEqual({ name: 'a', colour: 'red' });
  });

  test('one that is two apart is not read', () => {
    for (const schema of [2, 6, 4.5, Number.NaN])
      expect(read({ name: 'a', colour: 'red' }, schema)).toBeInstanceOf(Unreadable);
    expect(read({}, 6)).toMatchObject({ reason: 'has schema 6, this version reads 3, 4 and 5' });
  });

  test('records are written as the version of their kind', () => {
    expect(JSON.parse(kind.format({ name: 'a', colour: 'red' }))).toEqual({ schema: 4, name: 'a', colour: 'red' });
    expect(JSON.parse(tenants.format(red))).toEqual({ schema: 1, ...red });
  });

  test('what a newer version added stays when a record is read, changed and written', () => {
    const newer = read({ name: 'a', colour: 'red', size: 3 }, 5);
    if (newer instanceof Unreadable) throw new RecordError(newer);
    expect(JSON.parse(kind.format({ ...newer, colour: 'blue' }))).toMatchObject({ colour: 'blue', size: 3 });
  });
});

test('what lies under a prefix that is followed', () => {
  expect(rangeOf('policies/red/')).toEqual({ kind: 'policy', tenant: 'red', acknowledgedAs: 'policies' });
  expect(rangeOf('tenants/red')).toEqual({ kind: 'tenant', tenant: 'red', acknowledgedAs: 'tenant' });
  expect(rangeOf('tenants/')).toEqual({ kind: 'tenant', acknowledgedAs: 'tenant' });
  expect(rangeOf('blocks/red/')).toEqual({ kind: 'block', tenant: 'red', acknowledgedAs: undefined });
  expect(rangeOf('cluster')).toEqual({ kind: 'cluster', acknowledgedAs: undefined });
  expect(rangeOf('')).toBeUndefined();
  expect(['nodes/node1', 'tenants/red', 'blocks/red/zz', 'denials/red/node1', 'claims/vni/1'].map(tenantOf)).toEqual([
    undefined,
    'red',
    'red',
    'red',
    undefined,
  ]);
});

test('a claim that cannot be read names no tenant', () => {
  expect(claimant({ key: 'claims/namespace/red', value: formatRecord({ tenant: 'red' }) })).toBe('red');
  expect(claimant({ key: 'claims/namespace/red', value: '{}' })).toBeUndefined();
});
