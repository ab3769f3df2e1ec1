/**
 * A tenant's namespaces: claimed by one tenant at most, in the same commit as the tenant's own list of them.
 */
import type { Change } from '../enforcement/change.ts';
import { Conflict, NotFound, QuotaExceeded } from '../errors.ts';
import { endpoints } from '../model/kinds/endpoint.ts';
import { namespaces as kind, type Namespace } from '../model/kinds/namespace.ts';
import { keys } from '../store/keys.ts';
import { NEW_CLAIM, refuseDuringRecovery } from '../store/recovery.ts';
import { type Entry, type Revision, rangeEnd, type Store, type Write } from '../store/store.ts';
import { putClaim, refuseTakenNamespace } from './claims.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, commitSurely, type Precondition, retryLost, type Stored, toStored } from './stored.ts';
import { commitTenant, getTenant, readChangeable } from './tenants.ts';
import type { Written } from './written.ts';

/** Namespaces a tenant may have at most: its record lists them all. */
export const MAX_NAMESPACES = 500;

/** @throws NotFound for the tenant or the namespace, Unavailable */
export async function getNamespace(store: Store, tenant: string, name: string): Promise<Stored<Namespace>> {
  return toStored(kind, await readNamespace(store, tenant, name));
}

/** Whether it can be read or not. */
async function readNamespace(store: Store, tenant: string, name: string): Promise<Entry> {
  const { entry } = await store.get(keys.namespace(tenant, name));
  if (entry !== undefined) return entry;
  await getTenant(store, tenant);
  throw new NotFound('namespace', name);
}

/**
 * Makes the namespace, or gives the one that is there these labels.
 * @throws NotFound for the tenant, Conflict when another tenant has claimed the name, QuotaExceeded, PreconditionFailed, Unavailable
 */
export async function putNamespace(
  registry: Registry,
  namespace: Namespace,
  precondition: Precondition,
): Promise<Written<Namespace>> {
  return await retryLost(async () => {
    const tenant = await readChangeable(registry, namespace.tenant);
    const key = keys.namespace(namespace.tenant, namespace.name);
    const { entry } = await registry.store.get(key);
    checkPrecondition(entry, precondition);
    const write: Write = { kind: 'put', key, value: kind.format(namespace) };
    if (entry === undefined) {
      const revision = await addNamespace(registry, tenant, namespace, write);
      return revision === undefined ? undefined : written(namespace, revision, true, true);
    }
    if (entry.value === write.value) {
      const withTenant = entry.createRevision === entry.modRevision;
      return written(kind.get(entry), entry.modRevision, false, withTenant);
    }
    const guard = { kind: 'unchanged', key, modRevision: entry.modRevision } as const;
    const { committed, revision } = await commitSurely(registry.store, [guard], [write], write);
    return committed ? written(namespace, revision, false, false) : undefined;
  });
}

async function addNamespace(
  registry: Registry,
  tenant: Stored<Parameters<typeof commitTenant>[2]>,
  { name }: Namespace,
  write: Write,
): Promise<number | undefined> {
  const { record } = tenant;
  if (record.namespaces.length >= MAX_NAMESPACES)
    throw new QuotaExceeded(
      'namespaces',
      `tenant ${JSON.stringify(record.name)} has ${MAX_NAMESPACES} namespaces, which is the limit`,
    );
  const claim = keys.namespaceClaim(name);
  const namespaces = [...record.namespaces, name];
  const changed = await commitTenant(
    registry,
    tenant,
    { ...record, namespaces },
    {
      guards: [NEW_CLAIM, { kind: 'absent', key: claim }],
      writes: [putClaim(claim, record.name), write],
    },
  );
  if (changed !== undefined) return changed.revision;
  await refuseDuringRecovery(registry.store);
  await refuseTakenNamespace(registry.store, name, 'namespace');
  return undefined;
}

/**
 * With its policies. The one of the tenant's own name stays as long as the tenant: containers without a namespace live there.
 * @throws NotFound, Conflict while endpoints live in it, PreconditionFailed, Unavailable
 */
export async function deleteNamespace(
  registry: Registry,
  tenantName: string,
  name: string,
  precondition: Precondition,
): Promise<Change> {
  return await retryLost(async () => {
    const tenant = await readChangeable(registry, tenantName);
    const entry = await readNamespace(registry.store, tenantName, name);
    const { key } = entry;
    checkPrecondition(entry, precondition);
    if (name === tenantName)
      throw new Conflict(`namespace ${JSON.stringify(name)} has the name of its tenant: it is deleted with the tenant`);
    await refuseInhabited(registry.store, { tenant: tenantName, name });
    const namespaces = tenant.record.namespaces.filter((each) => each !== name);
    const policies = keys.namespacePolicies(tenantName, name);
    const changed = await commitTenant(
      registry,
      tenant,
      { ...tenant.record, namespaces },
      {
        writes: [
          ...[keys.namespaceClaim(name), key].map((each): Write => ({ kind: 'delete', key: each })),
          { kind: 'deleteRange', from: policies, to: rangeEnd(policies) },
        ],
      },
    );
    return changed && changeOf(tenantName, changed.revision, true);
  });
}

function written(record: Namespace, revision: Revision, created: boolean, withTenant: boolean): Written<Namespace> {
  return { record, revision, created, change: changeOf(record.tenant, revision, withTenant) };
}

/**
 * Policies of peers may select it by its labels.
 * @param withTenant at the revision its tenant's own record was written as well, for it lists the namespaces
 */
function changeOf(tenant: string, revision: Revision, withTenant: boolean): Change {
  const kinds = withTenant ? (['namespaces', 'tenant'] as const) : (['namespaces'] as const);
  return { tenant, kinds, revision, holders: [tenant], withPeers: true };
}

async function refuseInhabited(store: Store, { tenant, name }: Pick<Namespace, 'tenant' | 'name'>): Promise<void> {
  const { entries } = await store.list(keys.endpoints(tenant));
  // One that cannot be read may be in it.
  const inside = entries.map((entry) => endpoints.get(entry)).filter(({ namespace }) => namespace === name);
  const [first] = inside;
  if (first === undefined) return;
  const count = inside.length === 1 ? '1 endpoint is' : `${inside.length} endpoints are`;
  const message = `${count} in namespace ${JSON.stringify(name)}, such as ${first.id} (${first.name} on node ${first.node})`;
  throw new Conflict(message, { holder: first.id });
}
