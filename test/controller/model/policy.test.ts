/** What a NetworkPolicy may say, by Kubernetes' rules of admission: each with the path of what is at fault. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { viewPolicy } from '../../../controller/api/schemas/policy.ts';
import { InvalidInput } from '../../../controller/errors.ts';
import { parseEndpointPorts } from '../../../controller/model/endpoint.ts';
import { parsePolicy } from '../../../controller/model/policy.ts';
import type { NamedPort } from '../../../controller/model/records.ts';

const parse = (body: unknown) => parsePolicy('blue', 'shop', 'web', body);
const specOf = (body: unknown) => parse(body).spec;

/** Paths of what is at fault, in order. */
function faultsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors.map(({ field }) => field);
    throw error;
  }
  return [];
}

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

describe('a selector', () => {
  const key = 'app.kubernetes.io/name';
  test.each<[string, unknown, string[]]>([
    ['empty', {}, []],
    ['with labels', { matchLabels: { [key]: 'a_B.c', b: '' } }, []],
    [
      'with more labels than an object may have',
      { matchLabels: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`a${index}`, ''])) },
      [],
    ],
    ['with a bad key', { matchLabels: { 'a b': 'c' } }, ['.matchLabels["a b"]']],
    ['with a bad value', { matchLabels: { a: '-' } }, ['.matchLabels.a']],
    ['with a value too long', { matchLabels: { a: 'b'.repeat(64) } }, ['.matchLabels.a']],
    ['with a value that is no text', { matchLabels: { a: true } }, ['.matchLabels.a']],
    ['with a value that is nothing', { matchLabels: { a: null } }, ['.matchLabels.a']],
    ['with labels that are a list', { matchLabels: [] }, ['.matchLabels']],
    ['In', { matchExpressions: [{ key, operator: 'In', values: ['a', ''] }] }, []],
    ['NotIn', { matchExpressions: [{ key, operator: 'NotIn', values: ['a'] }] }, []],
    ['Exists', { matchExpressions: [{ key, operator: 'Exists' }] }, []],
    ['DoesNotExist', { matchExpressions: [{ key, operator: 'DoesNotExist', values: [] }] }, []],
    ['In nothing', { matchExpressions: [{ key, operator: 'In', values: [] }] }, ['.matchExpressions[0].values']],
    ['NotIn nothing', { matchExpressions: [{ key, operator: 'NotIn' }] }, ['.matchExpressions[0].values']],
    ['Exists in', { matchExpressions: [{ key, operator: 'Exists', values: ['a'] }] }, ['.matchExpressions[0].values']],
    [
      'DoesNotExist in',
      { matchExpressions: [{ key, operator: 'DoesNotExist', values: ['a'] }] },
      ['.matchExpressions[0].values'],
    ],
    [
      'another operator',
      { matchExpressions: [{ key, operator: 'Gt', values: ['1'] }] },
      ['.matchExpressions[0].operator'],
    ],
    ['no operator', { matchExpressions: [{ key, values: ['1'] }] }, ['.matchExpressions[0].operator']],
    ['no key', { matchExpressions: [{ operator: 'Exists' }] }, ['.matchExpressions[0].key']],
    ['a bad key', { matchExpressions: [{ key: 'a/b/c', operator: 'Exists' }] }, ['.matchExpressions[0].key']],
    [
      'a bad value',
      { matchExpressions: [{ key, operator: 'In', values: ['a', 'b c'] }] },
      ['.matchExpressions[0].values[1]'],
    ],
    [
      'a value that is a number',
      { matchExpressions: [{ key, operator: 'In', values: [1] }] },
      ['.matchExpressions[0].values[0]'],
    ],
    [
      'an unknown field',
      { matchExpressions: [{ key, operator: 'Exists', value: 'a' }] },
      ['.matchExpressions[0].value'],
    ],
    ['an expression that is text', { matchExpressions: ['a'] }, ['.matchExpressions[0]']],
    ['a label by itself', { app: 'web' }, ['.app']],
    ['text', 'app=web', ['']],
  ])('%s', (_, selector, fields) => {
    const at = (path: string) => fields.map((field) => path + field);
    expect(faultsOf(() => parse({ podSelector: selector }))).toEqual(at('spec.podSelector'));
    expect(faultsOf(() => parse({ ingress: [{ from: [{ namespaceSelector: selector }] }] }))).toEqual(
      at('spec.ingress[0].from[0].namespaceSelector'),
    );
  });
});

