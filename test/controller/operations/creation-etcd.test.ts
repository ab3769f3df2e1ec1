/** The same race over a real etcd. */
import { expect, test } from 'vitest';
import { openEtcdStore } from '../../../controller/store/etcd-store.ts';
import { startApp } from '../api/fixture.ts';
import { startTestEtcd } from '../store/etcd-fixture.ts';
import { expectSound, race } from './creation-race.ts';

test('two controllers create 1000 tenants at once over etcd: nothing twice, none lost', async () => {
  const etcd = await startTestEtcd();
  const stores = [0, 1].map(() => openEtcdStore({ endpoints: [etcd.etcdUrl] }));
  try {
    const apps = await Promise.all(stores.map((store) => startApp({ store })));
    const statuses = await race(apps, 1000, 32);
    const [store] = stores;
    if (store === undefined) throw new Error('no store');
    await expectSound(store, statuses);
    for (const { registry } of apps) expect(registry.claims.tenantCount).toBe(1001);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
    await etcd.remove();
  }
}, 180_000);
