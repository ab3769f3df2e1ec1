/**
 * Finding tenants and changing what of them may change. Making, growing and deleting them have files of their own.
 */
import { Conflict, NotFound } from '../errors.ts';
import { SYSTEM_TENANT, type Tenant, tenants } from '../model/kinds/tenant.ts';
import { patchTenant, type TenantPatch } from '../model/tenant.ts';
import { keys } from '../store/keys.ts';
import type { Guard, Store, Write } from '../store/store.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, commitSurely, type Precondition, retryLost, type Stored, toStored } from './stored.ts';
import type { Written } from './written.ts';

/** @throws NotFound, Unavailable */
export async function getTenant(store: Store, name: string): Promise<Stored<Tenant>> {
  const { entry } = await store.get(keys.tenant(name));
  if (entry === undefined) throw new NotFound('tenant', name);
  return toStored(tenants, entry);
}

/**
 * A tenant that a caller wants to change.
 * @throws NotFound, PreconditionFailed, Conflict for the system tenant and for one that is going away
 */
export async function readChangeable(
  { store }: Registry,
  name: string,
  precondition: Precondition = {},
): Promise<Stored<Tenant>> {
  const { entry } = await store.get(keys.tenant(name));
  if (entry === undefined) throw new NotFound('tenant', name);
  checkPrecondition(entry, precondition);
  if (name === SYSTEM_TENANT)
    throw new Conflict(`tenant "${SYSTEM_TENANT}" is the platform's own and cannot be changed`);
  const found = toStored(tenants, entry);
  if (found.record.phase === 'deleting') throw new Conflict(`tenant ${JSON.stringify(name)} is being deleted`);
  return found;
}

/**
 * Writes a tenant that was read before, along with what else belongs to the change.
 * @returns undefined when it, or what the guards speak of, has changed since
 */
export async function commitTenant(
  { store, newId }: Registry,
  found: Stored<Tenant>,
  tenant: Tenant,
  also: { readonly guards?: readonly Guard[]; readonly writes?: readonly Write[] } = {},
): Promise<Stored<Tenant> | undefined> {
  const key = keys.tenant(tenant.name);
  const record: Tenant = { ...tenant, operation: newId() };
  const value = tenants.format(record);
  const { committed, revision } = await commitSurely(
    store,
    [{ kind: 'unchanged', key, modRevision: found.revision }, ...(also.guards ?? [])],
    [{ kind: 'put', key, value }, ...(also.writes ?? [])],
    { key, value },
  );
  return committed ? { record, revision } : undefined;
}

/** @throws NotFound, InvalidInput, Conflict, PreconditionFailed, Unavailable */
export async function changeTenant(
  registry: Registry,
  name: string,
  patch: TenantPatch,
  precondition: Precondition,
): Promise<Written<Tenant>> {
  const stored = await retryLost(async () => {
    const found = await readChangeable(registry, name, precondition);
    return await commitTenant(registry, found, patchTenant(found.record, patch));
  });
  return writtenTenant(stored, false);
}

/** @param created with its namespaces */
export function writtenTenant({ record, revision }: Stored<Tenant>, created: boolean): Written<Tenant> {
  const kinds = created ? (['tenant', 'namespaces'] as const) : (['tenant'] as const);
  return { record, revision, created, change: { tenant: record.name, kinds, revision, holders: [record.name] } };
}
