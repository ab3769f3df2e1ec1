/**
 * What `tenetctl apply` reads: every form of a manifest, and every fault with its document and field, all at once.
 */
import { describe, expect, test } from 'vitest';
import { CliFailure } from '../../../controller/cli/failures.ts';
import { parseManifest } from '../../../controller/cli/manifest.ts';

const BLUE = `
apiVersion: tenet.dev/v1
kind: Tenant
metadata: {name: blue, labels: {plan: gold}}
spec:
  namespaces: [blue, blue-test]
  subnets: [10.128.4.0/22]
  quota: {endpoints: 100}
  egress: {internet: false}
`;

/** The faults found in `text`, one a line. */
function faultsOf(text: string): string[] {
  try {
    parseManifest([{ content: text, name: 'm.yaml' }]);
  } catch (error) {
    if (error instanceof CliFailure) return error.message.split('\n');
    throw error;
  }
  return [];
}

const POLICY_KIND = 'apiVersion: networking.k8s.io/v1, kind: NetworkPolicy';
const policy = (metadata: string, kind = POLICY_KIND) =>
  `{${kind}, metadata: {${metadata}}, spec: {policyTypes: [Egress]}}`;

const tenant = (rest: string) => `{apiVersion: tenet.dev/v1, kind: Tenant, ${rest}}`;

describe('reading', () => {
  test('a tenant with all of its fields', () => {
    expect(parseManifest([{ content: BLUE, name: 'm.yaml' }])).toEqual([
      {
        kind: 'Tenant',
        name: 'blue',
        labels: { plan: 'gold' },
        namespaces: ['blue', 'blue-test'],
        subnets: ['10.128.4.0/22'],
        quota: { endpoints: 100 },
        egress: { internet: false },
      },
    ]);
  });

  test('several documents, empty ones passed over, in the order of the file', () => {
    const text = `---\n${tenant('metadata: {name: a}')}\n---\n---\n# nothing\n---\n${tenant('metadata: {name: b}')}\n`;
    expect(parseManifest([{ content: text, name: 'm.yaml' }]).map(({ name }) => name)).toEqual(['a', 'b']);
  });

  test('a policy as it is, in its own namespace or in the one given', () => {
    const body = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { policyTypes: ['Egress'] },
    };
    expect(parseManifest([{ content: policy('name: web, namespace: shop'), name: 'm.yaml' }])).toEqual([
      { kind: 'NetworkPolicy', name: 'web', namespace: 'shop', body },
    ]);
    expect(parseManifest([{ content: policy('name: web'), name: 'm.yaml' }], 'shop')).toMatchObject([
      { namespace: 'shop' },
    ]);
    const both = `${policy('name: web, namespace: a')}\n---\n${policy('name: web, namespace: b')}`;
    expect(parseManifest([{ content: both, name: 'm.yaml' }])).toHaveLength(2);
  });

  test('several texts, one after the other; and lists as `get` prints them', () => {
    const policy = (name: string) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace: 'web' },
    });
    const one = { name: 'a.yaml', content: JSON.stringify(policy('a')) };
    const list = { name: 'b.json', content: JSON.stringify({ items: [policy('b'), policy('c')] }) };
    expect(parseManifest([one, list]).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    const empty = { name: 'c.yaml', content: '# soon' };
    expect(() => parseManifest([one, empty])).toThrow('c.yaml: holds no object');
    expect(() => parseManifest([one, { ...one, name: 'again.yaml' }])).toThrow();
  });

  test('JSON, and a List of any apiVersion', () => {
    const items = [
      { apiVersion: 'tenet.dev/v1', kind: 'Tenant', metadata: { name: 'a' } },
      {
        apiVersion: 'tenet.dev/v1',
        kind: 'Namespace',
        metadata: { name: 'n', labels: { x: '1' } },
        spec: { tenant: 'a' },
      },
    ];
    expect(
      parseManifest([{ content: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), name: 'm.json' }]),
    ).toEqual([
      { kind: 'Tenant', name: 'a' },
      { kind: 'Namespace', name: 'n', tenant: 'a', labels: { x: '1' } },
    ]);
  });
});

