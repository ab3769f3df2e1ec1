/** Namespaces, endpoints, nodes and the cluster over REST. */
import { describe, expect, test } from 'vitest';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { dump, putBlock, putEndpoint, putNode, startApp, until } from './fixture.ts';

const NAME_LABEL = 'kubernetes.io/metadata.name';

async function appWithTenants() {
  const app = await startApp();
  for (const name of ['blue', 'green']) await app.call('POST', '/v1/tenants', { name });
  return app;
}

describe('a record that cannot be read', () => {
  test('is left out of lists, which name it, and hurts no other', async () => {
    const { call, store } = await appWithTenants();
    for (const name of ['blue', 'green']) await call('PUT', `/v1/tenants/${name}/namespaces/${name}-shop`, {});
    await putNode(store, 'node1');
    const odd: readonly (readonly [string, string, number])[] = [
      ['/v1/tenants', keys.tenant('broken'), 3],
      ['/v1/tenants/blue/namespaces', keys.namespace('blue', 'broken'), 2],
      ['/v1/tenants/blue/policies', keys.policy('blue', 'blue', 'broken'), 0],
      ['/v1/tenants/blue/peerings', keys.peering('blue', 'green'), 0],
      ['/v1/tenants/blue/endpoints', keys.endpoint('blue', 'node1', 'aaaaaaaaaaaa'), 0],
      ['/v1/nodes', keys.node('node9'), 1],
    ];
    for (const [path, key, others] of odd) {
      await store.commit([], [{ kind: 'put', key, value: '{"schema":9}' }]);
      const { status, body } = await call('GET', path);
      expect(status, path).toBe(200);
      expect(body.items, path).toHaveLength(others);
      expect(body.unreadable, path).toEqual([{ key, reason: expect.stringContaining('has schema 9') }]);
    }
    const { body } = await call('GET', '/v1/cluster/problems');
    expect(body.items?.map(({ about }) => about)).toEqual(expect.arrayContaining(odd.map(([, key]) => key)));
  });

  test('is replaced by a policy that is put in its place, and can be deleted', async () => {
    const { call, store } = await appWithTenants();
    const path = '/v1/tenants/blue/namespaces/blue/policies/odd';
    const breakIt = () =>
      store.commit([], [{ kind: 'put', key: keys.policy('blue', 'blue', 'odd'), value: '{"schema":9}' }]);
    await breakIt();
    expect((await call('PUT', path, { podSelector: {} })).status).toBe(200);
    await breakIt();
    expect((await call('DELETE', path)).status).toBe(204);
    expect((await call('GET', path)).status).toBe(404);
  });
});

