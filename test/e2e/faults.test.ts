/**
 * Faults of the store and of the kernel while containers talk: what was lost, what got through that must not, what REST said meanwhile and
 * whether all is as before afterwards, as one table. Nothing is called enforced that packets do not obey.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keys } from '../../controller/store/keys.ts';
import { addressAt, parsePrefix, prefixOf, prefixSize } from '../../dataplane/address.ts';
import type { Container } from '../lab/container.ts';
import { run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { BACKEND } from './support/backend.ts';
import { makeTenant, type TenantView, untilListed, untilReached } from './support/cluster.ts';
import { etcdctl, fillEtcd, makeRoom, restoreEtcd, SMALL_ETCD, updateRecord, writeRecords } from './support/etcdctl.ts';
import { FaultTable } from './support/fault-table.ts';
import { allowed, Flood, type FloodFlow, forbidden } from './support/flood.ts';
import { ODD, type OddRecord, oddAdditions, recordsOfEveryKind } from './support/odd-records.ts';
import { callPlugin, makeAttachment } from './support/plugin.ts';

/** Between two messages of a flow, milliseconds. */
const EVERY = 5;
const NODES = ['node1', 'node2'];

let lab: Lab;
let red: TenantView;
let green: TenantView;
/** two on node1, one on node2; a policy lets in what has their label and namespace */
let ofRed: readonly [Container, Container, Container];
/** of the same tenant on node2, without the label */
let unlabelled: Container;
let ofBlue: readonly [Container, Container];
let flood: Flood;
let table: FaultTable;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, etcdFlags: SMALL_ETCD.flags });
  red = await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  green = await makeTenant(lab, 'green', { quota: { policies: 5 } });
  const labels = { app: 'talks' };
  ofRed = [
    await lab.attach('node1', { tenant: 'red', labels }),
    await lab.attach('node1', { tenant: 'red', labels }),
    await lab.attach('node2', { tenant: 'red', labels }),
  ];
  unlabelled = await lab.attach('node2', { tenant: 'red' });
  ofBlue = [await lab.attach('node1', { tenant: 'blue' }), await lab.attach('node2', { tenant: 'blue' })];
  const [r1, r2, r3] = ofRed;
  await untilReached(lab, [[r1, r3], [r3, r1], ofBlue, [ofBlue[1], ofBlue[0]]]);
  await untilListed(lab, 'red', [...ofRed, unlabelled]);
  const peer = {
    podSelector: { matchLabels: labels },
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'red' } },
  };
  await put('/v1/tenants/red/namespaces/red/policies/talk?wait=enforced', {
    podSelector: { matchLabels: labels },
    ingress: [{ from: [peer] }],
  });
  await put('/v1/tenants/red/peerings/green', {});
  await put('/v1/tenants/green/namespaces/green/policies/counted', { podSelector: {}, ingress: [{}] });
  const flows: readonly FloodFlow[] = [
    allowed('udp', 'same host', r1, r2, 7001, EVERY),
    allowed('udp', 'across', r1, r3, 7001, EVERY),
    allowed('udp', 'across, back', r3, r1, 7001, EVERY),
    forbidden('no label, across', unlabelled, r1, 7001, EVERY),
    forbidden('other tenant, same host', ofBlue[0], r2, 7001, EVERY),
    forbidden('other tenant, across', ofBlue[1], r1, 7001, EVERY),
  ];
  flood = await Flood.start(flows);
  table = new FaultTable({ lab, flood, flows, judged: { tenant: 'blue', pair: ofBlue } });
});
afterAll(async () => {
  flood?.close();
  await lab?.close();
  table?.print(BACKEND);
});

async function put(path: string, body: object): Promise<void> {
  const { status, body: said } = await lab.rest('PUT', path, body);
  expect(status, JSON.stringify(said)).toBe(201);
}

test('a store that was put back to an older copy', async () => {
  const copy = `${lab.dir}/older.db`;
  await etcdctl(lab, 'snapshot', 'save', copy);
  for (let round = 0; round < 40; round++)
    await lab.rest('PATCH', '/v1/tenants/red', { labels: { round: `${round}` } });
  await table.suffer('restored store', async () => {
    await restoreEtcd(lab, copy);
    return await table.write('PUT', '30s');
  });
});

test('a store whose space is used up', async () => {
  let late: Container | undefined;
  await table.suffer('NOSPACE', async () => {
    await fillEtcd(lab);
    try {
      const said = await table.write('PUT', '5s');
      expect(said).toMatch(/^503: .*space/);
      expect(await table.silent()).toBe(0);
      await waitFor(async () => (await lab.rest('GET', '/readyz')).status === 503, { what: '/readyz is 503' });
      await table.untilTold(['store_full alarm NOSPACE']);
      const { body } = await lab.rest('GET', '/v1/cluster/store');
      expect(body).toMatchObject({ alarms: ['NOSPACE'], members: [{ quotaBytes: SMALL_ETCD.quotaBytes }] });
      late = await lab.attach('node1', { tenant: 'red', labels: { app: 'talks' } });
      await untilReached(lab, [[late, ofRed[0]]]);
      return said;
    } finally {
      await makeRoom(lab);
    }
  });
  if (late === undefined) throw new Error('not attached');
  await untilListed(lab, 'red', [...ofRed, unlabelled, late]);
  await untilReached(lab, [[late, ofRed[2]]]);
  await lab.detach(late);
});

