/** Ports by number, by the name that each destination gives them, by range; of TCP, UDP and SCTP. Data. */
import { type Case, namePorts, once, put, several, step } from '../case.ts';
import { ALL, fromNamespaces, fromPods, into, ns, outOf, pod, sctp, tcp, udp } from '../policy-input.ts';

const A = pod('a');

const numberCases: readonly Case[] = [
  ...(
    [
      ['tcp-80', tcp(80), 'TCP 80'],
      ['tcp-81', tcp(81), 'TCP 81'],
      ['udp-80', udp(80), 'UDP 80'],
      ['udp-81', udp(81), 'UDP 81'],
      ['sctp-80', sctp(80), 'SCTP 80'],
      ['sctp-81', sctp(81), 'SCTP 81'],
      ['all-of-tcp', tcp(), 'TCP'],
      ['all-of-udp', udp(), 'UDP'],
      ['all-of-sctp', sctp(), 'SCTP'],
      ['tcp-unless-said', { port: 80 }, 'TCP 80'],
    ] as const
  ).map(([name, port, allowed]) =>
    once(`ports/${name}`, { 'x:p': into(A, [], [port]) }, ['- * > x/a', `+ * > x/a ${allowed}`]),
  ),
  once('ports/two', { 'x:p': into(A, [], [tcp(80), tcp(81)]) }, ['- * > x/a', '+ * > x/a TCP']),
  once('ports/one-number-of-each-protocol', { 'x:p': into(A, [], [tcp(80), udp(80), sctp(80)]) }, [
    '- * > x/a',
    '+ * > x/a 80',
  ]),
  once('ports/different-numbers', { 'x:p': into(A, [], [tcp(80), udp(81)]) }, [
    '- * > x/a',
    '+ * > x/a TCP 80',
    '+ * > x/a UDP 81',
  ]),
  once('ports/no-listener', { 'x:p': into(A, [], [tcp(8080), udp(1)]) }, ['- * > x/a']),
  once('ports/with-peers', { 'x:p': into(A, [fromPods(pod('b')), fromNamespaces(ns('z'))], [tcp(80), udp()]) }, [
    '- * > x/a',
    '+ x/b,z/* > x/a TCP 80',
    '+ x/b,z/* > x/a UDP',
  ]),
  once('ports/whole-namespace', { 'x:p': into(ALL, [fromNamespaces(ns('y'))], [sctp(81)]) }, [
    '- * > x/*',
    '+ y/* > x/* SCTP 81',
  ]),
  once('ports/each-target-its-own', { 'x:a': into(A, [], [tcp(80)]), 'x:b': into(pod('b'), [], [udp(81)]) }, [
    '- * > x/a,x/b',
    '+ * > x/a TCP 80',
    '+ * > x/b UDP 81',
  ]),
  once('ports/egress', { 'x:p': outOf(A, [], [tcp(81), sctp(80)]) }, [
    '- x/a > *',
    '+ x/a > * TCP 81',
    '+ x/a > * SCTP 80',
  ]),
  once('ports/egress-with-peers', { 'x:p': outOf(A, [fromNamespaces(ns('y'))], [udp(80)]) }, [
    '- x/a > *',
    '+ x/a > y/* UDP 80',
  ]),
  once(
    'ports/egress-by-destination',
    {
      'x:y': outOf(A, [fromNamespaces(ns('y'))], [tcp(80)]),
      'x:z': outOf(A, [fromNamespaces(ns('z'))], [tcp(81), udp()]),
    },
    ['- x/a > *', '+ x/a > y/* TCP 80', '+ x/a > z/* TCP 81', '+ x/a > z/* UDP'],
  ),
];

