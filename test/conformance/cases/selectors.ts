/** Which pods a policy selects and which it lets in: by pods, by namespaces, by both at once; the tenant's own, no others. Data. */
import { type Case, once } from '../case.ts';
import { ALL, both, denyIngress, fromNamespaces, fromPods, into, ns, pod, where } from '../policy-input.ts';

const A = pod('a');
const named = (...names: readonly string[]) => where('kubernetes.io/metadata.name', 'In', ...names);

const podSelectorCases: readonly Case[] = [
  once('pod-selector/target-all', { 'x:deny': denyIngress(ALL) }, ['- * > x/*']),
  once('pod-selector/target-one', { 'x:deny': denyIngress(A) }, ['- * > x/a']),
  once('pod-selector/target-two', { 'x:deny': denyIngress(pod('a', 'b')) }, ['- * > x/a,x/b']),
  once('pod-selector/target-none', { 'x:deny': denyIngress(pod('absent')) }, []),
  once('pod-selector/target-by-another-label', { 'x:deny': denyIngress({ matchLabels: { tier: 'front' } }) }, [
    '- * > x/a',
  ]),
  once('pod-selector/target-two-labels', { 'x:deny': denyIngress({ matchLabels: { pod: 'b', tier: 'back' } }) }, [
    '- * > x/b',
  ]),
  once(
    'pod-selector/target-two-labels-of-different-pods',
    { 'x:deny': denyIngress({ matchLabels: { pod: 'a', tier: 'back' } }) },
    [],
  ),
  once('pod-selector/every-namespace', { 'x:d': denyIngress(ALL), 'y:d': denyIngress(ALL), 'z:d': denyIngress(ALL) }, [
    '- * > *',
  ]),
  once('pod-selector/from-one', { 'x:allow': into(A, [fromPods(pod('b'))]) }, ['- * > x/a', '+ x/b > x/a']),
  once('pod-selector/from-two-peers', { 'x:allow': into(A, [fromPods(pod('b')), fromPods(pod('c'))]) }, [
    '- * > x/a',
    '+ x/b,x/c > x/a',
  ]),
  once('pod-selector/from-own-namespace', { 'x:allow': into(A, [fromPods(ALL)]) }, ['- * > x/a', '+ x/* > x/a']),
  once('pod-selector/from-none', { 'x:allow': into(A, [fromPods(pod('absent'))]) }, ['- * > x/a']),
  once('pod-selector/from-its-namesakes', { 'x:allow': into(A, [fromPods(A)]) }, ['- * > x/a']),
  once('pod-selector/whole-namespace-from-one', { 'x:allow': into(ALL, [fromPods(pod('b'))]) }, [
    '- * > x/*',
    '+ x/b > x/*',
  ]),
  once(
    'pod-selector/same-policy-in-two-namespaces',
    { 'x:allow': into(A, [fromPods(pod('b'))]), 'y:allow': into(A, [fromPods(pod('b'))]) },
    ['- * > x/a,y/a', '+ x/b > x/a', '+ y/b > y/a'],
  ),
  once(
    'pod-selector/each-namespace-by-itself',
    Object.fromEntries(['x', 'y', 'z'].map((each) => [`${each}:own`, into(ALL, [fromPods(ALL)])])),
    ['- * > *', '+ x/* > x/*', '+ y/* > y/*', '+ z/* > z/*'],
  ),
];

