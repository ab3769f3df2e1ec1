/** ipBlock with and without except: where it covers containers' addresses, and where it speaks of the world outside. Data. */
import { type Case, drop, once, type Places, put, several, step } from '../case.ts';
import { OUTSIDE_ADDRESSES } from '../cast.ts';
import {
  block,
  both,
  fromNamespaces,
  fromPods,
  into,
  ns,
  outOf,
  pod,
  type Spec,
  sctp,
  tcp,
  udp,
} from '../policy-input.ts';

const A = pod('a');
const ANY = '0.0.0.0/0';
const OUT = '198.51.100.0/24';
const FAR = '203.0.113.0/24';
const ADDRESSES = OUTSIDE_ADDRESSES;
const OUT_B = `${ADDRESSES['out/b']}/32`;
const FAR_A = `${ADDRESSES['far/a']}/32`;
/** Holds far/b and not far/a. */
const FAR_HALF = '203.0.113.128/25';
const NOWHERE = '- x/a > *,out/*,far/*';

/** A spec that names addresses of containers. @param spec given what writes a pod's address as a network of one */
const about =
  (spec: (one: (name: string) => string, subnet: string) => Spec) =>
  ({ ip, subnet }: Places): Spec =>
    spec((name) => `${ip(name)}/32`, subnet);

const containerCases: readonly Case[] = [
  once('ip-block/one-address', { 'x:p': about((one) => into(A, [block(one('y/b'))])) }, ['- * > x/a', '+ y/b > x/a']),
  once('ip-block/two-addresses', { 'x:p': about((one) => into(A, [block(one('y/b')), block(one('z/c'))])) }, [
    '- * > x/a',
    '+ y/b,z/c > x/a',
  ]),
  once(
    'ip-block/the-tenants-subnet',
    { 'x:p': about((_, subnet) => into(A, [block(subnet)])) },
    [],
    'stranger',
    'peer',
  ),
  once('ip-block/the-tenants-subnet-but-one', { 'x:p': about((one, subnet) => into(A, [block(subnet, one('y/b'))])) }, [
    '- y/b > x/a',
  ]),
  once('ip-block/but-two', { 'x:p': about((one, subnet) => into(A, [block(subnet, one('y/b'), one('x/c'))])) }, [
    '- y/b,x/c > x/a',
  ]),
  once('ip-block/any', { 'x:p': into(A, [block(ANY)]) }, [], 'stranger', 'peer'),
  once('ip-block/any-but-the-subnet', { 'x:p': about((_, subnet) => into(A, [block(ANY, subnet)])) }, ['- * > x/a']),
  once('ip-block/any-but-one', { 'x:p': about((one) => into(A, [block(ANY, one('z/a'))])) }, ['- z/a > x/a']),
  once('ip-block/two-halves', { 'x:p': into(A, [block('0.0.0.0/1'), block('128.0.0.0/1')]) }, []),
  once('ip-block/somewhere-else', { 'x:p': into(A, [block(FAR)]) }, ['- * > x/a']),
  once(
    'ip-block/except-is-no-denial',
    { 'x:p': about((one, subnet) => into(A, [block(subnet, one('y/b')), both(ns('y'), pod('b'))])) },
    [],
  ),
  once(
    'ip-block/excepts-of-two-policies',
    {
      'x:one': about((one, subnet) => into(A, [block(subnet, one('y/b'), one('z/c'))])),
      'x:two': about((one, subnet) => into(A, [block(subnet, one('y/b'), one('z/a'))])),
    },
    ['- y/b > x/a'],
  ),
  once('ip-block/with-ports', { 'x:p': about((one) => into(A, [block(one('y/b'))], [tcp(80), sctp(81)])) }, [
    '- * > x/a',
    '+ y/b > x/a TCP 80',
    '+ y/b > x/a SCTP 81',
  ]),
  once(
    'ip-block/hole-with-ports-of-its-own',
    {
      'x:p': about((one, subnet) => ({
        podSelector: A,
        ingress: [{ from: [block(subnet, one('y/b'))] }, { from: [block(one('y/b'))], ports: [udp(80)] }],
      })),
    },
    ['- y/b > x/a', '+ y/b > x/a UDP 80'],
  ),
  once('ip-block/beside-selectors', { 'x:p': about((one) => into(A, [fromPods(pod('b')), block(one('y/b'))])) }, [
    '- * > x/a',
    '+ x/b,y/b > x/a',
  ]),
  once(
    'ip-block/a-strangers-address',
    { 'x:p': about((one) => into(A, [block(one('s/a')), block(one('p/a'))])) },
    ['- * > x/a'],
    'stranger',
    'peer',
  ),
  once('ip-block/host-bits', { 'x:p': ({ ip }) => into(A, [block(`${ip('y/b')}/8`)]) }, []),
  once(
    'ip-block/egress-to-one',
    { 'x:p': about((one) => outOf(A, [block(one('y/b'))])) },
    [NOWHERE, '+ x/a > y/b'],
    'outside',
  ),
  once(
    'ip-block/egress-to-the-subnet-but-one',
    { 'x:p': about((one, subnet) => outOf(A, [block(subnet, one('y/b'))])) },
    ['- x/a > y/b,out/*,far/*'],
    'outside',
  ),
  once('ip-block/egress-to-any', { 'x:p': outOf(A, [block(ANY)]) }, [], 'outside', 'stranger', 'node'),
  once(
    'ip-block/egress-to-any-but-the-subnet',
    { 'x:p': about((_, subnet) => outOf(A, [block(ANY, subnet)])) },
    ['- x/a > *'],
    'outside',
  ),
  once(
    'ip-block/egress-to-a-node',
    { 'x:p': about((one) => outOf(A, [block(one('node/1')), block(one('node/2'))])) },
    [NOWHERE],
    'node',
    'outside',
  ),
  once('ip-block/egress-with-a-named-port', { 'x:p': about((_, subnet) => outOf(A, [block(subnet)], [tcp('web')])) }, [
    '- x/a > *',
    '+ x/a > x/a,y/a,z/a TCP 80',
    '+ x/a > x/b,y/b,z/b TCP 81',
  ]),
];

