/**
 * The tenant that containers fall to when no tenant claims their namespace: made at the first start that names it, so that such a
 * cluster works from the beginning.
 */
import { Conflict } from '../errors.ts';
import { parseTenant } from '../model/tenant.ts';
import { keys } from '../store/keys.ts';
import { getCluster } from './clusters.ts';
import { createTenant } from './create-tenant.ts';
import type { Registry } from './registry.ts';

/** Makes the tenant, unless it is there, or the cluster has another default by now. @throws Conflict, Exhausted, Unavailable */
export async function makeDefaultTenant(registry: Registry, name: string): Promise<void> {
  const { record } = await getCluster(registry.store);
  if (record.defaultTenant !== name) return;
  const { entry } = await registry.store.get(keys.tenant(name));
  if (entry !== undefined) return;
  try {
    await createTenant(registry, parseTenant({ name }, registry.cluster()));
  } catch (error) {
    // Another controller that was started at the same time has made it.
    if (!(error instanceof Conflict && error.field === 'name')) throw error;
  }
}
