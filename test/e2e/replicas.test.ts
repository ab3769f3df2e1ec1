/**
 * Two controllers over one etcd make tenants at the same time: none is lost, nothing is given twice, who is refused leaves nothing, and a
 * controller that is killed half-way leaves no half of a tenant.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import { contradictions, etcdDump, type TenantView } from './support/cluster.ts';

const CONTROLLERS = ['manage1', 'manage2'];
const CONCURRENCY = 32;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ nodes: 0, controllers: 2 });
});
afterAll(() => lab?.close());

interface Order {
  readonly name: string;
  readonly controller: string;
  readonly spec?: object;
}

interface Outcome extends Order {
  /** undefined: no answer */
  readonly response: { readonly status: number; readonly body: TenantView } | undefined;
}

/** Posts all, so many at a time through each controller; `onAnswer` after each. */
async function createAll(orders: readonly Order[], onAnswer?: (done: number) => void): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const workers = CONTROLLERS.flatMap((controller) => {
    const queue = orders.filter((order) => order.controller === controller);
    return Array.from({ length: CONCURRENCY }, async () => {
      for (let order = queue.shift(); order !== undefined; order = queue.shift()) {
        const { name, spec } = order;
        const response = await lab
          .rest<TenantView>('POST', '/v1/tenants', { name, ...spec }, {}, controller)
          .catch(() => undefined);
        outcomes.push({ ...order, response });
        onAnswer?.(outcomes.length);
      }
    });
  });
  await Promise.all(workers);
  return outcomes;
}

const statuses = (outcomes: readonly Outcome[]): Readonly<Record<string, number>> =>
  outcomes.reduce<Record<string, number>>((counts, { response }) => {
    const status = response?.status ?? 'none';
    counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  }, {});

function storedTenants(dump: ReadonlyMap<string, unknown>): readonly TenantView[] {
  return [...dump].filter(([key]) => key.startsWith('tenants/')).map(([, value]) => value as TenantView);
}

/** First and last address of a prefix, as numbers. */
function range(cidr: string): readonly [first: number, last: number] {
  const [address = '', length] = cidr.split('/');
  const first = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return [first, first + 2 ** (32 - Number(length)) - 1];
}

function expectNothingTwice(tenants: readonly TenantView[]): void {
  const vnis = tenants.map(({ vni }) => vni);
  expect(new Set(vnis).size).toBe(vnis.length);
  const namespaces = tenants.flatMap((tenant) => tenant.namespaces);
  expect(new Set(namespaces).size).toBe(namespaces.length);
  const ranges = tenants.flatMap(({ name, subnets }) =>
    subnets.map((subnet) => ({ name, subnet, range: range(subnet) })),
  );
  ranges.sort((a, b) => a.range[0] - b.range[0]);
  const overlaps = ranges.filter((each, index) => index > 0 && each.range[0] <= (ranges[index - 1]?.range[1] ?? -1));
  expect(overlaps).toEqual([]);
}

test('a thousand tenants at once through both: none lost, nothing twice', async () => {
  const orders = Array.from({ length: 1000 }, (_, index) => ({
    name: `tenant-${index}`,
    controller: CONTROLLERS[index % 2] ?? '',
    spec: { subnetPrefixLength: 20 + (index % 8), namespaces: [`tenant-${index}-test`] },
  }));
  const outcomes = await createAll(orders);
  expect(statuses(outcomes)).toEqual({ 201: 1000 });
  const dump = await etcdDump(lab);
  expect(contradictions(dump)).toEqual([]);
  const tenants = new Map(storedTenants(dump).map((tenant) => [tenant.name, tenant]));
  for (const { name, response } of outcomes) {
    const { vni, subnets } = response?.body ?? {};
    expect(tenants.get(name)).toMatchObject({ vni, subnets, phase: 'active' });
  }
  expectNothingTwice([...tenants.values()]);
});

/** Sixty pairs of orders, one through each controller, of which one can be fulfilled. */
function rivals(kind: 'name' | 'namespace' | 'subnet', spec: (index: number) => object): readonly Order[] {
  return Array.from({ length: 60 }, (_, index) =>
    CONTROLLERS.map((controller) => {
      const name = kind === 'name' ? `rival-name-${index}` : `rival-${kind}-${index}-${controller}`;
      return { name, controller, spec: spec(index) };
    }),
  ).flat();
}

/** Subnets of the pool that no tenant has any part of. */
function freeSubnets(tenants: readonly TenantView[], count: number): readonly string[] {
  const taken = tenants.flatMap(({ subnets }) => subnets.map(range));
  const all = Array.from({ length: 1024 }, (_, index) => `10.${252 + (index >> 8)}.${index & 255}.0/24`);
  const isFree = ([first, last]: readonly [number, number]) =>
    !taken.some((each) => each[0] <= last && first <= each[1]);
  return all.filter((subnet) => isFree(range(subnet))).slice(0, count);
}