const outsideCases: readonly Case[] = [
  once('outside/only-inside', { 'x:p': outOf(A, [fromNamespaces({})]) }, ['- x/a > out/*,far/*'], 'outside'),
  once('outside/one-network', { 'x:p': outOf(A, [block(OUT)]) }, ['- x/a > *,far/*'], 'outside'),
  once('outside/one-address', { 'x:p': outOf(A, [block(OUT_B)]) }, [NOWHERE, '+ x/a > out/b'], 'outside'),
  once('outside/one-network-but-one', { 'x:p': outOf(A, [block(OUT, OUT_B)]) }, ['- x/a > *,out/b,far/*'], 'outside'),
  once('outside/any-but-a-network', { 'x:p': outOf(A, [block(ANY, FAR)]) }, ['- x/a > far/*'], 'outside'),
  once(
    'outside/half-of-an-excepted-network',
    { 'x:one': outOf(A, [block(ANY, FAR)]), 'x:two': outOf(A, [block(FAR_HALF)]) },
    ['- x/a > far/a'],
    'outside',
  ),
  once(
    'outside/nested-with-ports',
    {
      'x:p': {
        podSelector: A,
        policyTypes: ['Egress'],
        egress: [
          { to: [block(FAR)], ports: [tcp()] },
          { to: [block(FAR_HALF)], ports: [udp()] },
        ],
      },
    },
    [NOWHERE, '+ x/a > far/* TCP', '+ x/a > far/b UDP'],
    'outside',
  ),
  once(
    'outside/three-deep',
    {
      'x:any': outOf(A, [block(ANY)], [tcp(80)]),
      'x:far': outOf(A, [block(FAR)], [tcp(81)]),
      'x:one': outOf(A, [block(FAR_A)], [udp()]),
    },
    [NOWHERE, '+ x/a > *,out/*,far/* TCP 80', '+ x/a > far/* TCP 81', '+ x/a > far/a UDP'],
    'outside',
  ),
  once(
    'outside/hole-in-a-hole',
    { 'x:p': outOf(A, [block(ANY, FAR), block(FAR, FAR_HALF)]) },
    ['- x/a > far/b'],
    'outside',
  ),
  once('outside/two-halves', { 'x:p': outOf(A, [block('0.0.0.0/1'), block('128.0.0.0/1')]) }, [], 'outside'),
  once('outside/ports-alone', { 'x:p': outOf(A, [], [tcp(80)]) }, [NOWHERE, '+ x/a > *,out/*,far/* TCP 80'], 'outside'),
  once(
    'outside/no-named-ports-there',
    { 'x:p': outOf(A, [], [tcp('tcp-80')]) },
    [NOWHERE, '+ x/a > * TCP 80'],
    'outside',
  ),
  once('outside/range', { 'x:p': outOf(A, [block(FAR)], [udp(81, 90)]) }, [NOWHERE, '+ x/a > far/* UDP 81'], 'outside'),
  once('outside/sctp', { 'x:p': outOf(A, [block(OUT)], [sctp()]) }, [NOWHERE, '+ x/a > out/* SCTP'], 'outside'),
  once(
    'outside/each-pod-its-own',
    { 'x:a': outOf(A, [block(OUT)]), 'x:b': outOf(pod('b'), [block(FAR)]) },
    ['- x/a > *,far/*', '- x/b > *,out/*'],
    'outside',
  ),
  once('outside/whole-namespace', { 'y:p': outOf({}, [block(FAR_HALF)]) }, ['- y/* > *,out/*,far/a'], 'outside'),
  several(
    'outside/networks-that-change',
    [
      step([put('x:p', outOf(A, [block(OUT)]))], ['- x/a > *,far/*']),
      step([put('x:p', outOf(A, [block(ANY, OUT)]))], ['- x/a > out/*']),
      step([put('x:q', outOf(A, [block(OUT_B)], [tcp(80)]))], ['- x/a > out/*', '+ x/a > out/b TCP 80']),
      step([drop('x:p')], [NOWHERE, '+ x/a > out/b TCP 80']),
      step([drop('x:q')], []),
    ],
    'outside',
  ),
];

export const blockCases: readonly Case[] = [...containerCases, ...outsideCases];