const namespaceSelectorCases: readonly Case[] = [
  once('ns-selector/one', { 'x:allow': into(A, [fromNamespaces(ns('y'))]) }, ['- * > x/a', '+ y/* > x/a']),
  once('ns-selector/own', { 'x:allow': into(A, [fromNamespaces(ns('x'))]) }, ['- * > x/a', '+ x/* > x/a']),
  once('ns-selector/two-values', { 'x:allow': into(A, [fromNamespaces(ns('y', 'z'))]) }, [
    '- * > x/a',
    '+ y/*,z/* > x/a',
  ]),
  once('ns-selector/two-peers', { 'x:allow': into(A, [fromNamespaces(ns('y')), fromNamespaces(ns('z'))]) }, [
    '- * > x/a',
    '+ y/*,z/* > x/a',
  ]),
  once('ns-selector/all-of-the-tenant', { 'x:allow': into(A, [fromNamespaces(ALL)]) }, [], 'stranger', 'peer'),
  once('ns-selector/none', { 'x:allow': into(A, [fromNamespaces(ns('w'))]) }, ['- * > x/a']),
  once('ns-selector/by-its-name', { 'x:allow': into(A, [fromNamespaces(named('y'))]) }, ['- * > x/a', '+ y/* > x/a']),
  once('ns-selector/by-two-names', { 'x:allow': into(A, [fromNamespaces(named('x', 'z'))]) }, [
    '- * > x/a',
    '+ x/*,z/* > x/a',
  ]),
  once('ns-selector/in', { 'x:allow': into(A, [fromNamespaces(where('env', 'In', 'prod', 'test'))]) }, [
    '- * > x/a',
    '+ x/*,y/* > x/a',
  ]),
  once('ns-selector/not-in', { 'x:allow': into(A, [fromNamespaces(where('env', 'NotIn', 'prod'))]) }, [
    '- * > x/a',
    '+ y/*,z/* > x/a',
  ]),
  once('ns-selector/exists', { 'x:allow': into(A, [fromNamespaces(where('env', 'Exists'))]) }, [
    '- * > x/a',
    '+ x/*,y/* > x/a',
  ]),
  once('ns-selector/does-not-exist', { 'x:allow': into(A, [fromNamespaces(where('env', 'DoesNotExist'))]) }, [
    '- * > x/a',
    '+ z/* > x/a',
  ]),
  once(
    'ns-selector/two-labels-of-different-namespaces',
    { 'x:allow': into(A, [fromNamespaces({ matchLabels: { ns: 'y', env: 'prod' } })]) },
    ['- * > x/a'],
  ),
  once('ns-selector/whole-namespace', { 'x:allow': into(ALL, [fromNamespaces(ns('z'))]) }, [
    '- * > x/*',
    '+ z/* > x/*',
  ]),
  once(
    'ns-selector/strangers-have-these-labels-too',
    { 'x:allow': into(A, [fromNamespaces(ns('y'))]) },
    ['- * > x/a', '+ y/* > x/a'],
    'stranger',
    'peer',
  ),
];

const bothCases: readonly Case[] = [
  once('both/one-pod', { 'x:allow': into(A, [both(ns('y'), pod('b'))]) }, ['- * > x/a', '+ y/b > x/a']),
  once('both/apart-is-either', { 'x:allow': into(A, [fromNamespaces(ns('y')), fromPods(pod('b'))]) }, [
    '- * > x/a',
    '+ y/*,x/b > x/a',
  ]),
  once('both/pods-of-every-namespace', { 'x:allow': into(A, [both(ALL, pod('b'))]) }, [
    '- * > x/a',
    '+ x/b,y/b,z/b > x/a',
  ]),
  once('both/every-pod-of-one', { 'x:allow': into(A, [both(ns('y'), ALL)]) }, ['- * > x/a', '+ y/* > x/a']),
  once('both/everything', { 'x:allow': into(A, [both(ALL, ALL)]) }, [], 'stranger', 'peer'),
  once('both/none-there', { 'x:allow': into(A, [both(ns('y'), pod('absent'))]) }, ['- * > x/a']),
  once('both/two-of-them', { 'x:allow': into(A, [both(ns('y'), pod('a')), both(ns('z'), pod('c'))]) }, [
    '- * > x/a',
    '+ y/a,z/c > x/a',
  ]),
  once('both/by-expressions', { 'x:allow': into(A, [both(where('env', 'DoesNotExist'), where('tier', 'Exists'))]) }, [
    '- * > x/a',
    '+ z/a,z/b > x/a',
  ]),
  once('both/own-namespace-by-name', { 'x:allow': into(A, [both(named('x'), pod('b'))]) }, [
    '- * > x/a',
    '+ x/b > x/a',
  ]),
  once('both/two-by-two', { 'x:allow': into(A, [both(ns('y', 'z'), pod('a', 'c'))]) }, [
    '- * > x/a',
    '+ y/a,y/c,z/a,z/c > x/a',
  ]),
  once(
    'both/strangers-have-these-labels-too',
    { 'x:allow': into(A, [both(ns('y'), pod('a'))]) },
    ['- * > x/a', '+ y/a > x/a'],
    'stranger',
    'peer',
  ),
];

export const selectorCases: readonly Case[] = [...podSelectorCases, ...namespaceSelectorCases, ...bothCases];
