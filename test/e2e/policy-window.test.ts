/**
 * Policies leave no window: while they are replaced by others that agree, while identities are numbered anew, while agents die and come
 * back, and in a container's first moments, what all states allow loses no message, and what none allows does not arrive.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Attachment, type Container, cniAdd, cniDel, newContainerId } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { addNetns } from '../lab/named-netns.ts';
import { netnsName } from '../lab/topology.ts';
import { makeTenant, untilReached } from './support/cluster.ts';
import { allowed, Flood, type FloodFlow, forbidden } from './support/flood.ts';

const CHANGES = 20;
const UDP = 7001;
const TCP = 7003;

let lab: Lab;
/** on node1 */
let db: Container;
let web: readonly [Container, Container];
let guest: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  await makeTenant(lab, 'red');
  db = await attach('node1', 'db');
  web = [await attach('node1', 'web'), await attach('node2', 'web')];
  guest = [await attach('node1', 'guest'), await attach('node2', 'guest')];
  await untilReached(lab, [
    [web[0], db],
    [web[1], db],
    [guest[0], db],
    [guest[1], db],
  ]);
  await put('policies/db', toDb([{ from: [{ podSelector: app('web') }] }]));
});
afterAll(() => lab?.close());

const app = (name: string) => ({ matchLabels: { app: name } });
const attach = (node: string, name: string): Promise<Container> =>
  lab.attach(node, { tenant: 'red', labels: { app: name } });
const toDb = (ingress: readonly object[]) => ({ podSelector: app('db'), policyTypes: ['Ingress'], ingress });

async function put(path: string, body: object): Promise<void> {
  const answer = await lab.rest('PUT', `/v1/tenants/red/namespaces/red/${path}?wait=enforced&timeout=60s`, body);
  expect([200, 201], JSON.stringify(answer.body)).toContain(answer.status);
}

const FLOWS = (): FloodFlow[] => [
  allowed('udp', 'same host', web[0], db, UDP),
  allowed('udp', 'across', web[1], db, UDP),
  allowed('tcp', 'across, TCP', web[1], db, TCP),
  forbidden('guest, same host', guest[0], db, UDP),
  forbidden('guest, across', guest[1], db, UDP),
];

async function startFlood(more: readonly FloodFlow[] = []): Promise<Flood> {
  const flood = await Flood.start([...FLOWS(), ...more]);
  onTestFinished(() => flood.close());
  return flood;
}

test('a policy is replaced by others that agree about these flows', async () => {
  const flood = await startFlood();
  const ports = [
    { protocol: 'UDP', port: 7000, endPort: 7010 },
    { protocol: 'TCP', port: TCP },
  ];
  const specs = [
    toDb([{ from: [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'x'] }] } }] }]),
    toDb([{ from: [{ podSelector: app('web') }], ports }]),
    toDb([
      { from: [{ namespaceSelector: {}, podSelector: app('web') }], ports },
      { from: [{ podSelector: app('x') }] },
    ]),
    toDb([{ from: web.map(({ ip }) => ({ ipBlock: { cidr: `${ip}/32` } })) }]),
  ];
  for (let round = 0; round < CHANGES; round++) {
    await put('policies/db', specs[round % specs.length] as object);
    await flood.passes(2);
  }
  await put('policies/db', toDb([{ from: [{ podSelector: app('web') }] }]));
  await flood.stopUnharmed();
});

test('one policy comes before another goes, which says the same', async () => {
  const flood = await startFlood();
  const spec = toDb([{ from: [{ podSelector: app('web') }] }]);
  for (let round = 0; round < CHANGES / 2; round++) {
    const [comes, goes] = round % 2 === 0 ? ['twin', 'db'] : ['db', 'twin'];
    await put(`policies/${comes}`, spec);
    const { status } = await lab.rest(
      'DELETE',
      `/v1/tenants/red/namespaces/red/policies/${goes}?wait=enforced&timeout=60s`,
    );
    expect(status).toBe(200);
    await flood.passes(2);
  }
  await flood.stopUnharmed();
});

