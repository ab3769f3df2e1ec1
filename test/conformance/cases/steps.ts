/** Things that change while pods run: policies, labels of pods and of namespaces; each in force with the answer. Data. */
import { type Case, drop, label, labelNamespace, put, several, step } from '../case.ts';
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
  udp,
  where,
} from '../policy-input.ts';

const A = pod('a');

const policyCases: readonly Case[] = [
  several('policy-changes/comes-and-goes', [
    step([], []),
    step([put('x:d', denyIngress(ALL))], ['- * > x/*']),
    step([drop('x:d')], []),
  ]),
  several('policy-changes/target', [
    step([put('x:d', denyIngress(A))], ['- * > x/a']),
    step([put('x:d', denyIngress(pod('b')))], ['- * > x/b']),
    step([put('x:d', denyIngress(ALL))], ['- * > x/*']),
  ]),
  several('policy-changes/peers', [
    step([put('x:p', into(A, [fromPods(pod('b'))]))], ['- * > x/a', '+ x/b > x/a']),
    step([put('x:p', into(A, [fromNamespaces(ns('y'))]))], ['- * > x/a', '+ y/* > x/a']),
    step([put('x:p', into(A))], []),
    step([put('x:p', into(A, [both(ns('z'), pod('c'))]))], ['- * > x/a', '+ z/c > x/a']),
  ]),
  several('policy-changes/ports', [
    step([put('x:p', into(A, [], [tcp(80)]))], ['- * > x/a', '+ * > x/a TCP 80']),
    step([put('x:p', into(A, [], [tcp(80), udp(80)]))], ['- * > x/a', '+ * > x/a TCP 80', '+ * > x/a UDP 80']),
    step([put('x:p', into(A, [], [udp(81)]))], ['- * > x/a', '+ * > x/a UDP 81']),
  ]),
  several('policy-changes/direction', [
    step([put('x:p', denyIngress(A))], ['- * > x/a']),
    step([put('x:p', denyEgress(A))], ['- x/a > *']),
    step([put('x:p', { podSelector: A, policyTypes: ['Ingress', 'Egress'] })], ['- * > x/a', '- x/a > *']),
  ]),
  several('policy-changes/one-of-two-goes', [
    step(
      [put('x:b', into(A, [fromPods(pod('b'))])), put('x:y', into(A, [fromNamespaces(ns('y'))]))],
      ['- * > x/a', '+ x/b,y/* > x/a'],
    ),
    step([drop('x:b')], ['- * > x/a', '+ y/* > x/a']),
    step([drop('x:y')], []),
  ]),
  several('policy-changes/deny-lifted-by-an-allow', [
    step([put('x:d', denyIngress(ALL))], ['- * > x/*']),
    step([put('x:p', into(A))], ['- * > x/b,x/c']),
    step([drop('x:d')], []),
  ]),
  several('policy-changes/many-at-once', [
    step(
      [...'abcdefgh'].map((name) => put(`x:${name}`, into(A, [fromPods(pod(name))]))),
      ['- * > x/a', '+ x/b,x/c > x/a'],
    ),
    step(
      [...'cdefgh'].map((name) => drop(`x:${name}`)),
      ['- * > x/a', '+ x/b > x/a'],
    ),
  ]),
];

