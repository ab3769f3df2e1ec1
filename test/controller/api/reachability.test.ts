/** /v1/reachability and a tenant's matrix: which end may call which, and what decides; dry runs of policies. */
import { describe, expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { keys } from '../../../controller/store/keys.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { dump, putBlock, putEndpoint, putNode, startApp } from './fixture.ts';

const POLICY = '/v1/tenants/blue/namespaces/blue/policies/db';
/** Isolates blue's db for ingress: web may call it at 5432. */
const spec = {
  podSelector: { matchLabels: { app: 'db' } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 5432 }] }],
};

/** blue with web, db and another, red with web; both ask for a peering; a gateway. */
async function setUp() {
  const app = await startApp();
  const { call, store } = app;
  for (const [name, cidr] of [
    ['blue', '10.140.4.0/24'],
    ['red', '10.140.8.0/24'],
  ])
    expect((await call('POST', '/v1/tenants', { name, subnets: [cidr] })).status).toBe(201);
  await call('PUT', '/v1/tenants/blue/peerings/red');
  await call('PUT', '/v1/tenants/red/peerings/blue');
  await putNode(store, 'node1');
  await putBlock(store, 'system', '10.128.0.32/27', 'gateway1');
  const add = (id: string, tenant: string, name: string, ip: string) =>
    putEndpoint(store, { id, tenant, namespace: tenant, name, ips: [parseIp(ip)], labels: { app: name } });
  await add('00000000000a', 'blue', 'web', '10.140.4.1');
  await add('00000000000b', 'blue', 'db', '10.140.4.2');
  await add('00000000000c', 'blue', 'other', '10.140.4.3');
  await add('00000000000d', 'red', 'web', '10.140.8.1');
  const named = (tenant: string, name: string) => ({ tenant, namespace: tenant, name });
  const ask = (from: object, to: object, rest: object = { port: 5432 }) =>
    call('POST', '/v1/reachability', { from, to, ...rest });
  return { ...app, ask, named };
}

