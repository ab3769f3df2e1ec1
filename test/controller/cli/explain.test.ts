/** `tenetctl explain` and `tenetctl apply --dry-run` against the real REST application on the memory store. */
import { expect, onTestFinished, test } from 'vitest';
import { startController } from './controller.ts';
import { tenetctl } from './tenetctl.ts';

const POLICY = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: blue}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
`;

/** Tenant blue with web and db. */
async function setUp() {
  const controller = await startController();
  onTestFinished(() => controller.close());
  const env = { TENET_SERVER: controller.url, TENET_TOKEN: controller.token };
  const run = (...args: readonly string[]) => tenetctl(args, env);
  const apply = (manifest: string, ...args: readonly string[]) =>
    tenetctl(['apply', '-f', '-', ...args], env, manifest);
  await run('create', 'tenant', 'blue', '--subnet', '10.140.4.0/24');
  const add = (id: string, name: string, ip: string) =>
    controller.addEndpoint({ id, tenant: 'blue', name, ip, containerId: `container-${name}` });
  await add('00000000000a', 'web', '10.140.4.1');
  await add('00000000000b', 'db', '10.140.4.2');
  return { controller, run, apply };
}

test('the verdict comes first, then a line for each end', async () => {
  const { run, apply } = await setUp();
  await apply(POLICY);
  expect(await run('explain', '--from', 'blue/web', '--to', 'blue/blue/db', '--port', '5432')).toEqual({
    code: 0,
    err: '',
    out:
      'ALLOWED: blue/blue/web (10.140.4.1) → blue/blue/db (10.140.4.2), TCP 5432\n' +
      '  source       allowed  no policy isolates blue/blue/web for egress: all that its tenant allows passes\n' +
      '  destination  allowed  policy blue/db, spec.ingress[0].from[0] and ports[0] allows it\n',
  });
  const denied = await run('explain', '--from', '10.140.4.1', '--to', 'blue/00000000000b', '--port', '80');
  expect(denied).toMatchObject({ code: 0, err: '' });
  expect(denied.out).toMatch(/^DENIED: blue\/blue\/web \(10.140.4.1\) → .*, TCP 80\n {2}source +allowed .*\n/);
  expect(denied.out).toMatch(/\n {2}destination +denied +policy blue\/db isolates .*; nearest is .* but not TCP 80\n$/);
});

test('any protocol and address; json is what REST gives', async () => {
  const { run } = await setUp();
  const beyond = await run('explain', '--from', 'blue/web', '--to', '203.0.113.9', '--port', '53', '--protocol', 'udp');
  expect(beyond.out).toMatch(/^ALLOWED: .* → 203.0.113.9 \(beyond the cluster\), UDP 53\n/);
  const icmp = await run('explain', '--from', 'blue/web', '--to', 'blue/db', '--protocol', 'ICMP', '-o', 'json');
  expect(JSON.parse(icmp.out)).toMatchObject({
    allowed: true,
    protocol: 'ICMP',
    because: [{}, {}],
    revision: expect.any(Number),
  });
});

test('quiet says it by the exit code', async () => {
  const { run } = await setUp();
  const ask = (to: string) => run('explain', '-q', '--from', 'blue/web', '--to', to, '--port', '80');
  expect(await ask('blue/db')).toEqual({ code: 0, out: '', err: '' });
  expect(await ask('169.254.169.254')).toEqual({
    code: 1,
    out: '',
    err: expect.stringMatching(
      /^tenetctl: denied: 169.254.169.254 is in the reserved network .* closed to containers\n$/,
    ),
  });
});

test.each<[string, string[], number, RegExp]>([
  [
    'an end that is no address',
    ['--from', 'web', '--to', 'blue/db', '--port', '1'],
    2,
    /from: "web" is not an address\n.*NAMESPACE\/NAME/,
  ],
  ['an end of too many parts', ['--from', 'a/b/c/d', '--to', 'blue/db', '--port', '1'], 2, /from: "a\/b\/c\/d"/],
  [
    'a namespace that is not there',
    ['--from', 'no/web', '--to', 'blue/db', '--port', '1'],
    3,
    /namespace "no" does not exist/,
  ],
  [
    'an endpoint that is not there',
    ['--from', 'blue/no', '--to', 'blue/db', '--port', '1'],
    3,
    /endpoint "no" does not exist/,
  ],
  ['no port', ['--from', 'blue/web', '--to', 'blue/db'], 2, /port: is required for TCP/],
  ['no destination', ['--from', 'blue/web', '--port', '1'], 2, /--to/],
])('is refused: %s', async (_, args, code, words) => {
  const { run } = await setUp();
  expect(await run('explain', ...args)).toMatchObject({ code, out: '', err: expect.stringMatching(words) });
});

test('a dry run of apply says what would open and close, and writes nothing', async () => {
  const { controller, run, apply } = await setUp();
  const policies = '/v1/tenants/blue/policies';
  const before = await controller.get(policies);
  expect(await apply(POLICY, '--dry-run')).toEqual({
    code: 0,
    err: '',
    out: [
      'policy/blue/blue/db would be created',
      ...['TCP 1-5431', 'TCP 5433-65535', 'UDP', 'SCTP', 'ICMP'].map(
        (ports) => `  closes  blue/blue/web (10.140.4.1) → blue/blue/db (10.140.4.2), ${ports}`,
      ),
      '',
    ].join('\n'),
  });
  expect(await controller.get(policies)).toEqual(before);
  await apply(POLICY);
  expect((await apply(POLICY, '--dry-run')).out).toBe('policy/blue/blue/db unchanged\n');
  const wider = POLICY.replace('5432', '5433');
  expect((await apply(wider, '--dry-run')).out).toBe(
    'policy/blue/blue/db would be configured\n' +
      '  closes  blue/blue/web (10.140.4.1) → blue/blue/db (10.140.4.2), TCP 5432\n' +
      '  opens   blue/blue/web (10.140.4.1) → blue/blue/db (10.140.4.2), TCP 5433\n',
  );
  const fresh = 'apiVersion: tenet.dev/v1\nkind: Namespace\nmetadata: {name: new}\nspec: {tenant: blue}\n---';
  expect((await apply(fresh + POLICY.replace('namespace: blue', 'namespace: new'), '--dry-run')).out).toBe(
    'namespace/blue/new would be created\npolicy/blue/new/db would be created\n  its namespace does not exist yet\n',
  );
  expect((await run('get', 'ns', 'new')).code).toBe(3);
  expect((await apply(POLICY, '--dry-run', '--wait')).code).toBe(2);
});
