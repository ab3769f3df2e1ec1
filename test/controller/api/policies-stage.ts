/** Tenants with a policy, and a store that can be interrupted: what tests of policies by REST stand on. */
import { expect } from 'vitest';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { startApp } from './fixture.ts';

export const path = '/v1/tenants/blue/namespaces/blue/policies/web';
export const spec = {
  podSelector: { matchLabels: { app: 'web' } },
  policyTypes: ['Ingress'],
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }], ports: [{ protocol: 'TCP', port: 8080 }] }],
};

export const PORT = 'spec.ingress[0].ports[0].port';

/** Does something when everything has been read for the next commit, just before it is judged. */
class InterruptedStore extends MemoryStore {
  beforeCommit: (() => Promise<unknown>) | undefined;

  override async commit(...args: Parameters<MemoryStore['commit']>): ReturnType<MemoryStore['commit']> {
    const interrupt = this.beforeCommit;
    this.beforeCommit = undefined;
    await interrupt?.();
    return await super.commit(...args);
  }
}

export async function appWithTenants(...names: readonly string[]) {
  const memory = new InterruptedStore();
  const app = await startApp({ store: memory });
  for (const name of names.length > 0 ? names : ['blue', 'red'])
    expect((await app.call('POST', '/v1/tenants', { name })).status).toBe(201);
  return { ...app, memory };
}