describe('a question', () => {
  test('is answered with what decides at each end, and both ends as they were found', async () => {
    const { ask, named, call } = await setUp();
    const { body: policy } = await call('PUT', POLICY, spec);
    const { status, body } = await ask(named('blue', 'web'), named('blue', 'db'));
    expect(status).toBe(200);
    expect(body).toEqual({
      allowed: true,
      because: [
        { end: 'source', decision: 'allowed', kind: 'default', reason: expect.any(String) },
        {
          end: 'destination',
          decision: 'allowed',
          kind: 'policy',
          policy: { namespace: 'blue', name: 'db' },
          rule: 'spec.ingress[0].from[0]',
          ports: 'spec.ingress[0].ports[0]',
          reason: expect.any(String),
        },
      ],
      from: { kind: 'endpoint', ...named('blue', 'web'), id: '00000000000a', node: 'node1', ips: ['10.140.4.1'] },
      to: { kind: 'endpoint', ...named('blue', 'db'), id: '00000000000b', node: 'node1', ips: ['10.140.4.2'] },
      protocol: 'TCP',
      port: 5432,
      revision: expect.any(Number),
    });
    expect(body.revision).toBeGreaterThanOrEqual(policy.revision ?? Number.NaN);
  });

  test('denied, names the policies and the nearest rule', async () => {
    const { ask, named, call } = await setUp();
    await call('PUT', POLICY, spec);
    const { body } = await ask(named('red', 'web'), { ip: '10.140.4.2' });
    expect(body).toMatchObject({
      allowed: false,
      because: [
        { decision: 'allowed' },
        {
          decision: 'denied',
          isolatedBy: [{ namespace: 'blue', name: 'db' }],
          nearest: { policy: { namespace: 'blue', name: 'db' }, rule: 'spec.ingress[0]', lacks: 'peer' },
        },
      ],
    });
  });

  test('takes addresses of any kind, ids and every protocol', async () => {
    const { ask, named } = await setUp();
    const web = named('blue', 'web');
    const verdict = async (...question: Parameters<typeof ask>) => {
      const { body } = await ask(...question);
      return [body.allowed, (body.to as { kind: string }).kind];
    };
    expect(await verdict(web, { ip: '203.0.113.9' }, { protocol: 'UDP', port: 53 })).toEqual([true, 'external']);
    expect(await verdict(web, { ip: '203.0.113.9' }, { protocol: 'ICMP' })).toEqual([true, 'external']);
    expect(await verdict(web, { ip: '192.0.2.11' })).toEqual([false, 'node']);
    expect(await verdict(web, { ip: '10.128.0.32' })).toEqual([false, 'gateway']);
    expect(await verdict(web, { ip: '10.140.4.9' })).toEqual([false, 'nobody']);
    expect(await verdict({ ip: '10.128.0.32' }, { ip: '10.140.8.1' })).toEqual([true, 'endpoint']);
    expect(await verdict({ ip: '10.140.4.1' }, named('red', '00000000000d'))).toEqual([true, 'endpoint']);
  });

  test('follows what is written: a peering that ends, an exception', async () => {
    const { ask, named, call } = await setUp();
    expect((await ask(named('blue', 'web'), named('red', 'web'))).body.allowed).toBe(true);
    await call('DELETE', '/v1/tenants/red/peerings/blue');
    expect((await ask(named('blue', 'web'), named('red', 'web'))).body).toMatchObject({
      allowed: false,
      because: [{ kind: 'tenant', reason: expect.stringContaining('blue has asked for it, red has not') }],
    });
    await call('PATCH', '/v1/cluster', {
      exceptions: [{ name: 'dns', address: '192.0.2.11', protocol: 'UDP', port: 53 }],
    });
    expect((await ask(named('blue', 'web'), { ip: '192.0.2.11' }, { protocol: 'UDP', port: 53 })).body.allowed).toBe(
      true,
    );
  });

  const web = { tenant: 'blue', namespace: 'blue', name: 'web' };
  test.each<[string, object, object, object, number, string]>([
    ['a tenant that is not there', { ...web, tenant: 'grey' }, web, { port: 1 }, 404, 'from.tenant'],
    ['a namespace that is not there', web, { ...web, namespace: 'no' }, { port: 1 }, 404, 'to.namespace'],
    ['an endpoint that is not there', web, { ...web, name: 'no' }, { port: 1 }, 404, 'to.name'],
    ['a name that two have', web, { ...web, name: 'twin' }, { port: 1 }, 400, 'to.name'],
    ['half a name', { tenant: 'blue', name: 'web' }, web, { port: 1 }, 400, 'from'],
    ['a name and an address', { ...web, ip: '10.0.0.1' }, web, { port: 1 }, 400, 'from'],
    ['an end that says nothing', web, {}, { port: 1 }, 400, 'to'],
    ['no address', web, { ip: '10.0.0' }, { port: 1 }, 400, 'to.ip'],
    ['two that are no containers', { ip: '203.0.113.9' }, { ip: '203.0.113.10' }, { port: 1 }, 400, 'to'],
    ['no port', web, web, {}, 400, 'port'],
    ['a port that is none', web, web, { port: 65536 }, 400, 'port'],
    ['a port of ICMP', web, web, { protocol: 'ICMP', port: 1 }, 400, 'port'],
    ['another protocol', web, web, { protocol: 'GRE', port: 1 }, 400, 'protocol'],
    ['an unknown field', web, web, { port: 1, why: true }, 400, 'why'],
  ])('is refused: %s', async (_, from, to, rest, status, field) => {
    const { ask, store } = await setUp();
    for (const id of ['0000000000aa', '0000000000ab']) await putEndpoint(store, { id, name: 'twin' });
    expect(await ask(from, to, rest)).toMatchObject({ status, body: { errors: [{ field }] } });
  });
});

