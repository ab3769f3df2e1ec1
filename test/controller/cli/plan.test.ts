/**
 * What `apply` decides to write, by comparing what is wanted with what is there.
 */
import { describe, expect, test } from 'vitest';
import type { WantedPolicy, WantedTenant } from '../../../controller/cli/manifest.ts';
import { planChange } from '../../../controller/cli/plan.ts';

const found = {
  name: 'blue',
  vni: 2,
  labels: { plan: 'gold', zone: 'a' },
  namespaces: ['blue', 'old'],
  subnets: ['10.128.4.0/22'],
  quota: { endpoints: 100, policies: 5 },
  egress: { internet: true },
};
const blue = (rest: Partial<WantedTenant>): WantedTenant => ({ kind: 'Tenant', name: 'blue', ...rest });

test('what is not there is created from the wanted fields alone', () => {
  const { outcome, steps } = planChange(blue({ namespaces: ['blue'], egress: { internet: false } }), undefined);
  expect(outcome).toBe('created');
  expect(steps).toEqual([
    {
      method: 'POST',
      path: '/v1/tenants',
      body: { name: 'blue', namespaces: ['blue'], egress: { internet: false } },
      guarded: false,
    },
  ]);
});

test.each([
  ['nothing named', {}],
  ['the same labels in another order', { labels: { zone: 'a', plan: 'gold' } }],
  ['part of the quota', { quota: { endpoints: 100 } }],
  ['some of the namespaces and subnets', { namespaces: ['blue'], subnets: ['10.128.4.0/22'] }],
  ['a size for the first subnet, which it has', { subnetPrefixLength: 24 }],
])('unchanged: %s', (_, rest) => {
  expect(planChange(blue(rest), found)).toEqual({ reference: 'tenant/blue', outcome: 'unchanged', steps: [] });
});

test('of the settings only what differs is sent, guarded by the revision', () => {
  const { outcome, steps } = planChange(blue({ quota: { endpoints: 50, policies: 5 } }), found);
  expect(outcome).toBe('configured');
  expect(steps).toMatchObject([
    { method: 'PATCH', path: '/v1/tenants/blue', body: { quota: { endpoints: 50 } }, guarded: true },
  ]);
});

test('labels become the wanted ones: new and changed are set, others are taken away', () => {
  const { steps } = planChange(blue({ labels: { plan: 'silver', tier: '1' } }), found);
  expect(steps).toMatchObject([{ method: 'PATCH', body: { labels: { zone: null, plan: 'silver', tier: '1' } } }]);
});

describe('a namespace', () => {
  const wanted = { kind: 'Namespace', tenant: 'blue', name: 'shop', labels: { stage: 'test' } } as const;
  const own = { 'kubernetes.io/metadata.name': 'shop' };

  test('with the same labels is unchanged, whatever the controller adds', () => {
    expect(planChange(wanted, { name: 'shop', labels: { ...own, stage: 'test' } }).outcome).toBe('unchanged');
  });

  test('without labels wanted keeps those it has', () => {
    const { kind, tenant, name } = wanted;
    expect(planChange({ kind, tenant, name }, { name: 'shop', labels: { ...own, stage: 'x' } }).outcome).toBe(
      'unchanged',
    );
  });

  test('with others is written whole, guarded by the revision', () => {
    expect(planChange(wanted, { name: 'shop', labels: { ...own, stage: 'test', old: '1' } })).toMatchObject({
      reference: 'namespace/blue/shop',
      outcome: 'configured',
      steps: [
        { method: 'PUT', path: '/v1/tenants/blue/namespaces/shop', body: { labels: { stage: 'test' } }, guarded: true },
      ],
    });
  });
});

describe('a policy', () => {
  const path = '/v1/tenants/blue/namespaces/shop/policies/web';
  const rules = [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }];
  const wanted = (body: object): WantedPolicy => ({
    kind: 'NetworkPolicy',
    tenant: 'blue',
    namespace: 'shop',
    name: 'web',
    body: { ...body },
  });
  const shown = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'web', namespace: 'shop', resourceVersion: '7', labels: { a: 'b' } },
    spec: {
      podSelector: {},
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: {} }], ports: [{ protocol: 'TCP', port: 80 }] }],
    },
    tenant: 'blue',
    revision: 7,
  };

  test('that is not there is written as it is', () => {
    const body = { spec: { ingress: rules } };
    expect(planChange(wanted(body), undefined)).toEqual({
      reference: 'policy/blue/shop/web',
      outcome: 'created',
      steps: [{ method: 'PUT', path, body, guarded: false }],
    });
  });

  test('that says the same, defaults and all, is unchanged', () => {
    expect(planChange(wanted({ metadata: { labels: { a: 'b' } }, spec: { ingress: rules } }), shown).steps).toEqual([]);
  });

  test.each<[string, object, object]>([
    ['says something else', { metadata: { labels: { a: 'b' } }, spec: {} }, shown],
    ['has other labels', { spec: { ingress: rules } }, shown],
    [
      'says what is not known here',
      { metadata: { labels: { a: 'b' } }, spec: { ingress: rules } },
      { ...shown, extra: 1 },
    ],
  ])('that %s is written whole, guarded by the revision', (_, body, found) => {
    expect(planChange(wanted(body), { ...found })).toMatchObject({
      outcome: 'configured',
      steps: [{ method: 'PUT', path, body, guarded: true }],
    });
  });
});

test('namespaces and subnets that are missing are added', () => {
  const { steps } = planChange(
    blue({ namespaces: ['new', 'blue'], subnets: ['10.200.0.0/24', '10.128.4.0/22'] }),
    found,
  );
  expect(steps.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'PUT /v1/tenants/blue/namespaces/new',
    'POST /v1/tenants/blue/subnets',
  ]);
});