test('an item that the kernel refuses', async () => {
  const inNode1 = (...args: readonly string[]) => run(['ip', '-n', lab.host('node1').netns, 'link', ...args]);
  const statusOf = async (tenant: string) => {
    const config = { cniVersion: '1.1.0', tenant };
    return await callPlugin(makeAttachment(lab, 'node1', tenant), { verb: 'STATUS', config });
  };
  await table.suffer('kernel refuses an item', async () => {
    await inNode1('add', 'other0', 'type', 'vxlan', 'id', String(green.vni), 'dstport', '4789');
    const near = await lab.attach('node1', { tenant: 'green' });
    const far = await lab.attach('node2', { tenant: 'green' });
    try {
      expect(await table.write('PUT', '30s')).toBe('enforced');
      expect(await table.write('DELETE', '30s')).toBe('enforced');
      await table.untilTold([`kernel_refused link tnt${green.vni}`]);
      const refused = await statusOf('green');
      expect(refused.body).toMatchObject({ code: 50, details: expect.stringContaining(`tnt${green.vni}: EEXIST`) });
      expect((await statusOf('red')).exitCode).toBe(0);
      const said = await table.write('PUT', '1s', 'green');
      expect(said).toBe('202, lagging node1');
      return `others enforced; its tenant ${said}`;
    } finally {
      await inNode1('del', 'other0');
      expect(await table.write('DELETE', '60s', 'green')).toBe('enforced');
      expect((await statusOf('green')).exitCode).toBe(0);
      await lab.detach(near);
      await lab.detach(far);
    }
  });
});

describe('records that cannot be read', () => {
  const told = (records: readonly string[]) => table.untilTold(records.map((key) => `record_unreadable ${key}`));
  /** What is read when a caller asks for it alone. */
  const ask = async () => {
    expect((await lab.rest('GET', '/v1/tenants/red/denials')).status).toBe(200);
    expect((await lab.rest('GET', '/metrics')).status).toBe(200);
  };
  /** What the flood leans on. */
  const leaning = () => [
    '/red/node2/',
    '/red/red',
    'tenants/red',
    'claims/namespace/red',
    'blocks/red/',
    'red',
    'node2',
  ];
  const mend = async ({ key, good, isMade, isTold }: OddRecord) => {
    // Of what it has in its kernel a node says the newest: an older word would be untrue.
    if (isMade) await writeRecords(lab, [key]);
    else if (isTold) await updateRecord(lab, key, good);
  };

  test('of every kind, as additions', async () => {
    const subnet = parsePrefix(red.subnets[0] ?? '');
    const last = prefixOf(addressAt(subnet, prefixSize(subnet) - 1n), 27);
    const block = keys.block('red', last).replace('blocks/red/', '');
    const added = oddAdditions(block);
    await table.suffer('odd records of every kind, added', async () => {
      await writeRecords(lab, added, ODD);
      try {
        await ask();
        // What a node that is not there says of its kernel, none needs to know.
        await told(added.filter((key) => key !== 'enforced/zz'));
        expect((await lab.rest('POST', '/v1/tenants', { name: 'zz2' })).status).toBe(503);
        return await table.write('PUT', '30s');
      } finally {
        await writeRecords(lab, added);
      }
    });
  });

  test('a policy among them closes what it may be about', async () => {
    const key = 'policies/blue/blue/zz';
    await table.suffer('odd policy, added', async () => {
      await writeRecords(lab, [key], ODD);
      try {
        await told([key]);
        await waitFor(async () => (await table.silent()) === 2, { what: 'its namespace is closed' });
        return 'its namespace closed';
      } finally {
        await writeRecords(lab, [key]);
        await waitFor(async () => (await table.silent()) === 0, { what: 'its namespace is open' });
      }
    });
  });

  test('of every kind, as updates of what was good', async () => {
    expect((await lab.rest('GET', '/v1/cluster/backup')).status).toBe(200);
    expect((await lab.rest('GET', '/v1/cluster/store')).body).toMatchObject({ lastBackup: { by: 'manage1' } });
    for (const record of await recordsOfEveryKind(lab, leaning())) {
      const { kind, key, good, isMade, isTold } = record;
      await table.suffer(`odd ${kind}, updated`, async () => {
        if (isMade) await writeRecords(lab, [key], good);
        await updateRecord(lab, key, ODD);
        try {
          const said = await table.write('PUT', '30s');
          if (kind === 'denials' || kind === 'traffic') await ask();
          if (isTold) await told([key]);
          return said;
        } finally {
          await mend(record);
        }
      });
    }
  });

  test('of the tenant whose policy is written', async () => {
    const key = 'tenants/blue';
    const [tenant] = (await recordsOfEveryKind(lab, [key])).filter((record) => record.key === key);
    if (tenant === undefined) throw new Error('no such record');
    await table.suffer('odd tenant, of the policy', async () => {
      await updateRecord(lab, key, ODD);
      try {
        await told([key]);
        const said = await table.write('PUT', '5s');
        expect(said).toBe('500: the record tenants/blue');
        expect(await table.silent()).toBe(0);
        return said;
      } finally {
        await mend(tenant);
      }
    });
  });

  test('of every kind that agents follow, while all programs start anew', async () => {
    const followed = ['tenant', 'namespace', 'policy', 'peering', 'block', 'endpoint'];
    const records = (await recordsOfEveryKind(lab, leaning())).filter(({ kind }) => followed.includes(kind));
    expect(records).toHaveLength(followed.length);
    await table.suffer('odd records, all started anew', async () => {
      await writeRecords(
        lab,
        records.map(({ key }) => key),
        ODD,
      );
      try {
        await told(records.map(({ key }) => key));
        for (const node of NODES) await lab.killAgent(node);
        await lab.killController('manage1');
        await lab.startController('manage1');
        for (const node of NODES) await lab.startAgent(node);
        await told(records.map(({ key }) => key));
        return await table.write('PUT', '30s');
      } finally {
        for (const record of records) await mend(record);
      }
    });
  });
});

test('none of them harmed the flood', () => flood.stopUnharmed());