describe('namespaces', () => {
  const path = '/v1/tenants/blue/namespaces/shop';

  test('are made, labelled, listed and deleted', async () => {
    const { call } = await appWithTenants();
    const made = await call('PUT', path, { labels: { stage: 'test' } });
    expect(made).toMatchObject({
      status: 201,
      headers: { etag: `"${made.body.revision}"` },
      body: { tenant: 'blue', name: 'shop', labels: { stage: 'test', [NAME_LABEL]: 'shop' } },
    });
    expect((await call('GET', '/v1/tenants/blue')).body.namespaces).toEqual(['blue', 'shop']);
    const changed = await call('PUT', path, {}, { 'if-match': made.headers.etag ?? '' });
    expect(changed).toMatchObject({ status: 200, body: { labels: { [NAME_LABEL]: 'shop' } } });
    expect((await call('GET', path)).body).toEqual(changed.body);
    const { body } = await call('GET', '/v1/tenants/blue/namespaces');
    expect(body.items?.map(({ name }) => name)).toEqual(['blue', 'shop']);
    expect((await call('DELETE', path)).status).toBe(204);
    expect((await call('GET', path)).status).toBe(404);
    expect((await call('PUT', '/v1/tenants/green/namespaces/shop', {})).status).toBe(201);
  });

  test('that are put again as they are keep their revision', async () => {
    const { call } = await appWithTenants();
    const made = await call('PUT', path, { labels: { a: 'b' } });
    expect((await call('PUT', path, { labels: { a: 'b' } })).body).toEqual(made.body);
  });

  test.each<[string, string, string, unknown, Record<string, string>, number, string]>([
    ["another's", 'PUT', '/v1/tenants/blue/namespaces/green', {}, {}, 409, 'conflict'],
    ['one of no tenant', 'PUT', '/v1/tenants/red/namespaces/shop', {}, {}, 404, 'not_found'],
    ["one of the platform's", 'PUT', '/v1/tenants/system/namespaces/shop', {}, {}, 409, 'conflict'],
    ['one of a bad name', 'PUT', '/v1/tenants/blue/namespaces/Shop', {}, {}, 400, 'invalid_input'],
    ['one with a bad label', 'PUT', path, { labels: { a: '!' } }, {}, 400, 'invalid_input'],
    ['one under another name', 'PUT', path, { labels: { [NAME_LABEL]: 'x' } }, {}, 400, 'invalid_input'],
    ['one with an unknown field', 'PUT', path, { label: {} }, {}, 400, 'invalid_input'],
    [
      'one that must not be there',
      'PUT',
      '/v1/tenants/blue/namespaces/blue',
      {},
      { 'if-none-match': '*' },
      412,
      'precondition_failed',
    ],
    ['one that must be there', 'PUT', path, {}, { 'if-match': '*' }, 412, 'precondition_failed'],
    ['with a tag in If-None-Match', 'PUT', path, {}, { 'if-none-match': '"4"' }, 400, 'invalid_input'],
    ['the deletion of one that is not there', 'DELETE', path, undefined, {}, 404, 'not_found'],
    ['the deletion of one that lives', 'DELETE', '/v1/tenants/blue/namespaces/busy', undefined, {}, 409, 'conflict'],
    ["the deletion of a tenant's own", 'DELETE', '/v1/tenants/blue/namespaces/blue', undefined, {}, 409, 'conflict'],
    [
      'a deletion with an old tag',
      'DELETE',
      '/v1/tenants/blue/namespaces/busy',
      undefined,
      { 'if-match': '"1"' },
      412,
      'precondition_failed',
    ],
    ['a list of no tenant', 'GET', '/v1/tenants/red/namespaces', undefined, {}, 404, 'not_found'],
    [
      'a list by another’s token',
      'GET',
      '/v1/tenants/blue/namespaces?continue=bm9kZXM',
      undefined,
      {},
      400,
      'invalid_input',
    ],
  ])('%s is refused, and nothing is written', async (_, method, url, body, headers, status, code) => {
    const { call, store } = await appWithTenants();
    await call('PUT', '/v1/tenants/blue/namespaces/busy', {});
    await putEndpoint(store, { namespace: 'busy' });
    const before = await dump(store);
    expect(await call(method, url, body, headers)).toMatchObject({ status, body: { code } });
    expect(await dump(store)).toEqual(before);
  });

  test('are claimed by one of two tenants that want the same at once', async () => {
    const { call } = await appWithTenants();
    const answers = await Promise.all(
      ['blue', 'green'].map((tenant) => call('PUT', `/v1/tenants/${tenant}/namespaces/shop`, {})),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
  });

  test('put at once all stay', async () => {
    const { call } = await appWithTenants();
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => call('PUT', `/v1/tenants/blue/namespaces/${name}`, {})));
    expect(((await call('GET', '/v1/tenants/blue')).body.namespaces as string[]).sort()).toEqual([
      'a',
      'b',
      'blue',
      'c',
      'd',
    ]);
  });
});