const podLabelCases: readonly Case[] = [
  several('pod-labels/peer-gains', [
    step([put('x:p', into(A, [fromPods({ matchLabels: { role: 'client' } })]))], ['- * > x/a']),
    step([label('x/b', { pod: 'b', role: 'client' })], ['- * > x/a', '+ x/b > x/a']),
    step([label('x/c', { role: 'client' })], ['- * > x/a', '+ x/b,x/c > x/a']),
    step([label('x/b', { pod: 'b' })], ['- * > x/a', '+ x/c > x/a']),
  ]),
  several('pod-labels/target-gains', [
    step([put('x:d', denyIngress({ matchLabels: { closed: 'yes' } }))], []),
    step([label('x/c', { pod: 'c', closed: 'yes' })], ['- * > x/c']),
    step([label('x/c', { pod: 'c', closed: 'no' })], []),
  ]),
  several('pod-labels/two-swap', [
    step([put('x:p', into(A, [fromPods(pod('b'))]))], ['- * > x/a', '+ x/b > x/a']),
    step([label('x/b', { pod: 'c' }), label('x/c', { pod: 'b' })], ['- * > x/a', '+ x/c > x/a']),
  ]),
  several('pod-labels/abroad', [
    step([put('x:p', into(ALL, [both(ALL, where('role', 'In', 'client'))]))], ['- * > x/*']),
    step([label('y/a', { role: 'client' }), label('z/a', { role: 'client' })], ['- * > x/*', '+ y/a,z/a > x/*']),
    step([label('y/a', {})], ['- * > x/*', '+ z/a > x/*']),
  ]),
  several('pod-labels/egress-destination', [
    step([put('x:p', outOf(A, [both(ALL, { matchLabels: { role: 'server' } })]))], ['- x/a > *']),
    step([label('y/b', { role: 'server' })], ['- x/a > *', '+ x/a > y/b']),
    step([label('y/b', { role: 'none' }), label('z/c', { role: 'server' })], ['- x/a > *', '+ x/a > z/c']),
  ]),
  several('pod-labels/egress-source', [
    step([put('x:d', denyEgress(where('quiet', 'Exists')))], []),
    step([label('x/b', { quiet: '' })], ['- x/b > *']),
    step([label('x/b', { pod: 'b' })], []),
  ]),
  several('pod-labels/not-in-and-does-not-exist', [
    step(
      [put('x:p', into(A, [fromPods(where('role', 'NotIn', 'bad')), fromNamespaces(ns('w'))]))],
      ['- * > x/a', '+ x/* > x/a'],
    ),
    step([label('x/b', { role: 'bad' })], ['- * > x/a', '+ x/c > x/a']),
    step([label('x/b', { role: 'good' })], ['- * > x/a', '+ x/* > x/a']),
    step([put('x:p', into(A, [fromPods(where('role', 'DoesNotExist'))]))], ['- * > x/a', '+ x/c > x/a']),
  ]),
  several('pod-labels/policy-and-label-in-turn', [
    step([label('x/a', { pod: 'a', app: 'db' })], []),
    step([put('x:d', denyIngress({ matchLabels: { app: 'db' } }))], ['- * > x/a']),
    step([label('x/b', { pod: 'b', app: 'db' })], ['- * > x/a,x/b']),
    step(
      [label('x/a', { pod: 'a' }), put('x:p', into({ matchLabels: { app: 'db' } }, [fromPods(A)]))],
      ['- * > x/b', '+ x/a > x/b'],
    ),
  ]),
];

const namespaceLabelCases: readonly Case[] = [
  several('ns-labels/gains', [
    step([put('x:p', into(A, [fromNamespaces({ matchLabels: { team: 'one' } })]))], ['- * > x/a']),
    step([labelNamespace('y', { ns: 'y', team: 'one' })], ['- * > x/a', '+ y/* > x/a']),
    step([labelNamespace('z', { team: 'one' })], ['- * > x/a', '+ y/*,z/* > x/a']),
    step([labelNamespace('y', { ns: 'y', team: 'two' })], ['- * > x/a', '+ z/* > x/a']),
    step([labelNamespace('z', {})], ['- * > x/a']),
  ]),
  several('ns-labels/with-pods', [
    step([put('x:p', into(A, [both({ matchLabels: { team: 'one' } }, pod('b'))]))], ['- * > x/a']),
    step([labelNamespace('y', { team: 'one' })], ['- * > x/a', '+ y/b > x/a']),
    step([label('y/b', { pod: 'x' }), label('y/c', { pod: 'b' })], ['- * > x/a', '+ y/c > x/a']),
  ]),
  several('ns-labels/egress', [
    step([put('x:p', outOf(ALL, [fromNamespaces(where('open', 'Exists'))]))], ['- x/* > *']),
    step([labelNamespace('z', { open: 'yes' })], ['- x/* > *', '+ x/* > z/*']),
    step([labelNamespace('x', { open: 'yes' })], ['- x/* > *', '+ x/* > x/*,z/*']),
  ]),
  several('ns-labels/two-swap', [
    step([put('x:p', into(A, [fromNamespaces(ns('y'))]))], ['- * > x/a', '+ y/* > x/a']),
    step([labelNamespace('y', { ns: 'z' }), labelNamespace('z', { ns: 'y' })], ['- * > x/a', '+ z/* > x/a']),
  ]),
  several('ns-labels/the-name-stays', [
    step(
      [put('x:p', into(A, [fromNamespaces({ matchLabels: { 'kubernetes.io/metadata.name': 'y' } })]))],
      ['- * > x/a', '+ y/* > x/a'],
    ),
    step([labelNamespace('y', { anything: 'else' })], ['- * > x/a', '+ y/* > x/a']),
  ]),
];

export const changeCases: readonly Case[] = [...policyCases, ...podLabelCases, ...namespaceLabelCases];
