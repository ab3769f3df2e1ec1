/** The check that fixtures make of every answer: what it lets pass, and that it finds each way of being wrong. */
import { Type } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Problem, problemResponses } from '../../../controller/api/problems.ts';
import { answer, answerOneOf, noContent, reference } from '../../../controller/api/schemas/common.ts';
import { keys } from '../../../controller/store/keys.ts';
import { AnswerCheck } from './answers.ts';
import { startApp } from './fixture.ts';

const Part = Type.Object(
  { id: Type.Integer(), at: Type.Optional(Type.String({ format: 'date-time' })) },
  { $id: 'Part' },
);
const Whole = Type.Object(
  { name: Type.String(), parts: Type.Array(reference(Part)), labels: Type.Record(Type.String(), Type.String()) },
  { $id: 'Whole' },
);
const PROBLEM = { type: 'urn:tenet:problem:conflict', title: 'Conflict', status: 409, code: 'conflict', detail: 'd' };
const JSON_TYPE = 'application/json';

/** What one route answers, by its own declaration. @returns what the check says of it */
async function judge(status: number, body: unknown, type = JSON_TYPE): Promise<string> {
  const app = Fastify({
    schemaController: { compilersFactory: { buildSerializer: () => () => (value) => JSON.stringify(value) } },
  });
  onTestFinished(() => app.close());
  const check = new AnswerCheck();
  check.watch(app);
  for (const schema of [Part, Whole, Problem]) app.addSchema(schema);
  const response = {
    200: answer('One of them.', Whole),
    201: answerOneOf('Either.', Whole, Part),
    202: Type.Object({ part: reference(Part) }),
    204: noContent('None.'),
    ...problemResponses('conflict'),
  };
  app.get('/things/:thing', { schema: { response } }, async (_, reply) =>
    reply
      .code(status as 200)
      .type(type)
      .send(body),
  );
  await app.inject('/things/one');
  try {
    check.verify();
  } catch (error) {
    return String(error).split('\n').slice(1).join('\n');
  }
  return 'as declared';
}

const whole = { name: 'a', parts: [{ id: 1 }], labels: { any: 'text' } };

test.each<[string, number, unknown, string?]>([
  ['of one schema', 200, whole],
  ['of either schema: the first', 201, whole],
  ['of either schema: the second', 201, { id: 1, at: '2026-11-30T12:00:00Z' }],
  ['of a schema without a media type', 202, { part: { id: 1 } }],
  ['without a body', 204, undefined],
  ['with a problem', 409, { ...PROBLEM, requestId: 'r' }, 'application/problem+json'],
])('an answer %s is right', async (_, status, body, type) => {
  expect(await judge(status, body, type)).toBe('as declared');
});

describe('a wrong answer is found, with the path of its field:', () => {
  test.each<[string, number, unknown, string]>([
    ['an unknown field', 200, { ...whole, extra: 1 }, 'extra: is not a known field'],
    [
      'an unknown field inside',
      200,
      { ...whole, parts: [{ id: 1 }, { id: 2, x: 1 }] },
      'parts[1].x: is not a known field',
    ],
    ['a missing field', 200, { name: 'a', labels: {} }, 'parts: is required'],
    ['a missing field inside', 202, { part: {} }, 'part.id: is required'],
    ['a field of another type', 200, { ...whole, parts: [{ id: '1' }] }, 'parts[0].id: must be integer'],
    ['a number that would be cut', 200, { ...whole, parts: [{ id: 1.5 }] }, 'parts[0].id: must be integer'],
    [
      'a time that is none',
      200,
      { ...whole, parts: [{ id: 1, at: 'noon' }] },
      'parts[0].at: must match format "date-time"',
    ],
    ['neither of two', 201, { name: 'a' }, 'name: is not a known field'],
    ['no body', 200, undefined, 'body: is no JSON'],
  ])('%s', async (_, status, body, fault) => {
    const found = await judge(status, body);
    expect(found).toContain(`GET /things/:thing ${status}: `);
    expect(found).toContain(fault);
  });

  test('a status that is not declared', async () => {
    expect(await judge(203, whole)).toBe('GET /things/:thing 203: the status is not declared');
  });

  test('a media type that is not declared', async () => {
    expect(await judge(409, { ...PROBLEM, requestId: 'r' })).toContain(
      'the media type is not declared: application/json',
    );
  });

  test('a problem with a field too many, and one too few', async () => {
    const found = await judge(409, { ...PROBLEM, stack: 'x' }, 'application/problem+json');
    expect(found).toContain('stack: is not a known field');
    expect(found).toContain('requestId: is required');
  });
});

test('a test that gets a wrong answer of the application fails by it', async () => {
  const { call, store } = await startApp();
  await call('POST', '/v1/tenants', { name: 'blue' });
  const key = keys.tenant('blue');
  const { entry } = await store.get(key);
  const damaged = {
    ...JSON.parse(entry?.value ?? ''),
    quota: { endpoints: 2_000_000_000 },
    egress: { internet: true, extra: 1 },
  };
  await store.commit([], [{ kind: 'put', key, value: JSON.stringify(damaged) }]);
  const wrong = call('GET', '/v1/tenants/blue');
  await expect(wrong).rejects.toThrow('GET /v1/tenants/:tenant 200: quota.endpoints: must be <= 1000000000');
  await expect(call('GET', '/v1/tenants')).rejects.toThrow('items[0].egress.extra: is not a known field');
});
