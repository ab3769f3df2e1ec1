/** /v1/tenants/{tenant}/peerings: asked, in force while both ask, and gone with either tenant. */
import { describe, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { dump, putBlock, startApp } from './fixture.ts';

const path = '/v1/tenants/blue/peerings/red';
const back = '/v1/tenants/red/peerings/blue';

async function appWithTenants(...names: readonly string[]) {
  const memory = new MemoryStore();
  const app = await startApp({ store: memory });
  for (const name of names.length > 0 ? names : ['blue', 'red', 'green'])
    await app.call('POST', '/v1/tenants', { name });
  return { ...app, memory };
}

test('are asked, shown, listed and asked no longer', async () => {
  const { call } = await appWithTenants();
  const made = await call('PUT', path);
  expect(made).toMatchObject({ status: 201, headers: { etag: `"${made.body.revision}"` } });
  expect(made.body).toEqual({
    tenant: 'blue',
    peer: 'red',
    inForce: false,
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    revision: expect.any(Number),
  });
  expect((await call('GET', path)).body).toEqual(made.body);
  await call('PUT', '/v1/tenants/blue/peerings/green', {});
  const { body } = await call('GET', '/v1/tenants/blue/peerings?limit=1');
  expect(body.items?.map(({ peer }) => peer)).toEqual(['green']);
  expect((await call('GET', `/v1/tenants/blue/peerings?limit=1&continue=${body.continue}`)).body.items).toEqual([
    made.body,
  ]);
  expect((await call('DELETE', path, undefined, { 'if-match': '"1"' })).status).toBe(412);
  expect((await call('DELETE', path, undefined, { 'if-match': made.headers.etag ?? '' })).status).toBe(204);
  expect((await call('GET', path)).status).toBe(404);
  expect((await call('GET', path, undefined)).body).toMatchObject({ errors: [{ field: 'peer' }] });
});

test('asked again stay as they are', async () => {
  const { call, store } = await appWithTenants();
  const made = await call('PUT', path, {});
  const before = await dump(store);
  expect(await call('PUT', path, {})).toMatchObject({ status: 200, body: made.body });
  expect(await dump(store)).toEqual(before);
});

test('are in force while both ask, on both sides', async () => {
  const { call } = await appWithTenants();
  await call('PUT', path);
  expect(await call('PUT', back)).toMatchObject({ status: 201, body: { inForce: true } });
  for (const url of [path, back]) expect((await call('GET', url)).body.inForce).toBe(true);
  expect((await call('GET', '/v1/tenants/blue/peerings')).body.items).toMatchObject([{ inForce: true }]);
  await call('DELETE', back);
  expect((await call('GET', path)).body.inForce).toBe(false);
});

test('of two tenants that ask at once, the second sees that they are in force', async () => {
  for (let round = 0; round < 5; round++) {
    const { call } = await appWithTenants();
    const answers = await Promise.all([call('PUT', path), call('PUT', back)]);
    expect(answers.map(({ body }) => body.inForce).sort()).toEqual([false, true]);
  }
});

describe('refused is, and nothing is written:', () => {
  test.each<[string, string, string, unknown, Record<string, string>, number, string, string | undefined]>([
    ['the tenant itself', 'PUT', '/v1/tenants/blue/peerings/blue', {}, {}, 400, 'invalid_input', 'peer'],
    ["the platform's tenant", 'PUT', '/v1/tenants/blue/peerings/system', {}, {}, 400, 'invalid_input', 'peer'],
    ["one by the platform's tenant", 'PUT', '/v1/tenants/system/peerings/blue', {}, {}, 400, 'invalid_input', 'tenant'],
    ['a tenant that is not there', 'PUT', '/v1/tenants/blue/peerings/grey', {}, {}, 404, 'not_found', 'peer'],
    ['one by a tenant that is not there', 'PUT', '/v1/tenants/grey/peerings/blue', {}, {}, 404, 'not_found', 'tenant'],
    ['a tenant being deleted', 'PUT', '/v1/tenants/blue/peerings/dying', {}, {}, 409, 'conflict', 'peer'],
    ['one by a tenant being deleted', 'PUT', '/v1/tenants/dying/peerings/blue', {}, {}, 409, 'conflict', 'tenant'],
    ['a bad name', 'PUT', '/v1/tenants/blue/peerings/Red', {}, {}, 400, 'invalid_input', 'peer'],
    ['an unknown field', 'PUT', path, { since: 'now' }, {}, 400, 'invalid_input', 'since'],
    ['a body that is no object', 'PUT', path, '[]', {}, 400, 'invalid_input', 'body'],
    ['an unknown parameter', 'PUT', `${path}?dryRun=true`, {}, {}, 400, 'invalid_input', 'dryRun'],
    ['one that must be there', 'PUT', path, {}, { 'if-match': '*' }, 412, 'precondition_failed', undefined],
    [
      'one that must not be there',
      'PUT',
      '/v1/tenants/blue/peerings/green',
      {},
      { 'if-none-match': '*' },
      412,
      'precondition_failed',
      undefined,
    ],
    ['the deletion of one that is not there', 'DELETE', path, undefined, {}, 404, 'not_found', 'peer'],
    [
      'the deletion for no tenant',
      'DELETE',
      '/v1/tenants/grey/peerings/red',
      undefined,
      {},
      404,
      'not_found',
      undefined,
    ],
    ['a list of no tenant', 'GET', '/v1/tenants/grey/peerings', undefined, {}, 404, 'not_found', undefined],
    [
      "a list by another's token",
      'GET',
      '/v1/tenants/blue/peerings?continue=bm9kZXM',
      undefined,
      {},
      400,
      'invalid_input',
      'continue',
    ],
  ])('%s', async (_, method, url, body, headers, status, code, field) => {
    const { call, store } = await appWithTenants('blue', 'red', 'green', 'dying');
    await call('PUT', '/v1/tenants/blue/peerings/green', {});
    await putBlock(store, 'dying', '10.128.8.0/27');
    await call('DELETE', '/v1/tenants/dying?wait=enforced&timeout=1ms');
    const before = await dump(store);
    const errors = field === undefined ? {} : { errors: [{ field, message: expect.any(String) }] };
    expect(await call(method, url, body, headers)).toMatchObject({ status, body: { code, ...errors } });
    expect(await dump(store)).toEqual(before);
  });
});

describe('go with a tenant', () => {
  const peeringsIn = async (store: Parameters<typeof dump>[0]) =>
    Object.keys(await dump(store)).filter((key) => key.startsWith('peerings/'));

  test('those it asked, and those that others asked of it, and no others', async () => {
    const { call, store } = await appWithTenants();
    for (const url of [path, back, '/v1/tenants/green/peerings/red', '/v1/tenants/green/peerings/blue'])
      expect((await call('PUT', url)).status).toBe(201);
    expect((await call('DELETE', '/v1/tenants/red')).status).toBe(204);
    expect(await peeringsIn(store)).toEqual(['peerings/green/blue']);
    await call('POST', '/v1/tenants', { name: 'red' });
    expect((await call('PUT', back)).body.inForce).toBe(false);
  });

  test('when both are deleted at once', async () => {
    const { call, store } = await appWithTenants();
    await Promise.all([call('PUT', path), call('PUT', back)]);
    const answers = await Promise.all([call('DELETE', '/v1/tenants/red'), call('DELETE', '/v1/tenants/blue')]);
    expect(answers.map(({ status }) => status)).toEqual([204, 204]);
    expect(await peeringsIn(store)).toEqual([]);
  });

  test('whichever tenant asks for it meanwhile', async () => {
    for (let round = 0; round < 5; round++) {
      const { call, store } = await appWithTenants();
      const [deleted, asked] = await Promise.all([call('DELETE', '/v1/tenants/red'), call('PUT', path)]);
      expect(deleted.status).toBe(204);
      expect([201, 404, 409]).toContain(asked.status);
      expect(await peeringsIn(store)).toEqual([]);
    }
  });

  test('more than fit into one commit', async () => {
    const { call, store, memory } = await appWithTenants('red');
    const record = (tenant: string, peer: string) => formatRecord({ tenant, peer, createdAt: '2026-11-24T11:00:00Z' });
    for (let index = 0; index < 300; index++) {
      const other = `t${index}`;
      await memory.commit(
        [],
        [
          { kind: 'put', key: keys.peering(other, 'red'), value: record(other, 'red') },
          { kind: 'put', key: keys.peering('red', other), value: record('red', other) },
        ],
      );
    }
    expect((await call('DELETE', '/v1/tenants/red')).status).toBe(204);
    expect(await peeringsIn(store)).toEqual([]);
  });

  test('even where the answer to each commit of the deletion is lost', async () => {
    const { call, store, memory } = await appWithTenants();
    await call('PUT', path);
    for (const _ of ['the mark', 'the peerings', 'the tenant']) memory.failNext('indeterminate-applied');
    expect((await call('DELETE', '/v1/tenants/red')).status).toBe(204);
    expect(await peeringsIn(store)).toEqual([]);
  });
});