describe('faults', () => {
  test.each([
    ['nothing at all', '', 'm.yaml: holds no object'],
    ['a comment only', '# soon', 'm.yaml: holds no object'],
    ['text', 'hello', 'm.yaml: must be an object with apiVersion, kind, metadata and spec'],
    [
      'another version',
      '{apiVersion: v1, kind: Tenant, metadata: {name: a}}',
      'm.yaml: apiVersion: must be tenet.dev/v1',
    ],
    [
      'an unknown kind',
      '{apiVersion: tenet.dev/v1, kind: Pod}',
      'm.yaml: kind: must be Tenant, Namespace, NetworkPolicy, Peering or List',
    ],
    ['no metadata', tenant('spec: {}'), 'm.yaml: metadata: is missing'],
    ['no name', tenant('metadata: {}'), 'm.yaml: metadata.name: is missing'],
    [
      'a bad name',
      tenant('metadata: {name: Blue_1}'),
      'm.yaml: metadata.name: must be 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends, not "Blue_1"',
    ],
    [
      'a label that YAML reads as a number',
      tenant('metadata: {name: a, labels: {v: 1}}'),
      'm.yaml: metadata.labels.v: must be text (quote it if it looks like a number), not 1',
    ],
    [
      'a misspelt field',
      tenant('metadata: {name: a}, spec: {subnet: []}'),
      'm.yaml: spec.subnet: is no known field (known: namespaces, subnets, subnetPrefixLength, quota, egress, ingress)',
    ],
    [
      'a wrong type deep inside',
      tenant('metadata: {name: a}, spec: {egress: {internet: "no"}}'),
      'm.yaml: spec.egress.internet: must be true or false, not "no"',
    ],
    [
      'a negative quota',
      tenant('metadata: {name: a}, spec: {quota: {endpoints: -1}}'),
      'm.yaml: spec.quota.endpoints: must be a whole number, 0 or more, not -1',
    ],
    [
      'a namespace of no tenant',
      '{apiVersion: tenet.dev/v1, kind: Namespace, metadata: {name: n}, spec: {}}',
      'm.yaml: spec.tenant: is missing',
    ],
    [
      'a policy in no namespace',
      policy('name: web'),
      'm.yaml: metadata.namespace: is missing: write it, or give --namespace',
    ],
    ['a policy without a name', policy('namespace: shop'), 'm.yaml: metadata.name: is missing'],
    [
      'a policy of our own version',
      policy('name: web, namespace: shop', 'apiVersion: tenet.dev/v1, kind: NetworkPolicy'),
      'm.yaml: apiVersion: must be networking.k8s.io/v1',
    ],
    [
      'a policy twice',
      `{kind: List, items: [${policy('name: web, namespace: a')}, ${policy('name: web, namespace: a')}]}`,
      'm.yaml, items[1]: metadata.name: NetworkPolicy a/web is in m.yaml, items[0] already',
    ],
    ['a List of nothing', '{kind: List}', 'm.yaml: items: must be a list'],
    [
      'a field named like a method',
      tenant('metadata: {name: a}, spec: {constructor: 1}'),
      /spec\.constructor: is no known field/,
    ],
  ])('%s', (_, text, fault) => {
    expect(faultsOf(text)).toEqual([typeof fault === 'string' ? fault : expect.stringMatching(fault)]);
  });

  test('a policy in another namespace than the one given', () => {
    const parse = () => parseManifest([{ content: policy('name: web, namespace: a'), name: 'm.yaml' }], 'b');
    expect(parse).toThrow('m.yaml: metadata.namespace: is not the one of --namespace, "b"');
  });

  test('broken YAML is named with its line', () => {
    expect(faultsOf('kind: [Tenant\nmetadata: {').join('\n')).toMatch(/^m\.yaml: .*line 2/);
  });

  test('all faults of all documents are said at once', () => {
    const text = `${tenant('metadata: {name: A}')}\n---\n${tenant('metadata: {name: b}, spec: {quota: 1, x: 2}')}`;
    expect(faultsOf(text)).toEqual([
      expect.stringMatching(/^m\.yaml, document 1: metadata\.name: must be/),
      'm.yaml, document 2: spec.quota: must be a map',
      expect.stringMatching(/^m\.yaml, document 2: spec\.x: is no known field/),
    ]);
  });

  test('the same object twice, in a List too', () => {
    const text = `${tenant('metadata: {name: a}')}\n---\n{kind: List, items: [${tenant('metadata: {name: a}')}]}`;
    expect(faultsOf(text)).toEqual([
      'm.yaml, document 2, items[0]: metadata.name: Tenant a is in m.yaml, document 1 already',
    ]);
  });
});
