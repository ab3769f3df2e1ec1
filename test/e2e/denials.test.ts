/** What is refused is seen: counted, and told to callers that follow the tenant's denials; what is refused to others is not. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { etcdRecords, makeTenant, untilReached } from './support/cluster.ts';
import { inside } from './support/node-state.ts';

let lab: Lab;
let caller: Container;
let neighbour: Container;
let far: Container;
let stranger: Container;
/** the only one of its tenant, and so refused whatever it calls */
let loner: Container;

interface DenialView {
  readonly from: { readonly ip: string; readonly name?: string; readonly namespace?: string };
  readonly to: { readonly ip: string; readonly name?: string };
  readonly protocol: string;
  readonly port?: number;
  readonly direction: string;
  readonly node: string;
}

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  await makeTenant(lab, 'green');
  await makeTenant(lab, 'white');
  caller = await lab.attach('node1', { tenant: 'red' });
  neighbour = await lab.attach('node1', { tenant: 'red' });
  far = await lab.attach('node2', { tenant: 'red' });
  stranger = await lab.attach('node1', { tenant: 'blue' });
  loner = await lab.attach('node1', { tenant: 'green' });
  await untilReached(lab, [
    [caller, neighbour],
    [caller, far],
  ]);
});
afterAll(() => lab?.close());

const denials = async (tenant: string, query = ''): Promise<readonly DenialView[]> => {
  const { status, body } = await lab.rest<{ items: DenialView[] }>('GET', `/v1/tenants/${tenant}/denials${query}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return body.items;
};

/**
 * Calls until the denial is told: each call that is refused may be the one that is not shown. A node tells what it has refused in the order
 * of the packets, so what it refused before is told then too.
 */
async function untilTold(
  call: () => Promise<unknown>,
  isIt: (denial: DenialView) => boolean,
  tenant = 'red',
): Promise<DenialView> {
  let found: DenialView | undefined;
  await waitFor(
    async () => {
      await call();
      found = (await denials(tenant)).find(isIt);
      return found !== undefined;
    },
    { what: 'the denial is told' },
  );
  return found as DenialView;
}

/** Of red's packets, on all nodes. */
async function count(verdict: string): Promise<number> {
  const { body: text } = await lab.rest<string>('GET', '/metrics');
  const line = new RegExp(
    `^tenet_tenant_packets_total\\{(?=.*tenant="red")(?=.*verdict="${verdict}").*\\} (\\d+)`,
    'gm',
  );
  return [...text.matchAll(line)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}

async function forbid(name: string, spec: object): Promise<void> {
  const path = `/v1/tenants/red/namespaces/red/policies/${name}?wait=enforced&timeout=60s`;
  const { status, body } = await lab.rest('PUT', path, spec);
  expect(status, JSON.stringify(body)).toBe(201);
}

async function allow(name: string): Promise<void> {
  const { status } = await lab.rest(
    'DELETE',
    `/v1/tenants/red/namespaces/red/policies/${name}?wait=enforced&timeout=60s`,
  );
  expect(status).toBe(200);
}

test('what is refused while no caller asks is nowhere in etcd, and is told to the first that asks', async () => {
  const told = async () => (await etcdRecords(lab)).filter(({ key }) => /^(denials|traffic|wanted)\//.test(key));
  for (const port of [61, 62, 63, 64, 65, 66, 67]) await lab.prober(loner).udpExchange(neighbour.ip, port);
  expect(await told()).toEqual([]);
  // Not a packet more: what is told now was refused before.
  const isFirst = ({ port, direction, node }: DenialView) => port === 61 && direction === 'egress' && node === 'node1';
  await waitFor(async () => (await denials('green')).some(isFirst), { what: 'the first one refused is told' });
  const inOrder = [...(await told())].sort((a, b) => a.createRevision - b.createRevision);
  const keys = inOrder.map(({ key }) => key.replace(/^(wanted\/.*\/).*/, '$1'));
  expect(keys).toEqual(['wanted/denials/green/', 'denials/green/node1']);
});

test('refused where it arrives: both ends, port and direction', async () => {
  await forbid('closed-in', { podSelector: {}, policyTypes: ['Ingress'] });
  const told = await untilTold(
    () => lab.prober(caller).udpExchange(far.ip, 53),
    ({ direction }) => direction === 'ingress',
  );
  expect(told).toMatchObject({
    from: { ip: caller.ip, tenant: 'red', namespace: 'red' },
    to: { ip: far.ip, tenant: 'red', namespace: 'red' },
    protocol: 'UDP',
    port: 53,
    node: 'node2',
  });
  expect(told.from.name).toBeDefined();
  await allow('closed-in');
});

test('refused where it is sent, and only by that side', async () => {
  await forbid('closed-out', { podSelector: {}, policyTypes: ['Egress'] });
  const told = await untilTold(
    () => lab.prober(caller).udpExchange(neighbour.ip, 54),
    ({ port }) => port === 54,
  );
  expect(told).toMatchObject({ from: { ip: caller.ip }, to: { ip: neighbour.ip }, direction: 'egress', node: 'node1' });
  await untilTold(
    () => lab.prober(caller).udpExchange(neighbour.ip, 57),
    ({ port }) => port === 57,
  );
  const all = await denials('red');
  expect(all.filter(({ port, direction }) => port === 54 && direction === 'ingress')).toEqual([]);
  // Of what green was refused on its way to red, red hears nothing.
  expect(all.filter(({ from }) => from.ip === loner.ip)).toEqual([]);
  await allow('closed-out');
});

test('another tenant’s container is an address without a name, and its tenant hears nothing', async () => {
  const told = await untilTold(
    () => lab.prober(caller).udpExchange(stranger.ip, 55),
    ({ port }) => port === 55,
  );
  expect(told).toMatchObject({ to: { ip: stranger.ip }, direction: 'egress' });
  expect(Object.keys(told.to)).toEqual(['ip']);
  await untilTold(
    () => lab.prober(stranger).udpExchange(caller.ip, 58),
    ({ port }) => port === 58,
    'blue',
  );
  expect((await denials('blue')).filter(({ from }) => from.ip !== stranger.ip)).toEqual([]);
});

test('to a tenant of which the node knows nothing they are counted and told like all others', async () => {
  const foreign = await lab.attach('node2', { tenant: 'white' });
  const before = await count('denied');
  const told = await untilTold(
    () => lab.prober(caller).udpExchange(foreign.ip, 56),
    ({ port }) => port === 56,
  );
  expect(told).toMatchObject({ from: { ip: caller.ip }, to: { ip: foreign.ip }, direction: 'egress', node: 'node1' });
  await waitFor(async () => (await count('denied')) > before, { what: 'they are counted' });
  // The one that must pass does.
  await untilReached(lab, [[caller, far]]);
});

test('to an address of the tenant that no pod has they are counted and told, and leave no trace in the node’s neighbours', async () => {
  const free = caller.ip.replace(/\d+$/, (last) => String((Number(last) & ~31) + 30));
  expect([caller.ip, neighbour.ip]).not.toContain(free);
  const told = await untilTold(
    () => lab.prober(caller).udpExchange(free, 157),
    ({ port }) => port === 157,
  );
  expect(told).toMatchObject({ from: { ip: caller.ip }, to: { ip: free }, direction: 'egress', node: 'node1' });
  expect(await inside(lab.host('node1'), `ip neigh show nud all to ${free}`)).toBe('');
  await untilReached(lab, [[caller, neighbour]]);
});

test('packets allowed and refused are counted', async () => {
  await waitFor(async () => (await count('denied')) > 0 && (await count('allowed')) > 0, {
    what: 'both are counted',
  });
});
