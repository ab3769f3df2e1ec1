/**
 * Faults of the store and of the kernel while containers talk: what was lost, what got through that must not, what REST said meanwhile and
 * whether all is as before afterwards, as one table. Nothing is called enforced that packets do not obey.
 */
import Table from 'cli-table3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BACKEND } from './support/backend.ts';
import { etcdRecords, makeTenant, silentPairs, type TenantView, untilReached } from './support/cluster.ts';
import { etcdctl, PREFIX, raiseNoSpace, restoreEtcd } from './support/etcdctl.ts';
import { allowed, Flood, forbidden } from './support/flood.ts';

interface Answer {
  /** a number in a problem document */
  readonly status?: { readonly enforced: boolean; readonly lagging?: readonly string[] } | number;
  readonly items?: readonly { readonly kind: string; readonly about: string }[];
  readonly detail?: string;
}

/** One row of the table. */
interface Row {
  readonly fault: string;
  /** of messages sent */
  lost: string;
  passed: number;
  said: string;
  recovery: string;
}

const DENY = { podSelector: {}, policyTypes: ['Ingress'] };
const rows: Row[] = [];
let lab: Lab;
let red: readonly [Container, Container, Container];
/** whose policy is written again and again */
let blue: readonly [Container, Container];
let green: TenantView;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  green = await makeTenant(lab, 'green');
  red = [await attach('node1', 'red'), await attach('node1', 'red'), await attach('node2', 'red')];
  blue = [await attach('node1', 'blue'), await attach('node2', 'blue')];
  await untilReached(lab, [[red[0], red[2]], [red[2], red[0]], ...pairs()]);
});
afterAll(async () => {
  await lab?.close();
  const table = new Table({ head: ['fault', 'allowed lost', 'forbidden passed', 'REST said', 'afterwards'] });
  for (const { fault, lost, passed, said, recovery } of rows) table.push([fault, lost, passed, said, recovery]);
  if (rows.length > 0) process.stdout.write(`\n${BACKEND}\n${table}\n`);
});

const attach = (node: string, tenant: string): Promise<Container> => lab.attach(node, { tenant });
const pairs = () =>
  [
    [blue[0], blue[1]],
    [blue[1], blue[0]],
  ] as const;

/** What REST says to a policy that closes a tenant, or to its end; packets of blue are held against what was called enforced. */
async function write(method: 'PUT' | 'DELETE', timeout: string, tenant = 'blue'): Promise<string> {
  const path = `/v1/tenants/${tenant}/namespaces/${tenant}/policies/deny?wait=enforced&timeout=${timeout}`;
  const { status, body } = await lab.rest<Answer>(method, path, method === 'PUT' ? DENY : undefined);
  if (typeof body.status !== 'object')
    return status === 404 ? 'nothing there' : `${status}: ${body.detail?.replace(/:.*/, '')}`;
  if (!body.status.enforced) return `${status}, lagging ${body.status.lagging?.join() ?? 'unknown'}`;
  if (tenant === 'blue') expect(await silentPairs(lab, pairs()), method).toHaveLength(method === 'PUT' ? 2 : 0);
  return 'enforced';
}

const problems = async () =>
  ((await lab.rest<Answer>('GET', '/v1/cluster/problems')).body.items ?? []).map(
    ({ kind, about }) => `${kind} ${about}`,
  );

async function untilWell(): Promise<void> {
  const look = async () => {
    const said = [await write('PUT', '30s'), await write('DELETE', '30s')];
    const told = await problems();
    if (said.join() !== 'enforced,enforced' || told.length > 0) throw new Error([...said, ...told].join('; '));
    return true;
  };
  await waitFor(look, { what: 'all is well again', timeoutMs: 120_000 });
}

/** Breaks something under a flood, and mends it. @param fault returns what REST said */
async function suffer(name: string, fault: () => Promise<string>): Promise<void> {
  const [r1, r2, r3] = red;
  const flood = await Flood.start([
    allowed('udp', 'same host', r1, r2, 7001),
    allowed('udp', 'across', r1, r3, 7001),
    allowed('udp', 'across, back', r3, r1, 7001),
    forbidden('other tenant, same host', blue[0], r2, 7001),
    forbidden('other tenant, across', blue[1], r1, 7001),
  ]);
  const row: Row = { fault: name, lost: '?', passed: 0, said: '', recovery: 'not as before' };
  rows.push(row);
  try {
    row.said = await fault();
    await flood.passes(100);
    await untilWell();
    row.recovery = 'enforced again, no problem left';
    const counts = await flood.counts();
    const sent = counts.slice(0, 3).reduce((sum, each) => sum + each.sent, 0);
    row.passed = counts.slice(3).reduce((sum, each) => sum + each.delivered, 0);
    await flood.stopUnharmed();
    row.lost = `0 of ${sent}`;
  } finally {
    flood.close();
  }
}

