/** Which tenant owns a container: a fixed order of places that name it, and a clear refusal when none does. */
import { Conflict, InvalidInput, NotFound, Unavailable } from '../../../controller/errors.ts';
import { namespaceClaims } from '../../../controller/model/kinds/claim.ts';
import { RecordError } from '../../../controller/model/kinds/kind.ts';
import { SYSTEM_TENANT, type Tenant } from '../../../controller/model/kinds/tenant.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { AgentContext } from '../context.ts';
import type { EndpointRequest } from '../socket/request.ts';

/** The tenant that owns a container, and the namespace it counts as. */
export interface Ownership {
  readonly tenant: Tenant;
  readonly namespace: string;
}

/**
 * @throws InvalidInput naming the field or the namespace no tenant claims, NotFound for a tenant that does not exist, Conflict for
 * one that is being deleted, Unavailable when only the store could tell and it does not answer
 */
export async function ownershipOf(request: EndpointRequest, context: AgentContext): Promise<Ownership> {
  const [name, field] = await tenantName(request, context);
  if (name === SYSTEM_TENANT) throw new InvalidInput(field, 'containers cannot belong to the system tenant');
  await context.view.need(name);
  const tenant = context.snapshot.tenant(name);
  if (tenant === undefined || tenant.phase === 'deleting') {
    if (!anyoneUses(name, context)) context.view.forget(name);
    const unreadable = context.snapshot.unreadable.get(keys.tenant(name));
    if (unreadable !== undefined) throw new RecordError(unreadable);
    if (tenant === undefined) throw new NotFound('tenant', name);
    throw new Conflict(`tenant ${name} is being deleted`, { field: 'tenant' });
  }
  const namespace = request.namespace ?? tenant.name;
  if (!tenant.namespaces.includes(namespace)) {
    const message = `namespace ${JSON.stringify(namespace)} is not one of tenant ${tenant.name}'s (${tenant.namespaces.join(', ')})`;
    throw new InvalidInput('K8S_POD_NAMESPACE', message);
  }
  return { tenant, namespace };
}

/** Has it an endpoint or a block here? */
function anyoneUses(name: string, { journal }: AgentContext): boolean {
  const endpoints = [...journal.endpoints.values()].map(({ endpoint }) => endpoint);
  return [...endpoints, ...journal.blocks.values()].some(({ tenant }) => tenant === name);
}

/** @returns the tenant's name and the field that gave it */
async function tenantName(request: EndpointRequest, context: AgentContext): Promise<readonly [string, string]> {
  if (request.tenantArg !== undefined) return [request.tenantArg, 'args.cni.tenant'];
  if (request.tenantConfig !== undefined) return [request.tenantConfig, 'tenant'];
  const { namespace } = request;
  const fallback = context.snapshot.cluster?.defaultTenant;
  if (namespace === undefined) {
    if (fallback !== undefined) return [fallback, 'defaultTenant'];
    throw new InvalidInput(
      'args.cni.tenant',
      'no tenant is named, there is no K8S_POD_NAMESPACE, and no default tenant is set',
    );
  }
  const known = context.snapshot.ownerOf(namespace);
  if (known !== undefined) return [known.name, 'K8S_POD_NAMESPACE'];
  const owner = await claimant(namespace, context);
  if (owner !== undefined) return [owner, 'K8S_POD_NAMESPACE'];
  if (fallback !== undefined) return [fallback, 'defaultTenant'];
  throw new InvalidInput('K8S_POD_NAMESPACE', `namespace ${JSON.stringify(namespace)} is claimed by no tenant`);
}

async function claimant(namespace: string, { store }: AgentContext): Promise<string | undefined> {
  const key = keys.namespaceClaim(namespace);
  try {
    const { entry } = await store.get(key);
    return entry && namespaceClaims.get(entry).tenant;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    const message = `the store does not answer, so who owns namespace ${JSON.stringify(namespace)} is not known (${error.message})`;
    throw new Unavailable('store', message, { cause: error });
  }
}
