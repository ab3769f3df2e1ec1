/** Policies as Kubernetes' API server judges them: what is left out, the object around the spec, rules. */
import { describe, expect, test } from 'vitest';
import { parsePolicy } from '../../../controller/model/policy.ts';
import { faultsOf, parse, specOf } from './policy-parsing.ts';

describe('what is left out', () => {
  test.each<[string, unknown, object]>([
    ['everything', {}, { podSelector: {}, policyTypes: ['Ingress'] }],
    ['everything, of a whole object', { metadata: null }, { podSelector: {}, policyTypes: ['Ingress'] }],
    [
      'types, with rules of egress',
      { egress: [{}] },
      { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress: [{}] },
    ],
    ['types, with no rules of egress', { egress: [] }, { podSelector: {}, policyTypes: ['Ingress'] }],
    ['rules', { policyTypes: ['Egress'], ingress: [], egress: null }, { podSelector: {}, policyTypes: ['Egress'] }],
    [
      'peers and ports',
      { ingress: [{ from: [], ports: [] }] },
      { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] },
    ],
    [
      'a protocol',
      { ingress: [{ ports: [{}, { port: 'http', protocol: null }] }] },
      {
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [{ ports: [{ protocol: 'TCP' }, { protocol: 'TCP', port: 'http' }] }],
      },
    ],
  ])('%s has its default', (_, body, spec) => {
    expect(specOf(body)).toEqual(spec);
  });

  test('types are each there once, in one order', () => {
    expect(specOf({ policyTypes: ['Egress', 'Ingress'] }).policyTypes).toEqual(['Ingress', 'Egress']);
    expect(specOf({ policyTypes: ['Egress', 'Egress'] }).policyTypes).toEqual(['Egress']);
  });

  test('host bits of a CIDR are taken away, and it is written in one way', () => {
    const ipBlock = { cidr: '10.1.2.3/8', except: ['10.1.2.3/16'] };
    const [rule] =
      specOf({ ingress: [{ from: [{ ipBlock }, { ipBlock: { cidr: '2001:DB8:0::1/32' } }] }] }).ingress ?? [];
    expect(rule?.from).toEqual([
      { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
      { ipBlock: { cidr: '2001:db8::/32' } },
    ]);
  });

  test('the same map is always written the same way', () => {
    const text = (matchLabels: object) => JSON.stringify(parse({ podSelector: { matchLabels } }));
    expect(text({ b: '1', a: '2' })).toBe(text({ a: '2', b: '1' }));
  });
});

describe('the object around the spec', () => {
  test('keeps labels and annotations, passes over what is the server’s', () => {
    const metadata = {
      name: 'web',
      namespace: 'shop',
      labels: { app: 'web' },
      annotations: { 'example.com/Note': 'two words' },
      uid: 'x',
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: null,
      managedFields: [{ anything: 1 }],
      selfLink: '/x',
      ownerReferences: [],
      finalizers: [],
    };
    const body = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: {}, status: { a: 1 } };
    expect(parse({ ...body, tenant: 'blue', revision: 7 })).toEqual({
      labels: { app: 'web' },
      annotations: { 'example.com/Note': 'two words' },
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    });
  });

  test.each<[string, unknown, string[]]>([
    ['nothing', undefined, ['body']],
    ['a list', [], ['body']],
    ['text', 'spec', ['body']],
    ['another version', { apiVersion: 'networking.k8s.io/v1beta1' }, ['apiVersion']],
    ['another kind', { kind: 'Pod' }, ['kind']],
    ['a kind that is no text', { kind: 1 }, ['kind']],
    ['another name', { metadata: { name: 'x' } }, ['metadata.name']],
    ['another namespace', { metadata: { namespace: 'x' } }, ['metadata.namespace']],
    ['another tenant', { spec: {}, tenant: 'red' }, ['tenant']],
    ['an unknown field', { spec: {}, specs: {} }, ['specs']],
    ['an unknown field of its metadata', { metadata: { label: {} } }, ['metadata.label']],
    ['metadata that is text', { metadata: 'web' }, ['metadata']],
    ['a bad label', { metadata: { labels: { '-': 'x' } } }, ['metadata.labels["-"]']],
    ['a label that is a number', { metadata: { labels: { a: 1 } } }, ['metadata.labels.a']],
    ['a bad annotation', { metadata: { annotations: { 'a b': '' } } }, ['metadata.annotations["a b"]']],
    ['an annotation that is no text', { metadata: { annotations: { a: {} } } }, ['metadata.annotations.a']],
    ['a spec that is a list', { spec: [] }, ['spec']],
    ['a field named like a method', { constructor: 1 }, ['spec.constructor']],
  ])('%s is refused', (_, body, fields) => {
    expect(faultsOf(() => parse(body))).toEqual(fields);
  });

  test.each<[string, boolean]>([
    ['web', true],
    ['web.shop', true],
    ['0', true],
    ['a'.repeat(253), true],
    ['a'.repeat(254), false],
    ['', false],
    ['Web', false],
    ['web-', false],
    ['a..b', false],
    ['a.-b', false],
    ['a_b', false],
  ])('the name %j: %s', (name, isGood) => {
    expect(faultsOf(() => parsePolicy('blue', 'shop', name, {}))).toEqual(isGood ? [] : ['metadata.name']);
  });

  test('its namespace has a name of one part', () => {
    expect(faultsOf(() => parsePolicy('blue', 'a.b', 'web', {}))).toEqual(['metadata.namespace']);
  });
});