test('a store that was put back to an older copy', async () => {
  const copy = `${lab.dir}/older.db`;
  await etcdctl(lab, 'snapshot', 'save', copy);
  for (let round = 0; round < 40; round++)
    await lab.rest('PATCH', '/v1/tenants/red', { labels: { round: `${round}` } });
  await suffer('restored store', async () => {
    await restoreEtcd(lab, copy);
    return await write('PUT', '30s');
  });
});

test('a store that takes no writes', async () => {
  await suffer('NOSPACE', async () => {
    await raiseNoSpace(lab);
    try {
      const said = await write('PUT', '5s');
      expect(said).toMatch(/^503: /);
      await waitFor(async () => (await lab.rest('GET', '/readyz')).status === 503, { what: '/readyz is 503' });
      await waitFor(async () => (await problems()).some((each) => each.startsWith('store_full')), {
        what: 'it is told',
      });
      return said;
    } finally {
      await etcdctl(lab, 'alarm', 'disarm');
    }
  });
});

test('an item that the kernel refuses', async () => {
  const inNode1 = (...args: readonly string[]) => run(['ip', '-n', lab.host('node1').netns, 'link', ...args]);
  await suffer('kernel refuses an item', async () => {
    await inNode1('add', 'other0', 'type', 'vxlan', 'id', String(green.vni), 'dstport', '4789');
    const near = await attach('node1', 'green');
    const far = await attach('node2', 'green');
    try {
      expect(await write('PUT', '30s')).toBe('enforced');
      expect(await write('DELETE', '30s')).toBe('enforced');
      const said = await write('PUT', '1s', 'green');
      expect(said).toBe('202, lagging node1');
      return `others enforced; its tenant ${said}`;
    } finally {
      await inNode1('del', 'other0');
      expect(await write('DELETE', '60s', 'green')).toBe('enforced');
      await lab.detach(near);
      await lab.detach(far);
    }
  });
});

describe('records that cannot be read', () => {
  /** Held by leases, which a write from outside takes their keys from. */
  const LEASED = ['live', 'leader', 'wanted'];
  /** Kinds that are read all the time: of these each is told by its key. An acknowledgement is soon written again by its node. */
  const FOLLOWED = ['cluster', 'tenants', 'namespaces', 'blocks', 'endpoints', 'nodes'];
  const ODD = '{"schema":99}';
  const kindOf = (key: string) => key.replace(/^claims\/(\w+).*/, 'claims $1').replace(/\/.*/, '');

  const untilTold = (keys: readonly string[]) => {
    const look = async () => {
      const all = await problems();
      const untold = keys.filter((key) => !all.includes(`record_unreadable ${key}`));
      if (untold.length > 0) throw new Error(`not told: ${untold.join(', ')}; told: ${all.join(', ')}`);
      return true;
    };
    return waitFor(look, { what: 'each is told by its key' });
  };

  test('of every kind, as updates of what was good', async () => {
    const records = (await etcdRecords(lab)).filter(({ key }) => !LEASED.includes(kindOf(key)));
    const samples = new Map(records.map((record) => [kindOf(record.key), record]));
    expect([...samples.keys()]).toEqual(
      expect.arrayContaining([...FOLLOWED, 'claims vni', 'claims subnet', 'enforced', 'history']),
    );
    for (const [kind, { key, value }] of samples) {
      await suffer(`odd ${kind}, updated`, async () => {
        await etcdctl(lab, 'put', PREFIX + key, ODD);
        try {
          const said = await write('PUT', '3s');
          if (FOLLOWED.includes(kind)) await untilTold([key]);
          return said;
        } finally {
          // Of what it has in its kernel a node says the newest: an older word would be untrue.
          if (kind !== 'enforced') await etcdctl(lab, 'put', PREFIX + key, value);
        }
      });
    }
  });

  test('of every kind, as additions', async () => {
    const keys = [
      'tenants/zz',
      'blocks/red/zz',
      'endpoints/red/node1/zz',
      'nodes/zz',
      'namespaces/red/zz',
      'peerings/red/zz',
    ];
    await suffer('odd records, added', async () => {
      for (const key of keys) await etcdctl(lab, 'put', PREFIX + key, ODD);
      try {
        await untilTold(keys);
        return await write('PUT', '10s');
      } finally {
        for (const key of keys) await etcdctl(lab, 'del', PREFIX + key);
      }
    });
  });

  test('a policy among them closes what it may be about', async () => {
    const key = 'policies/blue/blue/zz';
    await suffer('odd policy, added', async () => {
      await etcdctl(lab, 'put', PREFIX + key, ODD);
      try {
        await untilTold([key]);
        await waitFor(async () => (await silentPairs(lab, pairs())).length === 2, { what: 'its namespace is closed' });
        return 'told';
      } finally {
        await etcdctl(lab, 'del', PREFIX + key);
        await untilReached(lab, pairs());
      }
    });
  });
});
