/** Pods and namespaces that come and go, peerings, and flows that were open when what allowed them went. Data. */
import {
  askPeering,
  attach,
  type Case,
  detach,
  drop,
  dropNamespace,
  label,
  labelNamespace,
  openFlow,
  put,
  several,
  step,
  takeBackPeering,
} from '../case.ts';
import {
  ALL,
  block,
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
} from '../policy-input.ts';

const A = pod('a');

const podCases: readonly Case[] = [
  several('pods/peer-goes-and-comes-back', [
    step([put('x:p', into(A, [fromPods(pod('b'))])), detach('x/b')], ['- * > x/a']),
    step([attach({ name: 'x/b' })], ['- * > x/a', '+ x/b > x/a']),
  ]),
  several('pods/target-goes-and-comes-back', [
    step([put('x:d', denyIngress(A)), detach('x/a')], []),
    step([attach({ name: 'x/a' })], ['- * > x/a']),
  ]),
  several('pods/new-peer', [
    step([put('x:p', into(A, [fromPods({ matchLabels: { role: 'client' } })]))], ['- * > x/a']),
    step([attach({ name: 'x/d', host: 'node1', labels: { role: 'client' } })], ['- * > x/a', '+ x/d > x/a']),
    step([attach({ name: 'x/e', host: 'node2', labels: { role: 'client' } })], ['- * > x/a', '+ x/d,x/e > x/a']),
    step([detach('x/d')], ['- * > x/a', '+ x/e > x/a']),
  ]),
  several('pods/new-target', [
    step([put('x:d', denyIngress({ matchLabels: { closed: 'yes' } }))], []),
    step([attach({ name: 'x/d', host: 'node2', labels: { closed: 'yes' } })], ['- * > x/d']),
  ]),
  several('pods/new-one-with-named-ports', [
    step([put('x:p', into(ALL, [], [tcp('web')]))], ['- * > x/*', '+ * > x/a TCP 80', '+ * > x/b TCP 81']),
    step(
      [attach({ name: 'x/d', host: 'node1', ports: [{ name: 'web', containerPort: 81, protocol: 'TCP' }] })],
      ['- * > x/*', '+ * > x/a TCP 80', '+ * > x/b,x/d TCP 81'],
    ),
  ]),
  several('pods/moves-to-the-other-host', [
    step(
      [put('x:p', into(A, [fromPods(pod('b'))])), detach('x/a'), attach({ name: 'x/a', host: 'node2' })],
      ['- * > x/a', '+ x/b > x/a'],
    ),
    step([detach('x/b'), attach({ name: 'x/b', host: 'node1' })], ['- * > x/a', '+ x/b > x/a']),
  ]),
  several('pods/comes-back-with-other-labels', [
    step([put('x:p', into(A, [fromPods(pod('b'))]))], ['- * > x/a', '+ x/b > x/a']),
    step([detach('x/b'), attach({ name: 'x/b', labels: { pod: 'stranger' } })], ['- * > x/a']),
  ]),
  several('pods/without-any-label', [
    step(
      [put('x:p', outOf(ALL, [both(ns('y'), A)])), attach({ name: 'x/d', host: 'node2' })],
      ['- x/* > *', '+ x/* > y/a'],
    ),
  ]),
];

const namespaceCases: readonly Case[] = [
  several('namespaces/new-peer', [
    step([put('x:p', into(A, [fromNamespaces(ns('w'))]))], ['- * > x/a']),
    step([labelNamespace('w', { ns: 'w' }), attach({ name: 'w/a', host: 'node2' })], ['- * > x/a', '+ w/a > x/a']),
    step([labelNamespace('w', {})], ['- * > x/a']),
  ]),
  several('namespaces/new-target', [
    step([labelNamespace('w', { ns: 'w' }), put('w:d', into(ALL, [fromNamespaces(ns('y'))]))], []),
    step(
      [attach({ name: 'w/a', host: 'node1' }), attach({ name: 'w/b', host: 'node2' })],
      ['- * > w/*', '+ y/* > w/*'],
    ),
    step([drop('w:d')], []),
  ]),
  several('namespaces/goes-and-comes-back', [
    step([put('x:p', into(A, [fromNamespaces(ns('w'))])), labelNamespace('w', { ns: 'w' })], ['- * > x/a']),
    step([attach({ name: 'w/a', host: 'node1' })], ['- * > x/a', '+ w/a > x/a']),
    step([detach('w/a'), dropNamespace('w')], ['- * > x/a']),
    step([labelNamespace('w', { ns: 'other' }), attach({ name: 'w/a', host: 'node1' })], ['- * > x/a']),
  ]),
];

