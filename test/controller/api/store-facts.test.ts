/** The store as REST and metrics show it: its history, how full it is, when the cluster was last backed up. */
import { expect, test } from 'vitest';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { keys } from '../../../controller/store/keys.ts';
import { backUp, restore, setUp } from './backup-fixture.ts';

/** Of a cluster whose node has nothing to tell, so that metrics wait for none. */
async function setUpSilent() {
  const scene = await setUp();
  await scene.raw.commit([], [{ kind: 'delete', key: keys.liveNode('node1') }]);
  return scene;
}

const METRIC = /^tenet_last_backup_timestamp_seconds (\S+)$/m;

test('a cluster that was never backed up says nothing of it, and nothing of etcd before it was looked at', async () => {
  const { call, registry } = await setUpSilent();
  const { status, body } = await call('GET', '/v1/cluster/store');
  expect(status).toBe(200);
  expect(body).toMatchObject({ history: { id: BIRTH, cause: 'birth' }, recovering: false, members: [], alarms: [] });
  expect(body).not.toHaveProperty('lastBackup');
  expect((await call('GET', '/metrics')).body.text).not.toMatch(METRIC);
  const member = { endpoint: 'http://etcd1:2379', fileBytes: 30, usedBytes: 20, quotaBytes: undefined };
  registry.noteStoreState({ revision: 7, members: [{ ...member }], alarms: ['NOSPACE'] });
  const { quotaBytes: _, ...shown } = member;
  expect((await call('GET', '/v1/cluster/store')).body).toMatchObject({ members: [shown], alarms: ['NOSPACE'] });
});

test('the last backup is told with its time, and stays known when it is restored', async () => {
  const scene = await setUpSilent();
  const { call, raw, registry } = scene;
  const file = await backUp(scene);
  const { at, revision } = JSON.parse(file.split('\n')[0] ?? '');
  const lastBackup = { at, revision, by: registry.name };
  expect((await call('GET', '/v1/cluster/store')).body).toMatchObject({ lastBackup });
  const [, seconds] = METRIC.exec(String((await call('GET', '/metrics')).body.text)) ?? [];
  expect(Number(seconds)).toBe(Date.parse(at) / 1000);
  expect((await restore(scene, raw, file)).status).toBe(200);
  const { body } = await call('GET', '/v1/cluster/store');
  expect(body).toMatchObject({ lastBackup, history: { cause: 'restore' }, recovering: false });
  await raw.commit([], [{ kind: 'put', key: keys.lastBackup, value: '{"schema":9}' }]);
  expect((await call('GET', '/v1/cluster/store')).body).not.toHaveProperty('lastBackup');
  expect((await call('GET', '/metrics')).body.text).not.toMatch(METRIC);
});
