/** policyTypes, said and left out; policies that add up; egress and ingress that both have a say; what no policy takes away. Data. */
import { type Case, once } from '../case.ts';
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
  sctp,
  tcp,
  udp,
} from '../policy-input.ts';

const A = pod('a');
const toY = [{ to: [fromNamespaces(ns('y'))] }];
const fromY = [{ from: [fromNamespaces(ns('y'))] }];
const EVERYWHERE = '*,out/*,far/*';

const typeCases: readonly Case[] = [
  once('types/missing-without-rules', { 'x:p': { podSelector: A } }, ['- * > x/a'], 'outside'),
  once(
    'types/missing-with-ingress',
    { 'x:p': { podSelector: A, ingress: fromY } },
    ['- * > x/a', '+ y/* > x/a'],
    'outside',
  ),
  once(
    'types/missing-with-egress',
    { 'x:p': { podSelector: A, egress: toY } },
    ['- * > x/a', `- x/a > ${EVERYWHERE}`, '+ x/a > y/*'],
    'outside',
  ),
  once('types/missing-with-both', { 'x:p': { podSelector: A, ingress: fromY, egress: toY } }, [
    '- * > x/a',
    '- x/a > *',
    '+ y/* > x/a',
    '+ x/a > y/*',
  ]),
  once(
    'types/missing-with-an-empty-egress-rule',
    { 'x:p': { podSelector: A, egress: [{}] } },
    ['- * > x/a'],
    'outside',
  ),
  once('types/missing-with-no-egress-rule', { 'x:p': { podSelector: A, egress: [] } }, ['- * > x/a'], 'outside'),
  once('types/empty-list', { 'x:p': { podSelector: A, policyTypes: [], egress: toY } }, [
    '- * > x/a',
    '- x/a > *',
    '+ x/a > y/*',
  ]),
  once(
    'types/ingress-alone-ignores-egress-rules',
    { 'x:p': { podSelector: A, policyTypes: ['Ingress'], ingress: fromY, egress: toY } },
    ['- * > x/a', '+ y/* > x/a'],
  ),
  once(
    'types/egress-alone-ignores-ingress-rules',
    { 'x:p': { podSelector: A, policyTypes: ['Egress'], ingress: fromY, egress: toY } },
    ['- x/a > *', '+ x/a > y/*'],
  ),
  once(
    'types/egress-alone',
    { 'x:p': { podSelector: A, policyTypes: ['Egress'] } },
    [`- x/a > ${EVERYWHERE}`],
    'outside',
  ),
  once(
    'types/both-without-rules',
    { 'x:p': { podSelector: A, policyTypes: ['Ingress', 'Egress'] } },
    ['- * > x/a', `- x/a > ${EVERYWHERE}`],
    'outside',
  ),
  once(
    'types/both-the-other-way-round',
    { 'x:p': { podSelector: A, policyTypes: ['Egress', 'Ingress'], ingress: fromY } },
    ['- * > x/a', '- x/a > *', '+ y/* > x/a'],
  ),
];

const unionCases: readonly Case[] = [
  once('union/two-peers', { 'x:b': into(A, [fromPods(pod('b'))]), 'x:c': into(A, [fromPods(pod('c'))]) }, [
    '- * > x/a',
    '+ x/b,x/c > x/a',
  ]),
  once('union/deny-and-allow', { 'x:deny': denyIngress(ALL), 'x:allow': into(A, [fromNamespaces(ns('y'))]) }, [
    '- * > x/*',
    '+ y/* > x/a',
  ]),
  once('union/allow-everything-and-deny', { 'x:deny': denyIngress(ALL), 'x:allow': into(A) }, ['- * > x/b,x/c']),
  once('union/ports', { 'x:one': into(A, [], [tcp(80)]), 'x:two': into(A, [], [udp(81)]) }, [
    '- * > x/a',
    '+ * > x/a TCP 80',
    '+ * > x/a UDP 81',
  ]),
  once(
    'union/peers-and-ports-do-not-cross',
    { 'x:b': into(A, [fromPods(pod('b'))], [tcp(80)]), 'x:c': into(A, [fromPods(pod('c'))], [tcp(81)]) },
    ['- * > x/a', '+ x/b > x/a TCP 80', '+ x/c > x/a TCP 81'],
  ),
  once(
    'union/rules-of-one-policy-do-not-cross',
    {
      'x:p': {
        podSelector: A,
        ingress: [
          { from: [fromNamespaces(ns('y'))], ports: [udp(80)] },
          { from: [fromNamespaces(ns('z'))], ports: [sctp(81)] },
        ],
      },
    },
    ['- * > x/a', '+ y/* > x/a UDP 80', '+ z/* > x/a SCTP 81'],
  ),
  once(
    'union/three-policies',
    {
      'x:one': into(pod('a', 'b'), [fromPods(pod('c'))]),
      'x:two': into(pod('b', 'c'), [fromNamespaces(ns('y'))]),
      'x:three': into(A, [fromNamespaces(ns('z'))], [tcp(80)]),
    },
    ['- * > x/*', '+ x/c > x/a,x/b', '+ y/* > x/b,x/c', '+ z/* > x/a TCP 80'],
  ),
  once('union/egress', { 'x:y': outOf(A, [fromNamespaces(ns('y'))]), 'x:z': outOf(A, [fromNamespaces(ns('z'))]) }, [
    '- x/a > *',
    '+ x/a > y/*,z/*',
  ]),
  once(
    'union/one-for-each-direction',
    { 'x:in': into(A, [fromPods(pod('b'))]), 'x:out': outOf(A, [fromPods(pod('c'))]) },
    ['- * > x/a', '- x/a > *', '+ x/b > x/a', '+ x/a > x/c'],
  ),
  once('union/the-same-twice', { 'x:one': into(A, [fromPods(pod('b'))]), 'x:two': into(A, [fromPods(pod('b'))]) }, [
    '- * > x/a',
    '+ x/b > x/a',
  ]),
];