const nameCases: readonly Case[] = [
  once('named/each-destinations-own', { 'x:p': into(ALL, [], [tcp('web')]) }, [
    '- * > x/*',
    '+ * > x/a TCP 80',
    '+ * > x/b TCP 81',
  ]),
  once('named/tcp', { 'x:p': into(A, [], [tcp('tcp-81')]) }, ['- * > x/a', '+ * > x/a TCP 81']),
  once('named/udp', { 'x:p': into(A, [], [udp('udp-80')]) }, ['- * > x/a', '+ * > x/a UDP 80']),
  once('named/sctp', { 'x:p': into(A, [], [sctp('sctp-81')]) }, ['- * > x/a', '+ * > x/a SCTP 81']),
  once('named/of-another-protocol', { 'x:p': into(A, [], [udp('tcp-80'), tcp('udp-80')]) }, ['- * > x/a']),
  once('named/one-name-of-three-protocols', { 'x:p': into(ALL, [], [udp('mix'), tcp('mix'), sctp('mix')]) }, [
    '- * > x/*',
    '+ * > x/a UDP 80',
    '+ * > x/b TCP 80',
    '+ * > x/c SCTP 80',
  ]),
  once('named/one-name-of-one-protocol', { 'x:p': into(ALL, [], [udp('mix')]) }, ['- * > x/*', '+ * > x/a UDP 80']),
  once('named/no-pod-has-it', { 'x:p': into(A, [], [tcp('metrics')]) }, ['- * > x/a']),
  once('named/beside-a-number', { 'x:p': into(ALL, [], [tcp('web'), tcp(80)]) }, [
    '- * > x/*',
    '+ * > x/* TCP 80',
    '+ * > x/b TCP 81',
  ]),
  once('named/with-peers', { 'x:p': into(ALL, [fromNamespaces(ns('y'))], [tcp('web')]) }, [
    '- * > x/*',
    '+ y/* > x/a TCP 80',
    '+ y/* > x/b TCP 81',
  ]),
  once('named/egress', { 'x:p': outOf(A, [], [tcp('web')]) }, [
    '- x/a > *',
    '+ x/a > y/a,z/a TCP 80',
    '+ x/a > x/b,y/b,z/b TCP 81',
  ]),
  once('named/egress-with-peers', { 'x:p': outOf(ALL, [fromNamespaces(ns('y'))], [tcp('web'), sctp('mix')]) }, [
    '- x/* > *',
    '+ x/* > y/a TCP 80',
    '+ x/* > y/b TCP 81',
    '+ x/* > y/c SCTP 80',
  ]),
  once(
    'named/egress-and-a-number-at-the-other-end',
    { 'x:p': outOf(A, [], [tcp('web')]), 'y:p': into(ALL, [], [tcp(80)]) },
    ['- x/a > *', '+ x/a > z/a TCP 80', '+ x/a > x/b,z/b TCP 81', '- * > y/*', '+ * > y/* TCP 80', '- x/a > y/b,y/c'],
  ),
  several('named/number-that-changes', [
    step([put('x:p', into(A, [], [tcp('web')]))], ['- * > x/a', '+ * > x/a TCP 80']),
    step([namePorts('x/a', [{ name: 'web', containerPort: 81 }])], ['- * > x/a', '+ * > x/a TCP 81']),
    step([namePorts('x/a', [])], ['- * > x/a']),
    step([namePorts('x/a', [{ name: 'web', containerPort: 80, protocol: 'TCP' }])], ['- * > x/a', '+ * > x/a TCP 80']),
  ]),
  several('named/protocol-that-changes', [
    step([put('x:p', into(A, [], [udp('dns'), tcp('dns')]))], ['- * > x/a']),
    step([namePorts('x/a', [{ name: 'dns', containerPort: 80, protocol: 'UDP' }])], ['- * > x/a', '+ * > x/a UDP 80']),
    step([namePorts('x/a', [{ name: 'dns', containerPort: 80, protocol: 'TCP' }])], ['- * > x/a', '+ * > x/a TCP 80']),
  ]),
  several('named/egress-to-a-number-that-changes', [
    step(
      [put('x:p', outOf(A, [fromNamespaces(ns('y'))], [tcp('web')]))],
      ['- x/a > *', '+ x/a > y/a TCP 80', '+ x/a > y/b TCP 81'],
    ),
    step(
      [namePorts('y/c', [{ name: 'web', containerPort: 80 }]), namePorts('y/a', [])],
      ['- x/a > *', '+ x/a > y/b TCP 81', '+ x/a > y/c TCP 80'],
    ),
  ]),
];

const rangeCases: readonly Case[] = [
  ...(
    [
      ['both', tcp(80, 81), 'TCP'],
      ['of-one', tcp(80, 80), 'TCP 80'],
      ['that-ends-there', tcp(79, 80), 'TCP 80'],
      ['that-begins-there', tcp(81, 90), 'TCP 81'],
      ['of-everything', tcp(1, 65_535), 'TCP'],
      ['udp', udp(81, 82), 'UDP 81'],
      ['sctp', sctp(1, 80), 'SCTP 80'],
    ] as const
  ).map(([name, port, allowed]) =>
    once(`range/${name}`, { 'x:p': into(A, [], [port]) }, ['- * > x/a', `+ * > x/a ${allowed}`]),
  ),
  once('range/beside-it', { 'x:p': into(A, [], [tcp(82, 90), tcp(1, 79)]) }, ['- * > x/a']),
  once('range/overlapping', { 'x:p': into(A, [], [tcp(1, 80), tcp(80, 81)]) }, ['- * > x/a', '+ * > x/a TCP']),
  once('range/adjacent-of-two-policies', { 'x:one': into(A, [], [tcp(1, 80)]), 'x:two': into(A, [], [tcp(81, 99)]) }, [
    '- * > x/a',
    '+ * > x/a TCP',
  ]),
  once('range/and-a-number', { 'x:p': into(A, [], [udp(81, 99), udp(80)]) }, ['- * > x/a', '+ * > x/a UDP']),
  once('range/with-peers', { 'x:p': into(A, [fromNamespaces(ns('y'))], [sctp(80, 81)]) }, [
    '- * > x/a',
    '+ y/* > x/a SCTP',
  ]),
  once('range/egress', { 'x:p': outOf(A, [], [tcp(81, 1000), udp(1, 80)]) }, [
    '- x/a > *',
    '+ x/a > * TCP 81',
    '+ x/a > * UDP 80',
  ]),
  several('range/that-moves', [
    step([put('x:p', into(A, [], [tcp(79, 80)]))], ['- * > x/a', '+ * > x/a TCP 80']),
    step([put('x:p', into(A, [], [tcp(80, 81)]))], ['- * > x/a', '+ * > x/a TCP']),
    step([put('x:p', into(A, [], [tcp(81, 82)]))], ['- * > x/a', '+ * > x/a TCP 81']),
  ]),
];

export const portCases: readonly Case[] = [...numberCases, ...nameCases, ...rangeCases];