describe('endpoints', () => {
  test('are listed, by namespace and by node, in pages', async () => {
    const { call, store } = await appWithTenants();
    for (let index = 0; index < 6; index++)
      await putEndpoint(store, {
        id: `00000000000${index}`,
        node: `node${index % 2}`,
        namespace: index < 3 ? 'blue' : 'shop',
      });
    const list = async (query: string) => (await call('GET', `/v1/tenants/blue/endpoints${query}`)).body;
    const ids = (items: readonly { readonly [field: string]: unknown }[] = []) => items.map(({ id }) => Number(id));
    expect(ids((await list('')).items)).toEqual([0, 2, 4, 1, 3, 5]);
    expect(ids((await list('?node=node1')).items)).toEqual([1, 3, 5]);
    expect(ids((await list('?namespace=shop')).items)).toEqual([4, 3, 5]);
    expect(ids((await list('?namespace=shop&node=node0')).items)).toEqual([4]);
    const first = await list('?namespace=shop&limit=2');
    expect(ids(first.items)).toEqual([4, 3]);
    expect(await list(`?namespace=shop&limit=2&continue=${first.continue}`)).toMatchObject({
      items: [{ id: '000000000005' }],
    });
  });

  test('are shown whole', async () => {
    const { call, store } = await appWithTenants();
    const endpoint = await putEndpoint(store);
    const { body } = await call('GET', `/v1/tenants/blue/endpoints/${endpoint.id}`);
    expect(body).toEqual({ ...endpoint, revision: expect.any(Number) });
  });

  test('take new named ports, and keep all else', async () => {
    const { call, store } = await appWithTenants();
    const endpoint = await putEndpoint(store, { labels: { a: 'b' } });
    const url = `/v1/tenants/blue/endpoints/${endpoint.id}/ports`;
    const ports = [
      { name: 'dns', containerPort: 53, protocol: 'TCP' },
      { name: 'dns', containerPort: 53, protocol: 'UDP' },
    ];
    const wanted = [{ name: 'dns', containerPort: 53 }, ports[1]];
    const changed = await call('PUT', url, { ports: wanted });
    expect(changed).toMatchObject({ status: 200, body: { ...endpoint, ports } });
    expect(await call('PUT', url, { ports })).toMatchObject({ body: { revision: changed.body.revision } });
    expect((await call('PUT', url, { ports: [] }, { 'if-match': '"1"' })).status).toBe(412);
  });

  test('take new labels, and keep all else', async () => {
    const { call, store } = await appWithTenants();
    const endpoint = await putEndpoint(store, { labels: { a: 'b' } });
    const { headers } = await call('GET', `/v1/tenants/blue/endpoints/${endpoint.id}`);
    const url = `/v1/tenants/blue/endpoints/${endpoint.id}/labels`;
    const changed = await call('PUT', url, { labels: { app: 'web' } }, { 'if-match': headers.etag ?? '' });
    expect(changed).toMatchObject({ status: 200, body: { ...endpoint, labels: { app: 'web' } } });
    const { entry } = await store.get(keys.endpoint('blue', endpoint.node, endpoint.id));
    expect(JSON.parse(entry?.value ?? '')).toEqual({ schema: 1, ...endpoint, labels: { app: 'web' } });
    expect((await call('PUT', url, { labels: {} }, { 'if-match': headers.etag ?? '' })).status).toBe(412);
  });

  test.each<[string, string, string, unknown, number]>([
    ['one that is not there', 'GET', '/v1/tenants/blue/endpoints/000000000000', undefined, 404],
    ["another tenant's", 'GET', '/v1/tenants/green/endpoints/3f9c01ab77d2', undefined, 404],
    ['one of no tenant', 'GET', '/v1/tenants/red/endpoints/3f9c01ab77d2', undefined, 404],
    ['a list of no tenant', 'GET', '/v1/tenants/red/endpoints', undefined, 404],
    ['an id that cannot be', 'GET', '/v1/tenants/blue/endpoints/node1%2F3f9c01ab77d2', undefined, 400],
    ['labels of one that is not there', 'PUT', '/v1/tenants/blue/endpoints/000000000000/labels', { labels: {} }, 404],
    ['bad labels', 'PUT', '/v1/tenants/blue/endpoints/3f9c01ab77d2/labels', { labels: { a: '!' } }, 400],
    ['ports of one that is not there', 'PUT', '/v1/tenants/blue/endpoints/000000000000/ports', { ports: [] }, 404],
    [
      'a bad port',
      'PUT',
      '/v1/tenants/blue/endpoints/3f9c01ab77d2/ports',
      { ports: [{ name: 'a', containerPort: 0 }] },
      400,
    ],
    ['no ports', 'PUT', '/v1/tenants/blue/endpoints/3f9c01ab77d2/ports', {}, 400],
    ['no labels', 'PUT', '/v1/tenants/blue/endpoints/3f9c01ab77d2/labels', {}, 400],
    ['a write that is the agent’s', 'PUT', '/v1/tenants/blue/endpoints/3f9c01ab77d2', { node: 'x' }, 405],
    ['a node that cannot be', 'GET', '/v1/tenants/blue/endpoints?node=a%2Fb', undefined, 400],
  ])('%s is refused, and nothing is written', async (_, method, url, body, status) => {
    const { call, store } = await appWithTenants();
    await putEndpoint(store);
    const before = await dump(store);
    expect((await call(method, url, body)).status).toBe(status);
    expect(await dump(store)).toEqual(before);
  });
});

