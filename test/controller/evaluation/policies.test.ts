/** What Kubernetes NetworkPolicy v1 means, case by case. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WorldIndex } from '../../../controller/evaluation/world.ts';
import type { IngressRule, LabelSelector, PolicyPeer, PolicyPort } from '../../../controller/model/records.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { ALL, ask, egress, endpoint, ingress, policy, port, world } from './world.ts';

const web: LabelSelector = { matchLabels: { app: 'web' } };
const db: LabelSelector = { matchLabels: { app: 'db' } };

const requires = (key: string, operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]) => ({
  matchExpressions: [{ key, operator, ...(values.length > 0 ? { values } : {}) }],
});
const block = (cidr: string, ...except: string[]): PolicyPeer => ({
  ipBlock: { cidr: parsePrefix(cidr), ...(except.length > 0 ? { except: except.map(parsePrefix) } : {}) },
});

describe('isolation', () => {
  test('is by direction, and of those alone that the policy selects', () => {
    const about = world({ policies: [ingress('blue/blue/none', [], db)] });
    expect(ask(about, 'blue/blue/web', 'blue/blue/db').allowed).toBe(false);
    expect(ask(about, 'blue/blue/db', 'blue/blue/web').allowed).toBe(true);
    expect(ask(about, 'blue/test/web', 'blue/blue/web').allowed).toBe(true);
    const out = world({ policies: [egress('blue/blue/none', [], db)] });
    expect(ask(out, 'blue/blue/web', 'blue/blue/db').allowed).toBe(true);
    expect(ask(out, 'blue/blue/db', 'blue/blue/web').allowed).toBe(false);
  });

  test('is of the policy’s own namespace and tenant', () => {
    for (const place of ['blue/test', 'red/red', 'red/blue', 'green/green']) {
      const about = world({ policies: [ingress(`${place}/none`, [])] });
      expect(ask(about, 'blue/test/web', 'blue/blue/db').allowed).toBe(true);
    }
  });

  test('comes from policyTypes, not from the rules there are', () => {
    const onlyIngress = policy('blue/blue/p', {
      podSelector: ALL,
      policyTypes: ['Ingress'],
      ingress: [{}],
      egress: [],
    });
    const about = world({ policies: [onlyIngress] });
    expect(ask(about, 'blue/blue/web', 'blue/test/web').allowed).toBe(true);
    const none = policy('blue/blue/p', { podSelector: ALL, policyTypes: ['Egress'], ingress: [], egress: [{}] });
    expect(ask(world({ policies: [none] }), 'blue/test/web', 'blue/blue/web').allowed).toBe(true);
  });

  test('needs both ends to allow', () => {
    const out = egress('blue/blue/out', [{ to: [{ podSelector: db }] }], web);
    const into = (selector: LabelSelector) => ingress('blue/blue/in', [{ from: [{ podSelector: selector }] }], db);
    expect(ask(world({ policies: [out, into(web)] }), 'blue/blue/web', 'blue/blue/db').allowed).toBe(true);
    expect(ask(world({ policies: [out, into(db)] }), 'blue/blue/web', 'blue/blue/db').allowed).toBe(false);
    const elsewhere = egress('blue/blue/out', [{ to: [{ podSelector: web }] }], web);
    expect(ask(world({ policies: [elsewhere, into(web)] }), 'blue/blue/web', 'blue/blue/db').allowed).toBe(false);
  });

  test('of either tenant of a peering holds', () => {
    const red = world({ policies: [ingress('red/red/none', [])] });
    expect(ask(red, 'blue/blue/web', 'red/red/web').allowed).toBe(false);
    expect(ask(red, 'red/red/web', 'blue/blue/web').allowed).toBe(true);
  });
});

describe('peers: blue/blue/db takes calls', () => {
  const from = ['blue/blue/web', 'blue/test/web', 'red/red/web'];
  test.each<[string, IngressRule, boolean[]]>([
    ['from anybody, where none is named', {}, [true, true, true]],
    ['from anybody, where the list is empty', { from: [] }, [true, true, true]],
    ['from all of its namespace', { from: [{ podSelector: ALL }] }, [true, false, false]],
    ['from those selected in its namespace', { from: [{ podSelector: web }] }, [true, false, false]],
    ['from none of its namespace', { from: [{ podSelector: requires('tier', 'Exists') }] }, [false, false, false]],
    ['from all namespaces, peers’ included', { from: [{ namespaceSelector: ALL }] }, [true, true, true]],
    ['by labels', { from: [{ namespaceSelector: { matchLabels: { stage: 'live' } } }] }, [true, false, true]],
    ['In', { from: [{ namespaceSelector: requires('stage', 'In', 'test', 'x') }] }, [false, true, false]],
    ['NotIn', { from: [{ namespaceSelector: requires('stage', 'NotIn', 'test') }] }, [true, false, true]],
    [
      'NotIn, of a label that is not there',
      { from: [{ namespaceSelector: requires('no', 'NotIn', 'x') }] },
      [true, true, true],
    ],
    ['Exists', { from: [{ namespaceSelector: ALL, podSelector: requires('tier', 'Exists') }] }, [false, true, false]],
    [
      'DoesNotExist',
      { from: [{ namespaceSelector: ALL, podSelector: requires('tier', 'DoesNotExist') }] },
      [true, false, true],
    ],
    [
      'by the namespace’s name',
      { from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'red' } } }] },
      [false, false, true],
    ],
    [
      'both selectors',
      { from: [{ namespaceSelector: requires('stage', 'In', 'live'), podSelector: db }] },
      [false, false, false],
    ],
    [
      'either of two peers',
      { from: [{ podSelector: web }, { namespaceSelector: requires('stage', 'In', 'test') }] },
      [true, true, false],
    ],
    ['from none, by a peer that says nothing', { from: [{}] }, [false, false, false]],
    ['by address', { from: [block('10.128.4.0/24')] }, [true, true, false]],
    [
      'by address, but for holes',
      { from: [block('10.128.0.0/16', '10.128.4.1/32', '10.128.8.0/24')] },
      [false, true, false],
    ],
    ['by any address', { from: [block('0.0.0.0/0')] }, [true, true, true]],
    ['by addresses of another family', { from: [block('::/0')] }, [false, false, false]],
  ])('%s', (_, rule, expected) => {
    const about = world({ policies: [ingress('blue/blue/in', [rule], db)] });
    expect(from.map((each) => ask(about, each, 'blue/blue/db').allowed)).toEqual(expected);
  });

  test('selectors see namespaces of peers in force alone, and no namespace that is not there', () => {
    const policies = [ingress('blue/blue/in', [{ from: [{ namespaceSelector: ALL }] }], db)];
    expect(ask(world({ policies, peerings: [] }), 'red/red/web', 'blue/blue/db').allowed).toBe(false);
    const gone = world({ policies, namespaces: world().namespaces.filter(({ name }) => name !== 'test') });
    expect(ask(gone, 'blue/test/web', 'blue/blue/db').allowed).toBe(false);
    expect(ask(gone, 'blue/blue/web', 'blue/blue/db').allowed).toBe(true);
  });

  test('an empty selector selects all, a missing one is no restriction of its own', () => {
    const about = world({
      policies: [ingress('blue/blue/in', [{ from: [{ namespaceSelector: ALL, podSelector: web }] }])],
    });
    expect(ask(about, 'blue/test/web', 'blue/blue/db').allowed).toBe(true);
    expect(ask(about, 'blue/blue/db', 'blue/blue/web').allowed).toBe(false);
  });
});

describe('ports: blue/blue/web calls', () => {
  const asked = ['TCP 80', 'TCP 8080', 'TCP 8090', 'UDP 80', 'SCTP 80', 'ICMP'];
  test.each<[string, PolicyPort[] | undefined, boolean[]]>([
    ['at any, where none is named', undefined, [true, true, true, true, true, true]],
    ['at any, where the list is empty', [], [true, true, true, true, true, true]],
    ['at all of a protocol', [{ protocol: 'TCP' }], [true, true, true, false, false, false]],
    ['at a number', [{ protocol: 'TCP', port: 80 }], [true, false, false, false, false, false]],
    ['of another protocol', [{ protocol: 'UDP', port: 80 }], [false, false, false, true, false, false]],
    ['SCTP', [{ protocol: 'SCTP', port: 80 }], [false, false, false, false, true, false]],
    ['at a range', [{ protocol: 'TCP', port: 8080, endPort: 8090 }], [false, true, true, false, false, false]],
    [
      'below the end of a range',
      [{ protocol: 'TCP', port: 81, endPort: 8089 }],
      [false, true, false, false, false, false],
    ],
    ['by the destination’s name', [{ protocol: 'TCP', port: 'http' }], [false, true, false, false, false, false]],
    ['by a name of another protocol', [{ protocol: 'UDP', port: 'http' }], [false, false, false, false, false, false]],
    ['by a name no endpoint has', [{ protocol: 'TCP', port: 'no' }], [false, false, false, false, false, false]],
    [
      'at either',
      [
        { protocol: 'TCP', port: 80 },
        { protocol: 'UDP', port: 80 },
      ],
      [true, false, false, true, false, false],
    ],
  ])('%s', (_, ports, expected) => {
    const rule = ports === undefined ? {} : { ports };
    const served = endpoint('blue/blue/server', '10.128.4.7', { app: 'server' }, { ports: [port('http', 8080)] });
    const endpoints = [...world().endpoints, served];
    const into = world({ endpoints, policies: [ingress('blue/blue/in', [rule])] });
    expect(asked.map((how) => ask(into, 'blue/test/web', 'blue/blue/server', how).allowed)).toEqual(expected);
    const out = world({ endpoints, policies: [egress('blue/test/out', [rule])] });
    expect(asked.map((how) => ask(out, 'blue/test/web', 'blue/blue/server', how).allowed)).toEqual(expected);
  });

  test('a name is each destination’s own', () => {
    const about = world({ policies: [egress('blue/blue/out', [{ ports: [{ protocol: 'TCP', port: 'http' }] }])] });
    const open = (to: string, how: string) => ask(about, 'blue/blue/db', to, how).allowed;
    expect([open('blue/blue/web', 'TCP 8080'), open('blue/blue/web', 'TCP 9090')]).toEqual([true, false]);
    expect([open('red/red/web', 'TCP 8080'), open('red/red/web', 'TCP 9090')]).toEqual([false, true]);
    expect(open('203.0.113.9', 'TCP 8080')).toBe(false);
  });

  test('peer and port must match in one rule', () => {
    const rules = [
      { from: [{ podSelector: web }], ports: [{ protocol: 'TCP' as const, port: 80 }] },
      { from: [block('10.128.4.3/32')] },
    ];
    const about = world({ policies: [ingress('blue/blue/in', rules, db)] });
    expect(ask(about, 'blue/blue/web', 'blue/blue/db', 'TCP 80').allowed).toBe(true);
    expect(ask(about, 'blue/blue/web', 'blue/blue/db', 'TCP 81').allowed).toBe(false);
    expect(ask(about, 'blue/test/web', 'blue/blue/db', 'TCP 81').allowed).toBe(true);
  });
});

test('egress to addresses beyond the cluster', () => {
  const policies = [egress('blue/blue/out', [{ to: [block('203.0.112.0/22', '203.0.113.0/24')] }])];
  const about = world({ policies });
  const open = (to: string) => ask(about, 'blue/blue/web', to).allowed;
  expect([open('203.0.112.1'), open('203.0.113.1'), open('203.0.114.1'), open('203.0.116.1')]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect(open('blue/blue/db')).toBe(false);
  const selectors = world({ policies: [egress('blue/blue/out', [{ to: [{ namespaceSelector: ALL }] }])] });
  expect(ask(selectors, 'blue/blue/web', '203.0.113.1').allowed).toBe(false);
  expect(ask(selectors, 'blue/blue/web', 'red/red/web').allowed).toBe(true);
});

describe('because', () => {
  const rules = [
    { from: [{ podSelector: db }], ports: [{ protocol: 'TCP' as const, port: 80 }] },
    {
      from: [block('192.0.2.0/24'), { podSelector: web }],
      ports: [
        { protocol: 'UDP' as const, port: 53 },
        { protocol: 'TCP' as const, port: 5432 },
      ],
    },
  ];
  const about = world({ policies: [ingress('blue/blue/in', rules, db), ingress('blue/blue/default-deny', [])] });

  test('names the rule that allows, and the default', () => {
    expect(ask(about, 'blue/blue/web', 'blue/blue/db', 'TCP 5432').because).toEqual([
      {
        end: 'source',
        decision: 'allowed',
        kind: 'default',
        reason: 'no policy isolates blue/blue/web for egress: all that its tenant allows passes',
      },
      {
        end: 'destination',
        decision: 'allowed',
        kind: 'policy',
        policy: { namespace: 'blue', name: 'in' },
        rule: 'spec.ingress[1].from[1]',
        ports: 'spec.ingress[1].ports[1]',
        reason: 'policy blue/in, spec.ingress[1].from[1] and ports[1] allows it',
      },
    ]);
  });

  test('names the policies that isolate, and the rule that lacks the port', () => {
    expect(ask(about, 'blue/blue/web', 'blue/blue/db', 'TCP 80').because[1]).toEqual({
      end: 'destination',
      decision: 'denied',
      kind: 'policy',
      isolatedBy: [
        { namespace: 'blue', name: 'default-deny' },
        { namespace: 'blue', name: 'in' },
      ],
      nearest: { policy: { namespace: 'blue', name: 'in' }, rule: 'spec.ingress[1].from[1]', lacks: 'port' },
      reason:
        'policies blue/default-deny and blue/in isolate blue/blue/db for ingress, and no rule of theirs allows this; ' +
        'nearest is policy blue/in, spec.ingress[1].from[1], which allows calls from blue/blue/web but not TCP 80',
    });
  });

  test('else the rule that lacks the peer, else none', () => {
    expect(ask(about, 'blue/test/web', 'blue/blue/db', 'TCP 80').because[1]).toMatchObject({
      nearest: { rule: 'spec.ingress[0]', ports: 'spec.ingress[0].ports[0]', lacks: 'peer' },
      reason: expect.stringMatching(/which allows TCP 80 but not from blue\/test\/web$/),
    });
    const { because } = ask(about, 'blue/test/web', 'blue/blue/db', 'TCP 1');
    expect(because[1]).not.toHaveProperty('nearest');
    expect(because[1]?.reason).toMatch(/no rule of theirs allows this$/);
  });

  test('has both ends where one denies', () => {
    const both = world({ policies: [egress('blue/blue/none', [], web), ingress('blue/blue/in', [{}], db)] });
    expect(ask(both, 'blue/blue/web', 'blue/blue/db').because).toMatchObject([
      {
        end: 'source',
        decision: 'denied',
        isolatedBy: [{ name: 'none' }],
        reason: expect.stringContaining('policy blue/none isolates'),
      },
      { end: 'destination', decision: 'allowed', rule: 'spec.ingress[0]' },
    ]);
  });
});

describe('whatever the policies are', () => {
  const selector = fc.constantFrom<LabelSelector>(
    ALL,
    web,
    db,
    requires('tier', 'Exists'),
    requires('app', 'NotIn', 'web'),
  );
  const peer = fc.oneof(
    fc.record({ podSelector: selector }),
    fc.record({
      namespaceSelector: fc.constantFrom<LabelSelector>(ALL, requires('stage', 'In', 'test')),
      podSelector: selector,
    }),
    fc.constantFrom(block('10.128.4.0/24', '10.128.4.2/32'), block('0.0.0.0/0'), block('203.0.113.0/24')),
  );
  const wantedPort = fc.constantFrom<PolicyPort>(
    { protocol: 'TCP' },
    { protocol: 'TCP', port: 80 },
    { protocol: 'TCP', port: 'http' },
    { protocol: 'UDP', port: 50, endPort: 90 },
  );
  const rule = fc
    .record({ peers: fc.array(peer, { maxLength: 2 }), ports: fc.array(wantedPort, { maxLength: 2 }) })
    .map(({ peers, ports }) => ({ from: peers, to: peers, ports }));
  const place = fc.constantFrom('blue/blue', 'blue/test', 'red/red');
  const types = fc.constantFrom<('Ingress' | 'Egress')[]>(['Ingress'], ['Egress'], ['Ingress', 'Egress']);
  const anyPolicy = (name: string) =>
    fc
      .record({
        place,
        podSelector: selector,
        policyTypes: types,
        ingress: fc.array(rule, { maxLength: 2 }),
        egress: fc.array(rule, { maxLength: 2 }),
      })
      .map(({ place: where, ...spec }) => policy(`${where}/${name}`, spec));
  const policies = fc.tuple(anyPolicy('a'), anyPolicy('b'), anyPolicy('c'));
  const ends = ['blue/blue/web', 'blue/blue/db', 'blue/test/web', 'red/red/web', '203.0.113.9'];
  const table = (given: Parameters<typeof world>[0]) => {
    const index = new WorldIndex(world(given));
    const rows: string[] = [];
    for (const from of ends.slice(0, 4))
      for (const to of ends)
        for (const how of ['TCP 80', 'TCP 8080', 'UDP 60', 'ICMP'])
          rows.push(`${from} ${to} ${how} ${ask(index, from, to, how).allowed}`);
    return rows;
  };

  test('their order means nothing', () => {
    fc.assert(
      fc.property(policies, (given) => {
        expect(table({ policies: given.toReversed() })).toEqual(table({ policies: given }));
      }),
      { numRuns: 60 },
    );
  });

  test('one rule more closes nothing', () => {
    fc.assert(
      fc.property(policies, rule, (given, more) => {
        const [first, ...others] = given;
        const { spec } = first;
        const wider = policy(`${first.tenant}/${first.namespace}/${first.name}`, {
          ...spec,
          ingress: [...(spec.ingress ?? []), more],
          egress: [...(spec.egress ?? []), more],
        });
        const after = table({ policies: [wider, ...others] });
        for (const [row, before] of table({ policies: given }).entries())
          if (before.endsWith('true')) expect(after[row]).toBe(before);
      }),
      { numRuns: 60 },
    );
  });
});