const peeringCases: readonly Case[] = [
  several(
    'peering/without-policies',
    [
      step([askPeering('own')], []),
      step([askPeering('peer')], ['+ * > p/*', '+ p/* > *']),
      step([takeBackPeering('peer')], []),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/pod-selectors-end-at-the-namespace',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', into(ALL, [fromPods(ALL)]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/*', '+ x/* > x/*'],
      ),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/namespace-selectors-see-the-peer-while-in-force',
    [
      step([put('x:p', into(A, [fromNamespaces(ns('y'))]))], ['- * > x/a', '+ y/* > x/a']),
      step([askPeering('own', 'peer')], ['+ * > p/*', '+ p/* > *', '- * > x/a', '+ y/*,p/* > x/a']),
      step([takeBackPeering('own')], ['- * > x/a', '+ y/* > x/a']),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/both-selectors',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', into(A, [both(ns('y'), pod('b'))]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a', '+ y/b,p/b > x/a'],
      ),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/closed-to-all',
    [
      step(
        [askPeering('own', 'peer'), put('x:d', denyIngress(ALL)), put('y:d', denyEgress(ALL))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/*', '- y/* > *,p/*'],
      ),
    ],
    'peer',
  ),
  several(
    'peering/an-empty-rule-lets-the-peer-in',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', into(A, [], [tcp(80)]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a', '+ *,p/* > x/a TCP 80'],
      ),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/policies-of-the-peer',
    [
      step(
        [askPeering('own', 'peer'), put('p:p', into(A, [both(ns('x'), pod('b'))], [udp(81)]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > p/a', '+ x/b > p/a UDP 81'],
      ),
    ],
    'peer',
  ),
  several(
    'peering/blocks-cover-the-peer',
    [
      step([put('x:p', ({ ip }) => into(A, [block(`${ip('p/b')}/32`)]))], ['- * > x/a']),
      step([askPeering('own', 'peer')], ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a', '+ p/b > x/a']),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/egress-to-the-peer',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', outOf(ALL, [both(ALL, A)]))],
        ['+ * > p/*', '+ p/* > *', '- x/* > *,p/*', '+ x/* > x/a,y/a,z/a,p/a'],
      ),
    ],
    'peer',
    'stranger',
  ),
  several(
    'peering/named-ports-of-the-peer',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', outOf(A, [], [tcp('web')]))],
        ['+ * > p/*', '+ p/* > *', '- x/a > *,p/*', '+ x/a > y/a,z/a,p/a TCP 80', '+ x/a > x/b,y/b,z/b,p/b TCP 81'],
      ),
    ],
    'peer',
  ),
  several(
    'peering/labels-of-the-peer-change',
    [
      step(
        [askPeering('own', 'peer'), put('x:p', into(A, [both(ALL, { matchLabels: { role: 'client' } })]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a'],
      ),
      step([label('p/b', { role: 'client' })], ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a', '+ p/b > x/a']),
      step(
        [labelNamespace('p', { ns: 'q' }), put('x:p', into(A, [both(ns('y'), ALL)]))],
        ['+ * > p/*', '+ p/* > *', '- *,p/* > x/a', '+ y/* > x/a'],
      ),
    ],
    'peer',
  ),
];

const bothFlows = (from: string, to: string) => [
  openFlow('tcp', `${from} > ${to}`, 'tcp'),
  openFlow('udp', `${from} > ${to}`, 'udp'),
];
const SILENT = { tcp: 'silent', udp: 'silent' } as const;
const RUNS = { tcp: 'runs', udp: 'runs' } as const;

const flowCases: readonly Case[] = [
  several('flows/ingress-closes', [
    step(bothFlows('x/b', 'x/a'), [], RUNS),
    step([put('x:d', denyIngress(A))], ['- * > x/a'], SILENT),
  ]),
  several('flows/egress-closes', [
    step(bothFlows('x/a', 'y/a'), [], RUNS),
    step([put('x:d', denyEgress(A))], ['- x/a > *'], SILENT),
  ]),
  several('flows/on-one-host', [
    step(bothFlows('x/a', 'x/c'), [], RUNS),
    step([put('x:d', denyIngress(ALL))], ['- * > x/*'], SILENT),
  ]),
  several('flows/allowed-ones-go-on', [
    step(bothFlows('y/b', 'x/a'), [], RUNS),
    step([put('x:p', into(A, [fromNamespaces(ns('y'))]))], ['- * > x/a', '+ y/* > x/a'], RUNS),
    step([put('x:d', denyIngress(ALL))], ['- * > x/*', '+ y/* > x/a'], RUNS),
  ]),
  several('flows/replies-go-on', [
    step(bothFlows('x/b', 'x/a'), [], RUNS),
    step([put('x:d', denyEgress(A))], ['- x/a > *'], RUNS),
  ]),
  several('flows/policy-goes', [
    step([put('x:p', into(A, [fromPods(pod('b'))])), ...bothFlows('x/b', 'x/a')], ['- * > x/a', '+ x/b > x/a'], RUNS),
    step([put('x:d', denyIngress(A)), drop('x:p')], ['- * > x/a'], SILENT),
  ]),
  several('flows/label-goes', [
    step([put('x:p', into(A, [fromPods(pod('b'))])), ...bothFlows('x/b', 'x/a')], ['- * > x/a', '+ x/b > x/a'], RUNS),
    step([label('x/b', { pod: 'other' })], ['- * > x/a'], SILENT),
  ]),
  several('flows/namespace-label-goes', [
    step(
      [put('x:p', into(A, [fromNamespaces(ns('y'))])), ...bothFlows('y/b', 'x/a')],
      ['- * > x/a', '+ y/* > x/a'],
      RUNS,
    ),
    step([labelNamespace('y', {})], ['- * > x/a'], SILENT),
  ]),
  several(
    'flows/peering-goes',
    [
      step([askPeering('own', 'peer'), ...bothFlows('p/b', 'x/a')], ['+ * > p/*', '+ p/* > *'], RUNS),
      step([takeBackPeering('own')], [], SILENT),
    ],
    'peer',
  ),
];

export const lifeCases: readonly Case[] = [...podCases, ...namespaceCases, ...peeringCases, ...flowCases];
