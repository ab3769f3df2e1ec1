/** Policies as Kubernetes' API server judges them: selectors, what is shown, and named ports. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { viewPolicy } from '../../../controller/api/schemas/policy.ts';
import { parseEndpointPorts } from '../../../controller/model/endpoint.ts';
import type { NamedPort } from '../../../controller/model/records.ts';
import { faultsOf, parse } from './policy-parsing.ts';

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
