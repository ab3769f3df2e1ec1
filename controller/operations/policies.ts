/**
 * Policies: a namespace's, kept for as long as it and its tenant are. Each write is guarded by the tenant as it was read: a namespace
 * that goes changes it, and so does a tenant that goes, so neither leaves a policy for a later one of its name to inherit.
 */
import type { Change } from '../enforcement/change.ts';
import { NotFound, QuotaExceeded } from '../errors.ts';
import { type Policy, policies, policyTurns } from '../model/kinds/policy.ts';
import type { PolicyContents, PolicyName } from '../model/policy.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Guard, Revision, Store, Write } from '../store/store.ts';
import { getNamespace } from './namespaces.ts';
import { listPage, type Page, type PageRequest, type Source } from './paging.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, commitSurely, type Precondition, retryLost, type Stored, toStored } from './stored.ts';
import { getTenant, readChangeable } from './tenants.ts';
import type { Written } from './written.ts';

/** @param namespace absent: of all of them @throws NotFound for the tenant or the namespace, Unavailable */
export async function listPolicies(
  source: Source,
  tenant: string,
  namespace: string | undefined,
  page: PageRequest,
): Promise<Page<Stored<Policy>>> {
  if (namespace === undefined) await getTenant(source.store, tenant);
  else await getNamespace(source.store, tenant, namespace);
  return await listPage(source, policies, policiesPrefix(tenant, namespace), page);
}

/** Prefix of the keys of a list. */
export function policiesPrefix(tenant: string, namespace: string | undefined): string {
  return namespace === undefined ? keys.policies(tenant) : keys.namespacePolicies(tenant, namespace);
}

/** @throws NotFound for the tenant, the namespace or the policy, Unavailable */
export async function getPolicy(store: Store, at: PolicyName): Promise<Stored<Policy>> {
  return toStored(policies, await readPolicy(store, at));
}

async function readPolicy(store: Store, { tenant, namespace, name }: PolicyName): Promise<Entry> {
  const { entry } = await store.get(keys.policy(tenant, namespace, name));
  if (entry !== undefined) return entry;
  await getNamespace(store, tenant, namespace);
  throw new NotFound('policy', name);
}

/**
 * Makes the policy, or makes the one that is there say this; the same again changes nothing.
 * @throws NotFound for the tenant or the namespace, Conflict for a tenant that cannot be changed, QuotaExceeded, PreconditionFailed,
 * Unavailable
 */
export async function putPolicy(
  registry: Registry,
  at: PolicyName,
  contents: PolicyContents,
  precondition: Precondition,
): Promise<Written<Policy>> {
  const createdAt = registry.now().toISOString();
  return await retryLost(async () => {
    const { store } = registry;
    const tenant = await readChangeable(registry, at.tenant);
    await getNamespace(store, at.tenant, at.namespace);
    const key = keys.policy(at.tenant, at.namespace, at.name);
    const { entry } = await store.get(key);
    checkPrecondition(entry, precondition);
    // One that cannot be read is replaced as a whole, like any other.
    const before = entry && policies.find(entry);
    const record: Policy = { ...at, ...contents, createdAt: before?.createdAt ?? createdAt };
    const write = { kind: 'put', key, value: policies.format(record) } as const;
    if (entry?.value === write.value) return written(record, entry.modRevision, false);
    const guards: Guard[] = [
      { kind: 'unchanged', key: keys.tenant(at.tenant), modRevision: tenant.revision },
      entry === undefined ? { kind: 'absent', key } : { kind: 'unchanged', key, modRevision: entry.modRevision },
    ];
    const commit = async ({ guards: more, writes }: Turn) =>
      await commitSurely(store, [...guards, ...more], [write, ...writes], write);
    const limit = entry === undefined ? tenant.record.quota.policies : undefined;
    const { committed, revision } =
      limit === undefined
        ? await commit({ guards: [], writes: [] })
        : await registry.turns.take(at.tenant, async () => await commit(await countFor(registry, at.tenant, limit)));
    return committed ? written(record, revision, entry === undefined) : undefined;
  });
}

/** What a creation that is counted has to guard and write besides, so that no other one comes between counting and writing. */
interface Turn {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

/**
 * Creations of a tenant without a quota need not know of each other; setting one changes the tenant, which all of them guard.
 * @throws QuotaExceeded
 */
async function countFor({ store, newId }: Registry, tenant: string, limit: number): Promise<Turn> {
  const key = keys.policyTurn(tenant);
  const { entry } = await store.get(key);
  // Counted after the turn was read: a policy made from now on changes the turn.
  await checkQuota(store, tenant, limit);
  return {
    guards: [
      entry === undefined ? { kind: 'absent', key } : { kind: 'unchanged', key, modRevision: entry.modRevision },
    ],
    writes: [{ kind: 'put', key, value: policyTurns.format({ operation: newId() }) }],
  };
}

/** @throws QuotaExceeded when the tenant has as many policies as it may */
export async function checkQuota(store: Store, tenant: string, limit: number): Promise<void> {
  const { entries } = await store.list(keys.policies(tenant), { limit: Math.max(limit, 1) });
  if (entries.length < limit) return;
  const most = `${limit} ${limit === 1 ? 'policy' : 'policies'}`;
  throw new QuotaExceeded('quota.policies', `tenant ${JSON.stringify(tenant)} has reached its limit of ${most}`);
}

/** @throws NotFound for the tenant, the namespace or the policy, PreconditionFailed, Unavailable */
export async function deletePolicy({ store }: Registry, at: PolicyName, precondition: Precondition): Promise<Change> {
  return await retryLost(async () => {
    const entry = await readPolicy(store, at);
    checkPrecondition(entry, precondition);
    const { key, modRevision } = entry;
    const gone = { key, value: undefined };
    const guard = { kind: 'unchanged', key, modRevision } as const;
    const { committed, revision } = await commitSurely(store, [guard], [{ kind: 'delete', key }], gone);
    return committed ? changeOf(at, revision) : undefined;
  });
}

function written(record: Policy, revision: Revision, created: boolean): Written<Policy> {
  return { record, revision, created, change: changeOf(record, revision) };
}

function changeOf({ tenant }: PolicyName, revision: Revision): Change {
  return { tenant, kinds: ['policies'], revision, holders: [tenant] };
}