test('what two want, one gets: a name, a subnet, a namespace; the other leaves nothing', async () => {
  const free = freeSubnets(storedTenants(await etcdDump(lab)), 60);
  // Subnets first and alone: those of other tenants are picked at random and might be among them.
  const outcomes = [
    ...(await createAll(rivals('subnet', (index) => ({ subnets: [free[index]] })))),
    ...(await createAll([
      ...rivals('namespace', (index) => ({ namespaces: [`wanted-${index}`] })),
      ...rivals('name', () => ({})),
    ])),
  ];
  expect(statuses(outcomes)).toEqual({ 201: 180, 409: 180 });
  const dump = await etcdDump(lab);
  expect(contradictions(dump)).toEqual([]);
  const tenants = storedTenants(dump);
  expectNothingTwice(tenants);
  expect(tenants.filter(({ name }) => name.startsWith('rival-'))).toHaveLength(180);
  const winners = new Set(outcomes.filter(({ response }) => response?.status === 201).map(({ name }) => name));
  const losers = outcomes.filter(({ name }) => !winners.has(name)).map(({ name }) => name);
  expect(losers).toHaveLength(120);
  const traces = [...dump].filter(([key, value]) =>
    losers.some((name) => key.endsWith(name) || JSON.stringify(value).includes(`"${name}"`)),
  );
  expect(traces).toEqual([]);
});

test('refused tenants change nothing in etcd', async () => {
  const before = await etcdDump(lab);
  const [taken] = storedTenants(before).filter(({ name }) => name === 'tenant-7');
  const refusals: readonly (readonly [object, number])[] = [
    [{ name: 'No Label' }, 400],
    [{ name: 'tenant-7' }, 409],
    [{ name: 'tenant-7-test' }, 409],
    [{ name: 'newcomer', namespaces: ['tenant-7-test'] }, 409],
    [{ name: 'newcomer', subnets: taken?.subnets }, 409],
    [{ name: 'newcomer', subnets: ['10.192.0.0/10'] }, 409],
    [{ name: 'newcomer', subnets: ['10.254.0.0/24', '10.254.0.0/25'] }, 400],
    [{ name: 'newcomer', subnets: ['192.168.9.0/24'] }, 400],
    [{ name: 'newcomer', subnetPrefixLength: 8 }, 400],
    [{ name: 'newcomer', subnets: ['10.254.0.0/24', '10.254.1.0/24'], quota: { subnets: 1 } }, 409],
    [{ name: 'newcomer', vni: 7 }, 400],
  ];
  for (const [body, wanted] of refusals) {
    for (const controller of CONTROLLERS) {
      const { status, body: problem } = await lab.rest('POST', '/v1/tenants', body, {}, controller);
      expect(status, `${JSON.stringify(body)}: ${JSON.stringify(problem)}`).toBe(wanted);
    }
  }
  expect([...(await etcdDump(lab))]).toEqual([...before]);
});

test('a controller killed while it makes tenants leaves whole ones or none; the other makes the rest', async () => {
  const orders = Array.from({ length: 400 }, (_, index) => ({
    name: `brave-${index}`,
    controller: CONTROLLERS[index % 2] ?? '',
  }));
  let killing: Promise<void> | undefined;
  const outcomes = await createAll(orders, (done) => {
    if (done === 120) killing = lab.killController('manage2', 'SIGKILL');
  });
  await killing;
  const made = outcomes.filter(({ response }) => response?.status === 201);
  const unknown = outcomes.filter(({ response }) => response === undefined);
  expect(made.length + unknown.length).toBe(400);
  expect(unknown.length).toBeGreaterThan(0);
  expect(contradictions(await etcdDump(lab))).toEqual([]);

  const again = await createAll(unknown.map(({ name }) => ({ name, controller: 'manage1' })));
  // 409: it had been made, but the answer was lost.
  for (const { response } of again) expect([201, 409]).toContain(response?.status);
  await lab.startController('manage2');
  const { status } = await lab.rest('POST', '/v1/tenants', { name: 'after' }, {}, 'manage2');
  expect(status).toBe(201);
  const dump = await etcdDump(lab);
  expect(contradictions(dump)).toEqual([]);
  const tenants = storedTenants(dump);
  expectNothingTwice(tenants);
  expect(tenants.filter(({ name }) => name.startsWith('brave-'))).toHaveLength(400);
});
