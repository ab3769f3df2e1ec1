/** What is no backup is refused by a restore before anything is written: files that are not whole, and records that do not fit. */
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { atMost } from '../../../controller/api/lines-body.ts';
import { keys } from '../../../controller/store/keys.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { backUp, counted, RESTORE, record, restore, rewritten, setUp, with1 } from './backup-fixture.ts';
import { dump, until } from './fixture.ts';

const WRONG: readonly [string, (file: string) => string, RegExp][] = [
  ['that is empty', () => '', /the file is empty/],
  ['that is something else', () => '{"schema":1}\n', /line 1: is no head of a backup/],
  [
    'of another format',
    (file) => rewritten(file, ([head = '', ...rest]) => [head.replace('"format":1', '"format":2'), ...rest]),
    /format 2/,
  ],
  [
    'that was cut behind a line',
    (file) => `${file.trimEnd().split('\n').slice(0, 5).join('\n')}\n`,
    /line 6: is not there: the file was cut/,
  ],
  ['that was cut in a line', (file) => file.slice(0, file.length >> 1), /has no end: the file was cut/],
  ['that lacks its hash', (file) => `${file.trimEnd().split('\n').slice(0, -1).join('\n')}\n`, /the file was cut/],
  ['with an altered byte', (file) => file.replace('192.0.2.11', '192.0.2.12'), /the file was changed/],
  ['with more behind its end', (file) => `${file}{}\n`, /follows the end/],
  [
    'with a key of another kind',
    (file) => with1(file, record('leader', {})),
    /line 2: leader is not of a kind that a backup holds/,
  ],
  ['with a key of nothing', (file) => with1(file, record('else/where', {})), /line 2: else\/where is not of a kind/],
  [
    'with a record that cannot be read',
    (file) => with1(file, record('tenants/zz', { schema: 1, name: 'zz' })),
    /line 2: tenants\/zz /,
  ],
  [
    'with a record twice',
    (file) => rewritten(file, ([head = '', first = '', ...rest]) => [head, first, first, ...rest]),
    /line 3: cluster is there twice/,
  ],
  [
    'without the cluster',
    (file) => rewritten(file, ([head = '', , ...rest]) => counted([head, ...rest], -1)),
    /the configuration of the cluster is not among/,
  ],
];

test.each(WRONG)('a file %s is refused by its line, and nothing is written', async (_, spoil, reason) => {
  const scene = await setUp();
  const file = await backUp(scene);
  expect(spoil(file)).not.toBe(file);
  const before = await dump(scene.raw);
  const { status, body } = await restore(scene, scene.raw, spoil(file));
  expect({ status, body }).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
  expect(body.errors?.[0]?.message).toMatch(reason);
  expect(await dump(scene.raw)).toEqual(before);
});

test('a request without a file, of another type, or with a wrong time is refused', async () => {
  const { call } = await setUp();
  expect((await call('PUT', RESTORE)).status).toBe(400);
  expect((await call('PUT', RESTORE, {})).status).toBe(415);
  const { status, body } = await call('PUT', `${RESTORE}?timeout=soon`, 'x', {
    'content-type': 'application/x-ndjson',
  });
  expect({ status, field: body.errors?.[0]?.field }).toEqual({ status: 400, field: 'timeout' });
});

test('a body that is too large is refused while it comes, and its rest dropped', async () => {
  const body = Readable.from([Buffer.alloc(6), Buffer.alloc(6), Buffer.alloc(6)]);
  const sizes: number[] = [];
  const read = async () => {
    for await (const part of atMost(10, body)) sizes.push(part.length);
  };
  await expect(read()).rejects.toMatchObject({ statusCode: 413 });
  expect(sizes).toEqual([6]);
  await until('the rest is read', () => body.readableEnded);
});

/** With the records of one key changed. */
const withRecord = (file: string, key: string, change: (value: string) => string) =>
  rewritten(file, (lines) =>
    lines.map((line) => {
      const parsed = JSON.parse(line);
      return parsed.key === key ? JSON.stringify({ key, value: change(parsed.value) }) : line;
    }),
  );

describe('a file whose records do not fit each other is refused, and nothing is written', () => {
  const red = keys.tenant('red');
  const field = (text: string, name: string) => JSON.parse(text)[name];
  async function spoilt(spoil: (file: string, of: (key: string) => string) => string) {
    const scene = await setUp();
    const file = await backUp(scene);
    const all = await dump(scene.raw);
    const answer = await restore(
      scene,
      scene.raw,
      spoil(file, (key) => all[key] ?? ''),
    );
    expect(await dump(scene.raw)).toEqual(all);
    expect(answer.status).toBe(400);
    return JSON.stringify(answer.body);
  }

  test('two tenants of one VNI', async () => {
    const said = await spoilt((file, of) => {
      const vni = field(of(keys.tenant('blue')), 'vni');
      return withRecord(file, red, (value) => JSON.stringify({ ...JSON.parse(value), vni }));
    });
    expect(said).toMatch(/tenant red has VNI \d+, which by its claim is tenant blue’s/);
  });

  test('two tenants of one subnet', async () => {
    const said = await spoilt((file) => withRecord(file, red, (value) => value.replace('10.128.8.0', '10.128.4.0')));
    expect(said).toContain('tenant red has subnet 10.128.4.0/22, which by its claim is tenant blue’s');
  });

  test('two tenants of one namespace', async () => {
    const said = await spoilt((file) => withRecord(file, red, (value) => value.replace('red-web', 'blue-web')));
    expect(said).toContain('tenant red has namespace blue-web, which by its claim is tenant blue’s');
  });

  test('a subnet in another', async () => {
    const claim = record(keys.subnetClaim(parsePrefix('10.128.8.0/24')), { schema: 1, tenant: 'blue' });
    expect(await spoilt((file) => with1(file, claim))).toContain('overlap');
  });

  test('a tenant without its claims', async () => {
    const said = await spoilt((file) =>
      rewritten(file, (lines) => {
        const kept = lines.filter((line) => JSON.parse(line).key !== keys.namespaceClaim('red-web'));
        return counted(kept, -1);
      }),
    );
    expect(said).toContain('namespace red-web, which by its claim is no tenant’s');
  });
});