test.each<[string, unknown, string[]]>([
  ['three', ['Ingress', 'Egress', 'Ingress'], ['spec.policyTypes']],
  ['another', ['Ingress', 'ingress'], ['spec.policyTypes[1]']],
  ['nothing', [null], ['spec.policyTypes[0]']],
  ['text', 'Ingress', ['spec.policyTypes']],
])('policyTypes: %s is refused', (_, policyTypes, fields) => {
  expect(faultsOf(() => parse({ policyTypes }))).toEqual(fields);
});

describe('what is shown', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
  const maybe = <T>(key: string, value: fc.Arbitrary<T>) =>
    fc.option(
      value.map((each) => ({ [key]: each })),
      { nil: {} },
    );
  const merged = (...parts: fc.Arbitrary<object>[]) =>
    fc.tuple(...parts).map((all): object => Object.assign({}, ...all));
  const withValues = fc.record({
    key: word,
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.array(word, { minLength: 1, maxLength: 3 }),
  });
  const selector = merged(
    maybe('matchLabels', fc.dictionary(word, word, { maxKeys: 3 })),
    maybe(
      'matchExpressions',
      fc.array(fc.oneof(withValues, fc.record({ key: word, operator: fc.constantFrom('Exists', 'DoesNotExist') })), {
        maxLength: 2,
      }),
    ),
  );
  const ipBlock = fc
    .record({
      octet: fc.nat(255),
      length: fc.integer({ min: 0, max: 24 }),
      holes: fc.array(fc.integer({ min: 25, max: 32 }), { maxLength: 2 }),
    })
    .map(({ octet, length, holes }) => ({
      cidr: `${octet}.2.3.4/${length}`,
      except: holes.map((each) => `${octet}.2.3.4/${each}`),
    }));
  const peer = fc.oneof(
    ipBlock.map((each) => ({ ipBlock: each })),
    merged(
      selector.map((podSelector) => ({ podSelector })),
      maybe('namespaceSelector', selector),
    ),
  );
  const port = merged(
    maybe('protocol', fc.constantFrom('TCP', 'UDP', 'SCTP')),
    fc.oneof(
      fc.constant({}),
      word.map((name) => ({ port: name })),
      fc.integer({ min: 1, max: 65_535 }).map((from) => ({ port: from, endPort: 65_535 })),
    ),
  );
  const rules = (peers: string) =>
    fc.array(merged(maybe(peers, fc.array(peer, { maxLength: 3 })), maybe('ports', fc.array(port, { maxLength: 3 }))), {
      maxLength: 3,
    });
  const body = merged(
    maybe('podSelector', selector),
    maybe('policyTypes', fc.subarray(['Ingress', 'Egress'])),
    maybe('ingress', rules('from')),
    maybe('egress', rules('to')),
  );

  test('says the same when it is sent again', () => {
    fc.assert(
      fc.property(body, fc.dictionary(word, word, { maxKeys: 2 }), (spec, labels) => {
        const contents = parse({ spec, metadata: { labels, annotations: labels } });
        const record = {
          tenant: 'blue',
          namespace: 'shop',
          name: 'web',
          ...contents,
          createdAt: '2026-11-24T11:00:00Z',
        };
        const shown = JSON.parse(JSON.stringify(viewPolicy({ record, revision: 7 })));
        expect(JSON.stringify(parse(shown))).toBe(JSON.stringify(contents));
        expect(JSON.stringify(parse(shown.spec).spec)).toBe(JSON.stringify(contents.spec));
      }),
    );
  });
});

describe('named ports of an endpoint', () => {
  const port = (name: string, containerPort = 80, protocol: NamedPort['protocol'] = 'TCP') => ({
    name,
    containerPort,
    protocol,
  });
  test.each<[string, NamedPort[], string[]]>([
    ['none', [], []],
    ['one name for a port of each protocol', [port('dns', 53), port('dns', 53, 'UDP')], []],
    ['two names of a port', [port('http'), port('web')], []],
    ['a name twice', [port('http'), port('http', 81)], ['ports[1].name']],
    ['too many', Array.from({ length: 129 }, (_, at) => port(`p${at}`)), ['ports']],
    ['a bad name', [port('HTTP')], ['ports[0].name']],
    [
      'a port that cannot be',
      [port('a'), port('b', 0), port('c', 65_536)],
      ['ports[1].containerPort', 'ports[2].containerPort'],
    ],
  ])('%s', (_, ports, fields) => {
    expect(faultsOf(() => parseEndpointPorts(ports))).toEqual(fields);
  });
});