describe('nodes', () => {
  test('are live while their agents are, and are counted', async () => {
    const { call, store } = await appWithTenants();
    await putNode(store, 'node1');
    await putNode(store, 'node2.example', { live: false });
    await putEndpoint(store);
    await until('one endpoint', async () => (await call('GET', '/v1/nodes/node1')).body.endpoints === 1);
    const { body } = await call('GET', '/v1/nodes');
    expect(body.items).toEqual([
      expect.objectContaining({ name: 'node1', live: true, endpoints: 1, underlay: '192.0.2.11', roles: ['compute'] }),
      expect.objectContaining({ name: 'node2.example', live: false, endpoints: 0 }),
    ]);
    expect((await call('GET', '/v1/nodes/node2.example')).body).toEqual(body.items?.[1]);
  });

  test('that are alive are not forgotten', async () => {
    const { call, store } = await appWithTenants();
    await putNode(store, 'node1');
    await putEndpoint(store);
    const before = await dump(store);
    expect(await call('DELETE', '/v1/nodes/node1')).toMatchObject({
      status: 409,
      body: { code: 'conflict', holder: 'node1' },
    });
    expect(await call('DELETE', '/v1/nodes/node9')).toMatchObject({ status: 404 });
    expect(await call('DELETE', '/v1/nodes/node1', undefined, { 'if-match': '"1"' })).toMatchObject({ status: 412 });
    expect(await dump(store)).toEqual(before);
  });

  test('that are dead are forgotten with all they had, and other nodes lose nothing', async () => {
    const { call, store, registry } = await appWithTenants();
    await putNode(store, 'node2');
    await putBlock(store, 'blue', '10.128.8.0/27', 'node2');
    await putEndpoint(store, { id: 'aaaaaaaaaaaa', node: 'node2' });
    const before = await dump(store);
    await putNode(store, 'node1', { live: false });
    for (let index = 0; index < 130; index++) {
      await putBlock(store, index % 2 ? 'blue' : 'green', `10.129.${index}.0/27`);
      await putEndpoint(store, { id: index.toString(16).padStart(12, '0'), tenant: index % 2 ? 'blue' : 'green' });
    }
    await putBlock(store, 'system', '10.128.0.1/32');
    await until('all counted', () => registry.census.ofNodes().get('node1') === 130);
    expect((await call('DELETE', '/v1/nodes/node1')).status).toBe(204);
    expect(await dump(store)).toEqual(before);
  });
});