const egressCases: readonly Case[] = [
  once('egress/none', { 'x:d': denyEgress(ALL) }, [`- x/* > ${EVERYWHERE}`], 'outside', 'node'),
  once('egress/to-one', { 'x:p': outOf(A, [fromPods(pod('b'))]) }, [`- x/a > ${EVERYWHERE}`, '+ x/a > x/b'], 'outside'),
  once('egress/to-a-namespace', { 'x:p': outOf(A, [fromNamespaces(ns('y'))]) }, ['- x/a > *', '+ x/a > y/*']),
  once('egress/to-pods-of-a-namespace', { 'x:p': outOf(A, [both(ns('y', 'z'), pod('b'))]) }, [
    '- x/a > *',
    '+ x/a > y/b,z/b',
  ]),
  once('egress/whole-namespace-to-itself', { 'x:p': outOf(ALL, [fromPods(ALL)]) }, ['- x/* > *', '+ x/* > x/*']),
  once(
    'egress/to-the-tenant-is-not-outside',
    { 'x:p': outOf(ALL, [fromNamespaces(ALL)]) },
    ['- x/* > out/*,far/*'],
    'outside',
    'stranger',
    'node',
  ),
  once(
    'egress/both-ends-agree',
    { 'x:p': outOf(A, [both(ns('y'), pod('b'))]), 'y:p': into(pod('b'), [both(ns('x'), pod('a'))]) },
    ['- x/a > *', '- * > y/b', '+ x/a > y/b'],
  ),
  once('egress/allowed-out-and-not-in', { 'x:p': outOf(A, [fromNamespaces(ns('y'))]), 'y:p': denyIngress(pod('b')) }, [
    '- x/a > *',
    '+ x/a > y/*',
    '- * > y/b',
  ]),
  once('egress/allowed-in-and-not-out', { 'x:p': denyEgress(A), 'y:p': into(ALL, [fromNamespaces(ns('x'))]) }, [
    '- * > y/*',
    '+ x/* > y/*',
    '- x/a > *',
  ]),
  once(
    'egress/ports-of-both-ends',
    { 'x:p': outOf(A, [], [tcp(80), udp(80)]), 'y:p': into(ALL, [], [tcp(80), tcp(81)]) },
    ['- x/a > *', '+ x/a > * TCP 80', '+ x/a > * UDP 80', '- * > y/*', '+ * > y/* TCP', '- x/a > y/* TCP 81'],
  ),
  once('egress/protocols-that-never-meet', { 'x:p': outOf(ALL, [], [udp()]), 'y:p': into(ALL, [], [sctp()]) }, [
    '- x/* > *',
    '+ x/* > * UDP',
    '- * > y/*',
    '+ y/*,z/* > y/* SCTP',
  ]),
  once(
    'egress/namespaces-closed-both-ways',
    {
      'x:p': {
        podSelector: ALL,
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [fromPods(ALL)] }],
        egress: [{ to: [fromPods(ALL)] }],
      },
    },
    ['- * > x/*', `- x/* > ${EVERYWHERE}`, '+ x/* > x/*'],
    'outside',
  ),
];

const alwaysCases: readonly Case[] = [
  once('always/itself-in', { 'x:d': denyIngress(ALL) }, ['- * > x/*']),
  once('always/itself-out', { 'x:d': denyEgress(ALL) }, ['- x/* > *']),
  once(
    'always/itself-when-all-is-closed',
    Object.fromEntries(
      ['x', 'y', 'z'].map((each) => [`${each}:d`, { podSelector: ALL, policyTypes: ['Ingress', 'Egress'] } as const]),
    ),
    ['- * > *,out/*,far/*'],
    'outside',
  ),
  once('always/replies-of-who-may-not-call', { 'x:d': denyEgress(A) }, ['- x/a > *']),
  once('always/answers-to-a-closed-pod', { 'x:d': denyIngress(A) }, ['- * > x/a'], 'outside'),
  once('always/replies-both-ways', { 'x:in': denyIngress(A), 'y:out': denyEgress(ALL) }, ['- * > x/a', '- y/* > *']),
];

export const typeAndUnionCases: readonly Case[] = [...typeCases, ...unionCases, ...egressCases, ...alwaysCases];
