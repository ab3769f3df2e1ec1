/** matchLabels and the four operators of matchExpressions, on targets and on peers, and selectors that are empty or absent. Data. */
import { type Case, label, once, put, several, step } from '../case.ts';
import {
  ALL,
  both,
  denyEgress,
  denyIngress,
  fromNamespaces,
  fromPods,
  into,
  ns,
  outOf,
  pod,
  tcp,
  where,
} from '../policy-input.ts';

const A = pod('a');

const operatorCases: readonly Case[] = [
  once('labels/target-in', { 'x:d': denyIngress(where('tier', 'In', 'front', 'middle')) }, ['- * > x/a']),
  once('labels/target-not-in', { 'x:d': denyIngress(where('tier', 'NotIn', 'front')) }, ['- * > x/b,x/c']),
  once('labels/target-exists', { 'x:d': denyIngress(where('tier', 'Exists')) }, ['- * > x/a,x/b']),
  once('labels/target-does-not-exist', { 'x:d': denyIngress(where('tier', 'DoesNotExist')) }, ['- * > x/c']),
  once('labels/peer-in', { 'x:p': into(A, [fromPods(where('pod', 'In', 'b', 'c'))]) }, [
    '- * > x/a',
    '+ x/b,x/c > x/a',
  ]),
  once('labels/peer-not-in', { 'x:p': into(A, [fromPods(where('pod', 'NotIn', 'b'))]) }, ['- * > x/a', '+ x/c > x/a']),
  once('labels/peer-not-in-takes-those-without', { 'x:p': into(A, [fromPods(where('tier', 'NotIn', 'back'))]) }, [
    '- * > x/a',
    '+ x/c > x/a',
  ]),
  once('labels/peer-exists', { 'x:p': into(A, [both(ALL, where('tier', 'Exists'))]) }, [
    '- * > x/a',
    '+ x/b,y/a,y/b,z/a,z/b > x/a',
  ]),
  once('labels/peer-does-not-exist', { 'x:p': into(A, [both(ALL, where('tier', 'DoesNotExist'))]) }, [
    '- * > x/a',
    '+ x/c,y/c,z/c > x/a',
  ]),
  once('labels/in-of-an-absent-key', { 'x:p': into(A, [fromPods(where('colour', 'In', 'red'))]) }, ['- * > x/a']),
  once('labels/exists-of-an-unknown-key', { 'x:p': into(A, [fromPods(where('colour', 'Exists'))]) }, ['- * > x/a']),
  once('labels/does-not-exist-of-an-unknown-key', { 'x:p': into(A, [fromPods(where('colour', 'DoesNotExist'))]) }, [
    '- * > x/a',
    '+ x/* > x/a',
  ]),
  once(
    'labels/labels-and-expressions',
    {
      'x:d': denyIngress({
        matchLabels: { tier: 'front' },
        matchExpressions: [{ key: 'pod', operator: 'In', values: ['a', 'b'] }],
      }),
    },
    ['- * > x/a'],
  ),
  once(
    'labels/two-expressions',
    {
      'x:d': denyIngress({
        matchExpressions: [
          { key: 'tier', operator: 'Exists' },
          { key: 'pod', operator: 'NotIn', values: ['a'] },
        ],
      }),
    },
    ['- * > x/b'],
  ),
  once(
    'labels/contradiction',
    {
      'x:d': denyIngress({
        matchExpressions: [
          { key: 'tier', operator: 'Exists' },
          { key: 'tier', operator: 'DoesNotExist' },
        ],
      }),
    },
    [],
  ),
  once('labels/egress-peer-not-in', { 'x:p': outOf(A, [both(ns('y'), where('pod', 'NotIn', 'a', 'b'))]) }, [
    '- x/a > *',
    '+ x/a > y/c',
  ]),
  several('labels/empty-value', [
    step(
      [label('x/b', { pod: 'b', role: '' }), put('x:p', into(A, [fromPods({ matchLabels: { role: '' } })]))],
      ['- * > x/a', '+ x/b > x/a'],
    ),
  ]),
  several('labels/prefixed-key', [
    step(
      [
        label('x/c', { 'example.com/role': 'client' }),
        put('x:p', into(A, [fromPods({ matchLabels: { 'example.com/role': 'client' } })])),
      ],
      ['- * > x/a', '+ x/c > x/a'],
    ),
  ]),
];

const emptyCases: readonly Case[] = [
  once('empty/target-selector', { 'x:d': denyIngress({ matchLabels: {}, matchExpressions: [] }) }, ['- * > x/*']),
  once('empty/no-ingress-rules', { 'x:d': { podSelector: A, policyTypes: ['Ingress'] } }, ['- * > x/a']),
  once('empty/list-of-ingress-rules', { 'x:d': { podSelector: A, policyTypes: ['Ingress'], ingress: [] } }, [
    '- * > x/a',
  ]),
  once('empty/ingress-rule', { 'x:p': { podSelector: A, ingress: [{}] } }, [], 'stranger', 'peer'),
  once(
    'empty/ingress-rule-beside-a-narrow-one',
    { 'x:p': { podSelector: A, ingress: [{ from: [fromPods(pod('b'))] }, {}] } },
    [],
  ),
  once('empty/from', { 'x:p': { podSelector: A, ingress: [{ from: [] }] } }, []),
  once('empty/from-with-ports', { 'x:p': { podSelector: A, ingress: [{ from: [], ports: [tcp(80)] }] } }, [
    '- * > x/a',
    '+ * > x/a TCP 80',
  ]),
  once('empty/ingress-ports', { 'x:p': { podSelector: A, ingress: [{ from: [fromPods(pod('b'))], ports: [] }] } }, [
    '- * > x/a',
    '+ x/b > x/a',
  ]),
  once('empty/peer-pod-selector', { 'x:p': into(A, [fromPods({})]) }, ['- * > x/a', '+ x/* > x/a']),
  once('empty/peer-ns-selector', { 'x:p': into(A, [fromNamespaces({})]) }, []),
  once('empty/peer-pod-selector-of-one-namespace', { 'x:p': into(A, [both(ns('y'), {})]) }, [
    '- * > x/a',
    '+ y/* > x/a',
  ]),
  once('empty/peer-pod-selector-missing', { 'x:p': into(A, [{ namespaceSelector: ns('y') }]) }, [
    '- * > x/a',
    '+ y/* > x/a',
  ]),
  once('empty/no-egress-rules', { 'x:d': denyEgress(A) }, ['- x/a > *,out/*,far/*'], 'outside'),
  once('empty/list-of-egress-rules', { 'x:d': { podSelector: A, policyTypes: ['Egress'], egress: [] } }, ['- x/a > *']),
  once(
    'empty/egress-rule',
    { 'x:p': { podSelector: A, policyTypes: ['Egress'], egress: [{}] } },
    [],
    'outside',
    'stranger',
    'node',
  ),
  once('empty/to', { 'x:p': { podSelector: A, policyTypes: ['Egress'], egress: [{ to: [] }] } }, [], 'outside'),
  once(
    'empty/egress-ports',
    { 'x:p': { podSelector: A, policyTypes: ['Egress'], egress: [{ to: [fromPods(pod('b'))], ports: [] }] } },
    ['- x/a > *', '+ x/a > x/b'],
  ),
];

export const labelCases: readonly Case[] = [...operatorCases, ...emptyCases];