describe("a tenant's matrix", () => {
  test('has a row for each endpoint, in one order', async () => {
    const { call } = await setUp();
    await call('PUT', POLICY, spec);
    const { body } = await call('GET', '/v1/tenants/blue/reachability?port=5432');
    expect(body).toEqual({
      tenant: 'blue',
      protocol: 'TCP',
      port: 5432,
      endpoints: [
        { id: '00000000000b', namespace: 'blue', name: 'db', ips: ['10.140.4.2'] },
        { id: '00000000000c', namespace: 'blue', name: 'other', ips: ['10.140.4.3'] },
        { id: '00000000000a', namespace: 'blue', name: 'web', ips: ['10.140.4.1'] },
      ],
      rows: [
        { from: '00000000000b', allowed: '111' },
        { from: '00000000000c', allowed: '011' },
        { from: '00000000000a', allowed: '111' },
      ],
      revision: expect.any(Number),
    });
    const icmp = await call('GET', '/v1/tenants/blue/reachability?protocol=ICMP');
    expect((icmp.body.rows as { allowed: string }[]).map(({ allowed }) => allowed)).toEqual(['111', '011', '011']);
  });

  test('comes in pages, each row once', async () => {
    const { call } = await setUp();
    const seen: string[] = [];
    let token: string | undefined;
    do {
      const next = token === undefined ? '' : `&continue=${token}`;
      const { body } = await call('GET', `/v1/tenants/blue/reachability?port=80&limit=2${next}`);
      seen.push(...(body.rows as { from: string }[]).map(({ from }) => from));
      token = body.continue;
    } while (token !== undefined);
    expect(seen).toEqual(['00000000000b', '00000000000c', '00000000000a']);
  });

  test('of many endpoints has fewer rows a page', async () => {
    const { call, store } = await setUp();
    for (let n = 0; n < 600; n++) {
      const id = (0x100000000000 + n).toString(16);
      const ips = [parseIp(`10.140.5.${n % 256}`)];
      const key = keys.endpoint('red', 'node1', id);
      const value = formatRecord({
        id,
        tenant: 'red',
        namespace: 'red',
        name: id,
        node: 'node1',
        ips,
        mac: '0a:58:0a:8c:05:01',
        labels: {},
        ports: [],
        containerId: id,
        ifname: 'eth0',
        createdAt: '2026-01-01T00:00:00Z',
      });
      await store.commit([], [{ kind: 'put', key, value }]);
    }
    const { body } = await call('GET', '/v1/tenants/red/reachability?port=80');
    expect((body.rows as { allowed: string }[]).map(({ allowed }) => allowed.length)).toEqual(Array(332).fill(601));
    expect(body.continue).toEqual(expect.any(String));
  });

  test.each([
    ['grey/reachability?port=80', 404, undefined],
    ['blue/reachability', 400, 'port'],
    ['blue/reachability?port=80&protocol=ICMP', 400, 'port'],
    ['blue/reachability?port=no', 400, 'port'],
    ['blue/reachability?port=80&namespace=blue', 400, 'namespace'],
  ])('is refused: %s', async (path, status, field) => {
    const { call } = await setUp();
    const answer = await call('GET', `/v1/tenants/${path}`);
    expect(answer.status).toBe(status);
    if (field !== undefined) expect(answer.body.errors).toEqual([{ field, message: expect.any(String) }]);
  });
});

describe('a dry run', () => {
  const flipped = (body: { readonly [field: string]: unknown }) =>
    (body.flips as { from: { name: string }; protocol: string; port?: number; endPort?: number; after: boolean }[]).map(
      ({ from, protocol, port, endPort, after }) => `${from.name} ${protocol} ${port ?? ''}-${endPort ?? ''} ${after}`,
    );

  test('of a PUT says what would close, and writes nothing', async () => {
    const { call, store } = await setUp();
    const before = await dump(store);
    const { status, body, headers } = await call('PUT', `${POLICY}?dryRun=true`, spec);
    expect(status).toBe(200);
    expect(headers.etag).toBeUndefined();
    expect(body).toMatchObject({ dryRun: true, truncated: false, revision: expect.any(Number) });
    expect(flipped(body)).toEqual([
      'web TCP 1-5431 false',
      'web TCP 5433-65535 false',
      'web UDP - false',
      'web SCTP - false',
      'web ICMP - false',
      'other any - false',
      'web any - false',
    ]);
    expect(await dump(store)).toEqual(before);
  });

  test('of a DELETE says what would open, and of the same again nothing', async () => {
    const { call, store } = await setUp();
    const made = await call('PUT', `${POLICY}?dryRun=false`, spec);
    expect(made.body).toMatchObject({ kind: 'NetworkPolicy', metadata: { name: 'db' } });
    const before = await dump(store);
    const { status, body } = await call('DELETE', `${POLICY}?dryRun=true`);
    expect(status).toBe(200);
    expect(flipped(body)).toHaveLength(7);
    expect(flipped(body).every((each) => each.endsWith('true'))).toBe(true);
    expect((await call('PUT', `${POLICY}?dryRun=true`, spec)).body.flips).toEqual([]);
    expect(await dump(store)).toEqual(before);
    expect((await call('DELETE', POLICY)).status).toBe(204);
  });

  test.each<[string, string, string, unknown, Record<string, string>, number]>([
    ['a policy that is none', 'PUT', POLICY, { ingress: 'all' }, {}, 400],
    ['one that waits', 'PUT', `${POLICY}?wait=enforced`, spec, {}, 400],
    ['a namespace that is not there', 'PUT', '/v1/tenants/blue/namespaces/no/policies/db', spec, {}, 404],
    ['a tenant that is not there', 'PUT', '/v1/tenants/grey/namespaces/grey/policies/db', spec, {}, 404],
    ['one that must be there', 'PUT', POLICY, spec, { 'if-match': '*' }, 412],
    ['the deletion of one that is not there', 'DELETE', POLICY, undefined, {}, 404],
  ])('refuses what the write would: %s', async (_, method, path, body, headers, status) => {
    const { call } = await setUp();
    const url = `${path}${path.includes('?') ? '&' : '?'}dryRun=true`;
    expect((await call(method, url, body, headers)).status).toBe(status);
  });
});