test('callers get another identity, and are still allowed', async () => {
  const flood = await startFlood();
  // So that the label tells identities apart.
  await put('policies/v1', toDb([{ from: [{ podSelector: { matchLabels: { app: 'web', v: '1' } } }] }]));
  const { body } = await lab.rest<{ items: { id: string; containerId: string }[] }>('GET', '/v1/tenants/red/endpoints');
  const ids = web.map(({ id }) => body.items.find(({ containerId }) => containerId === id)?.id);
  for (let round = 0; round < CHANGES; round++) {
    const id = ids[round % 2];
    const labels = { app: 'web', v: String(Math.floor(round / 2) % 2) };
    const { status } = await lab.rest('PUT', `/v1/tenants/red/endpoints/${id}/labels?wait=enforced&timeout=60s`, {
      labels,
    });
    expect(status).toBe(200);
    await flood.passes(2);
  }
  await lab.rest('DELETE', '/v1/tenants/red/namespaces/red/policies/v1?wait=enforced&timeout=60s');
  await flood.stopUnharmed();
});

test('a policy turns round, and what neither side of it allows does not pass on the way', async () => {
  const [one, other] = [await attach('node1', 'turning'), await attach('node1', 'turned')];
  const spec = (to: string, from: string) => ({
    podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['turning', 'turned'] }] },
    policyTypes: ['Ingress', 'Egress'],
    egress: [{ to: [{ podSelector: app(to) }] }],
    ingress: [{ from: [{ podSelector: app(from) }] }],
  });
  // The one may call the other, which hears the guest alone; then the other hears the one, which may call the guest alone.
  const specs = [spec('turned', 'guest'), spec('guest', 'turning')] as const;
  await put('policies/turning', specs[0]);
  const flood = await startFlood([
    allowed('udp', 'the node itself', lab.host('node1'), other, UDP),
    forbidden('what neither side allows', one, other, UDP),
  ]);
  for (let round = 1; round <= 2 * CHANGES; round++) {
    await put('policies/turning', specs[round % 2] as object);
    await flood.passes(2);
  }
  await flood.stopUnharmed();
  await lab.rest('DELETE', '/v1/tenants/red/namespaces/red/policies/turning?wait=enforced');
  for (const container of [one, other]) await lab.detach(container);
});

test('agents are killed and come back, and policies have changed meanwhile', async () => {
  const flood = await startFlood();
  for (const node of ['node1', 'node2']) await lab.killAgent(node, 'SIGKILL');
  await flood.passes(50);
  await lab.rest('PUT', '/v1/tenants/red/namespaces/red/policies/more', {
    podSelector: app('db'),
    ingress: [{ from: [{ podSelector: app('web') }], ports: [{ protocol: 'UDP', port: UDP }] }],
  });
  for (const node of ['node1', 'node2']) await lab.startAgent(node);
  await flood.passes(100);
  await lab.rest('DELETE', '/v1/tenants/red/namespaces/red/policies/more?wait=enforced&timeout=60s');
  await flood.stopUnharmed();
});

test('a container’s first moments: it sends before ADD has answered, and others send to it', async () => {
  await put('policies/quiet', { podSelector: app('quiet'), policyTypes: ['Egress'] });
  // An address that its next owner shall have.
  const before = await attach('node1', 'db');
  await lab.detach(before);
  const births: Attachment[] = [];
  for (const name of ['guest', 'quiet', 'db'] as const) {
    const netns = netnsName(lab.id, `c-newborn-${name}`);
    addNetns(netns);
    const options = { tenant: 'red', labels: { app: name }, ...(name === 'db' ? { ip: before.ip } : {}) };
    births.push({ host: lab.host('node1'), id: newContainerId(), netns, ifname: 'eth0', options });
  }
  const [newGuest, quiet, newDb] = births as [Attachment, Attachment, Attachment];
  const reborn = { netns: newDb.netns, ip: before.ip };
  const flood = await startFlood([
    forbidden('a new guest', newGuest, db, UDP),
    allowed('udp', 'to another', web[0], web[1], UDP),
    forbidden('a new one that may not call', quiet, web[1], UDP),
    forbidden('to a new one, same host', guest[0], reborn, UDP),
    forbidden('to a new one, across', guest[1], reborn, UDP),
  ]);
  for (const birth of births) await cniAdd(birth);
  await flood.passes(100);
  // It is alive: those who may are answered.
  const listener = await lab.prober(newDb).udpListen(UDP + 1, 'newborn');
  expect(await lab.prober(web[0]).udpExchange(before.ip, UDP + 1)).toMatchObject({ id: 'newborn' });
  expect(await lab.prober(guest[0]).udpExchange(before.ip, UDP + 1)).toMatchObject({ outcome: 'timeout' });
  listener.close();
  await flood.stopUnharmed();
  for (const birth of births) await cniDel(birth);
});