/** Each of these alone in a spec. Paths at fault begin with the element's own; none: it is taken. */
describe.each<['ingress' | 'egress', 'from' | 'to']>([
  ['ingress', 'from'],
  ['egress', 'to'],
])('a rule of %s', (direction, peersField) => {
  test.each<[string, unknown, string[]]>([
    ['a number', { port: 1 }, []],
    ['the last number', { port: 65_535 }, []],
    ['a number too small', { port: 0 }, ['.port']],
    ['a number too large', { port: 65_536 }, ['.port']],
    ['half a number', { port: 80.5 }, ['.port']],
    ['a number in quotes', { port: '80' }, ['.port']],
    ['a flag', { port: true }, ['.port']],
    ['a name', { port: 'http-2' }, []],
    ['the longest name', { port: `a${'1'.repeat(14)}` }, []],
    ['a name too long', { port: `a${'1'.repeat(15)}` }, ['.port']],
    ['a name in capitals', { port: 'HTTP' }, ['.port']],
    ['a name with two hyphens', { port: 'a--b' }, ['.port']],
    ['a name that begins with a hyphen', { port: '-a' }, ['.port']],
    ['a name that ends with one', { port: 'a-' }, ['.port']],
    ['an empty name', { port: '' }, ['.port']],
    ['each protocol', { protocol: 'SCTP' }, []],
    ['another protocol', { protocol: 'ICMP' }, ['.protocol']],
    ['a protocol in small letters', { protocol: 'tcp' }, ['.protocol']],
    ['a range', { port: 80, endPort: 90 }, []],
    ['a range of one', { port: 80, endPort: 80 }, []],
    ['a range backwards', { port: 80, endPort: 79 }, ['.endPort']],
    ['a range too long', { port: 80, endPort: 65_536 }, ['.endPort']],
    ['a range from nowhere', { endPort: 80 }, ['.endPort']],
    ['a range from a name', { port: 'http', endPort: 80 }, ['.endPort']],
    ['a range to a name', { port: 80, endPort: 'x' }, ['.endPort']],
    ['an unknown field', { prot: 'TCP' }, ['.prot']],
    ['nothing', null, ['']],
    ['text', '80', ['']],
  ])('at port: %s', (_, port, fields) => {
    const path = `spec.${direction}[1].ports[0]`;
    const faults = faultsOf(() => parse({ [direction]: [{}, { ports: [port] }] }));
    expect(faults).toEqual(fields.map((field) => path + field));
  });

  const selector = { matchLabels: { app: 'web' } };
  const ipBlock = { cidr: '10.0.0.0/8' };
  test.each<[string, unknown, string[]]>([
    ['pods', { podSelector: selector }, []],
    ['all pods', { podSelector: {} }, []],
    ['namespaces', { namespaceSelector: {} }, []],
    ['pods of namespaces', { podSelector: selector, namespaceSelector: selector }, []],
    ['a network', { ipBlock }, []],
    ['a network of IPv6', { ipBlock: { cidr: '2001:db8::/32' } }, []],
    ['every address', { ipBlock: { cidr: '0.0.0.0/0', except: ['0.0.0.0/1'] } }, []],
    ['no kind of peer', {}, ['']],
    ['no kind of peer, at length', { podSelector: null }, ['']],
    ['a network and pods', { ipBlock, podSelector: {} }, ['']],
    ['a network and namespaces', { ipBlock, namespaceSelector: {} }, ['']],
    ['a network without CIDR', { ipBlock: {} }, ['.ipBlock.cidr']],
    ['a network with an empty one', { ipBlock: { cidr: '' } }, ['.ipBlock.cidr']],
    ['an address', { ipBlock: { cidr: '10.0.0.1' } }, ['.ipBlock.cidr']],
    ['a prefix too long', { ipBlock: { cidr: '10.0.0.0/33' } }, ['.ipBlock.cidr']],
    ['leading zeros', { ipBlock: { cidr: '010.0.0.0/8' } }, ['.ipBlock.cidr']],
    ['a leading zero of the length', { ipBlock: { cidr: '10.0.0.0/08' } }, ['.ipBlock.cidr']],
    ['IPv4 written as IPv6', { ipBlock: { cidr: '::ffff:10.0.0.0/104' } }, ['.ipBlock.cidr']],
    ['a CIDR that is a number', { ipBlock: { cidr: 10 } }, ['.ipBlock.cidr']],
    ['a network that is text', { ipBlock: '10.0.0.0/8' }, ['.ipBlock']],
    ['an exception', { ipBlock: { ...ipBlock, except: ['10.1.0.0/16', '10.0.0.0/9'] } }, []],
    [
      'an exception elsewhere',
      { ipBlock: { ...ipBlock, except: ['10.1.0.0/16', '11.0.0.0/16'] } },
      ['.ipBlock.except[1]'],
    ],
    ['an exception of it all', { ipBlock: { ...ipBlock, except: ['10.0.0.0/8'] } }, ['.ipBlock.except[0]']],
    ['an exception of more', { ipBlock: { ...ipBlock, except: ['10.0.0.0/7'] } }, ['.ipBlock.except[0]']],
    [
      'an exception of the other family',
      { ipBlock: { ...ipBlock, except: ['2001:db8::/64'] } },
      ['.ipBlock.except[0]'],
    ],
    [
      'an exception that is none',
      { ipBlock: { ...ipBlock, except: ['x', null] } },
      ['.ipBlock.except[0]', '.ipBlock.except[1]'],
    ],
    ['exceptions that are no list', { ipBlock: { ...ipBlock, except: '10.1.0.0/16' } }, ['.ipBlock.except']],
    ['an unknown field', { podSelectors: {}, podSelector: {} }, ['.podSelectors']],
    ['a list', [], ['']],
  ])('with peer: %s', (_, peer, fields) => {
    const path = `spec.${direction}[0].${peersField}[1]`;
    const faults = faultsOf(() => parse({ [direction]: [{ [peersField]: [{ podSelector: {} }, peer] }] }));
    expect(faults).toEqual(fields.map((field) => path + field));
  });

  test.each<[string, unknown, string[]]>([
    ['that is nothing', [null], [`spec.${direction}[0]`]],
    [
      'with the peers of the other direction',
      [{ [peersField === 'to' ? 'from' : 'to']: [] }],
      [`spec.${direction}[0].${peersField === 'to' ? 'from' : 'to'}`],
    ],
    ['whose peers are no list', [{ [peersField]: {} }], [`spec.${direction}[0].${peersField}`]],
    ['whose ports are no list', [{ ports: 80 }], [`spec.${direction}[0].ports`]],
    ['that is not in a list', {}, [`spec.${direction}`]],
  ])('%s is refused', (_, rules, fields) => {
    expect(faultsOf(() => parse({ [direction]: rules }))).toEqual(fields);
  });
});