describe('the cluster', () => {
  test('is shown, and takes exceptions, platform networks and a default tenant', async () => {
    const { call } = await appWithTenants();
    const { headers, body } = await call('GET', '/v1/cluster');
    expect(body).toEqual({
      pools: ['10.128.0.0/9'],
      systemSubnets: ['10.128.0.0/22'],
      subnetPrefixLength: { v4: 22, v6: 64 },
      blockPrefixLength: { v4: 27, v6: 123 },
      platformNetworks: [],
      openNetworks: [],
      exceptions: [],
      revision: 2,
    });
    const patch = {
      exceptions: [{ name: 'dns', address: '192.0.2.53', protocol: 'UDP', port: 53 }],
      platformNetworks: ['192.0.2.0/24'],
      openNetworks: ['100.100.100.200/32'],
      defaultTenant: 'blue',
    };
    const changed = await call('PATCH', '/v1/cluster', patch, { 'if-match': headers.etag ?? '' });
    expect(changed).toMatchObject({ status: 200, body: { ...body, ...patch, revision: expect.any(Number) } });
    expect((await call('GET', '/v1/cluster')).body).toEqual(changed.body);
    expect((await call('PATCH', '/v1/cluster', {}, { 'if-match': headers.etag ?? '' })).status).toBe(412);
    expect((await call('GET', '/v1/cluster', undefined, { 'if-none-match': changed.headers.etag ?? '' })).status).toBe(
      304,
    );
  });

  test.each<[string, unknown, string]>([
    ['a pool', { pools: [] }, 'pools'],
    [
      'an exception at no address',
      { exceptions: [{ name: 'a', address: 'b', protocol: 'UDP', port: 1 }] },
      'exceptions[0].address',
    ],
    [
      'an exception of no protocol',
      { exceptions: [{ name: 'a', address: '192.0.2.1', protocol: 'ICMP', port: 1 }] },
      'exceptions[0].protocol',
    ],
    [
      'an exception at port 0',
      { exceptions: [{ name: 'a', address: '192.0.2.1', protocol: 'TCP', port: 0 }] },
      'exceptions[0].port',
    ],
    [
      'an exception in a tenant',
      { exceptions: [{ name: 'a', address: '10.200.0.1', protocol: 'TCP', port: 1 }] },
      'exceptions[0].address',
    ],
    ['a platform network in the pool', { platformNetworks: ['10.200.0.0/24'] }, 'platformNetworks[0]'],
    ['to open what is not closed', { openNetworks: ['100.64.0.0/10', '192.0.2.0/24'] }, 'openNetworks[1]'],
    ['to open more than what is closed', { openNetworks: ['100.0.0.0/8'] }, 'openNetworks[0]'],
    ['a default tenant that is not there', { defaultTenant: 'red' }, 'defaultTenant'],
    ["the platform's tenant as default", { defaultTenant: 'system' }, 'defaultTenant'],
  ])('refuses %s, and nothing is written', async (_, patch, field) => {
    const { call, store } = await appWithTenants();
    const before = await dump(store);
    const answer = await call('PATCH', '/v1/cluster', patch);
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field }] } });
    expect(await dump(store)).toEqual(before);
  });

  test('is made once, whichever controller starts first, and refuses flags that contradict it', async () => {
    const store = new MemoryStore();
    await Promise.all([startApp({ store }), startApp({ store })]);
    const before = await dump(store);
    expect(Object.keys(before)).toEqual([
      'claims/namespace/system',
      'claims/subnet/010.128.000.000-22',
      'claims/vni/00000001',
      'cluster',
      'history',
      'namespaces/system/system',
      'tenants/system',
    ]);
    await startApp({ store, cluster: { subnetPrefixLength: 22 } });
    const other = startApp({ store, cluster: { pools: [parsePrefix('10.0.0.0/8')], subnetPrefixLength: 23 } });
    await expect(other).rejects.toMatchObject({
      code: 'invalid_input',
      errors: [
        { field: 'pools', message: expect.stringContaining('["10.128.0.0/9"]') },
        { field: 'subnetPrefixLength', message: expect.stringContaining('22') },
      ],
    });
    expect(await dump(store)).toEqual(before);
  });
});
