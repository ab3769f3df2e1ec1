/**
 * A cluster is backed up and restored while pods talk: after a mistake, and after the loss of etcd. No message of an allowed flow is lost,
 * what a policy of the backup forbids does not pass, no address that a pod has is given again, and what is lost is named.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { Flow } from '../lab/probe/flow.ts';
import { ROOT } from '../lab/services.ts';
import { endpointsOf, etcdDump, makeTenant, silentPairs, untilListed, untilReached } from './support/cluster.ts';

const NODES = ['node1', 'node2'];
const POLICY = '/v1/tenants/red/namespaces/red/policies/db';
/** Only `app: shop` may call `app: db`. */
const SPEC = {
  podSelector: { matchLabels: { app: 'db' } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }] }],
};

let lab: Lab;
let file: string;
let shop: Container;
let other: Container;
let db: Container;

const attach = (node: string, name: string) => lab.attach(node, { tenant: 'red', name, labels: { app: name } });

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  file = `${lab.dir}/cluster.backup`;
  await makeTenant(lab, 'red');
  [shop, other, db] = [await attach('node1', 'shop'), await attach('node1', 'other'), await attach('node2', 'db')];
  await untilReached(lab, [
    [shop, db],
    [other, db],
  ]);
  await untilListed(lab, 'red', [shop, other, db]);
  expect((await lab.rest('PUT', `${POLICY}?wait=enforced&timeout=60s`, SPEC)).status).toBe(201);
  await tenetctl('backup', file);
});
afterAll(() => lab?.close());

function tenetctl(...args: readonly string[]): Promise<string> {
  const env = [`TENET_SERVER=${lab.controllers[0]?.url}`, `TENET_TOKEN=${lab.token}`];
  return run(['env', ...env, 'node', `${ROOT}/dist/controller/cli/main.js`, ...args]);
}

interface Restored {
  readonly recovered: boolean;
  readonly waitingFor: readonly string[];
  readonly notKept: readonly { readonly kind: string; readonly name: string; readonly tenant?: string }[];
}

/** Restores, with messages on their way from shop to db all the time. @returns what it says */
async function restoreMeanwhile(prepare: () => Promise<void>, then: () => Promise<void>): Promise<Restored> {
  const flow = await Flow.start('udp', { from: lab.prober(shop), to: lab.prober(db), address: db.ip, port: 4000 });
  try {
    await prepare();
    const restoring = tenetctl('restore', file, '--yes', '--timeout', '4m', '-o', 'json');
    await Promise.all([restoring, then()]);
    const sent = flow.sent;
    await waitFor(() => flow.sent > sent && flow.missing === 0, {
      what: 'every message of the allowed flow came back',
    });
    return JSON.parse(await restoring) as Restored;
  } finally {
    flow.close();
  }
}

/** As the backup has it: shop calls db, the other pod does not. */
async function expectAsBackedUp(): Promise<void> {
  expect(await silentPairs(lab, [[other, db]])).toHaveLength(1);
  expect(await silentPairs(lab, [[shop, db]])).toEqual([]);
}

/** New things are given out again, and nothing that a pod has. */
async function expectNewPlaces(tenant: string): Promise<void> {
  expect([...(await etcdDump(lab)).keys()]).not.toContain('recovery');
  await makeTenant(lab, tenant);
  const held = [shop, other, db].map(({ ip }) => ip);
  for (const node of NODES) {
    const next = await attach(node, 'shop');
    expect(held).not.toContain(next.ip);
    await untilReached(lab, [[next, db]]);
    await lab.detach(next);
  }
}

test('after a mistake: policies are as they were, and pods of a tenant that the backup lacks are silent and named', async () => {
  await expectAsBackedUp();
  const lost: Container[] = [];
  const restored = await restoreMeanwhile(
    async () => {
      expect((await lab.rest('DELETE', `${POLICY}?wait=enforced&timeout=60s`)).status).toBe(200);
      await untilReached(lab, [[other, db]]);
      await makeTenant(lab, 'green');
      for (const node of NODES) lost.push(await lab.attach(node, { tenant: 'green' }));
      await untilReached(lab, [[lost[0] as Container, lost[1] as Container]]);
    },
    async () => {},
  );
  await expectAsBackedUp();
  expect(await silentPairs(lab, [[lost[0] as Container, lost[1] as Container]])).toHaveLength(1);
  expect(restored).toMatchObject({ recovered: true, waitingFor: [] });
  const named = restored.notKept.map(({ kind, name, tenant }) =>
    kind === 'place_taken' ? `pod of ${tenant}` : `${kind} ${name}`,
  );
  expect(named.sort()).toEqual(['pod of green', 'pod of green', 'tenant green']);
  for (const each of lost) await lab.detach(each);
  await expectNewPlaces('blue');
});

test('after the loss of etcd, agents stopped meanwhile: everything is there again, and no pod notices', async () => {
  const before = new Map((await endpointsOf(lab, 'red')).map(({ id, ips }) => [id, ips]));
  const restored = await restoreMeanwhile(
    async () => {
      for (const node of NODES) await lab.killAgent(node, 'SIGTERM');
      for (const { name } of lab.controllers) await lab.killController(name, 'SIGTERM');
      await lab.killEtcd();
      rmSync(`${lab.dir}/etcd`, { recursive: true });
      await lab.startEtcd();
      for (const { name } of lab.controllers) await lab.startController(name);
      expect((await lab.rest('GET', '/v1/tenants/red')).status).toBe(404);
    },
    async () => {
      await waitFor(async () => (await lab.rest('GET', '/v1/tenants/red')).status === 200, { what: 'red is back' });
      await expectAsBackedUp();
      for (const node of NODES) await lab.startAgent(node);
    },
  );
  expect(restored).toMatchObject({ recovered: true, waitingFor: [] });
  await expectAsBackedUp();
  await untilListed(lab, 'red', [shop, other, db]);
  expect(new Map((await endpointsOf(lab, 'red')).map(({ id, ips }) => [id, ips]))).toEqual(before);
  const { body } = await lab.rest<{ items: unknown[] }>('GET', '/v1/cluster/problems');
  expect(body.items).toEqual([]);
  await expectNewPlaces('white');
});
