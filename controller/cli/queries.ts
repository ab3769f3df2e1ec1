/**
 * Questions that take more than one REST call: lists over all tenants, who owns a namespace, an endpoint by any of its names.
 */
import { type Connection, isJson, type Json, type JsonList } from './connection.ts';
import { CliFailure, EXIT } from './failures.ts';
import {
  endpointPath,
  endpointsPath,
  namespacesPath,
  peeringsPath,
  policiesPath,
  TENANTS,
  tenantPoliciesPath,
} from './paths.ts';

async function tenantNames(connection: Connection): Promise<string[]> {
  return (await connection.list(TENANTS)).items.map(({ name }) => String(name));
}

/** One list of what each tenant has. A tenant deleted while we look is passed over. */
async function listOfAll(connection: Connection, pathOf: (tenant: string) => string): Promise<JsonList> {
  const lists: JsonList[] = [];
  for (const tenant of await tenantNames(connection)) {
    const found = await connection.findList(pathOf(tenant));
    if (found !== undefined) lists.push(found);
  }
  const unreadable = lists.flatMap((list) => (Array.isArray(list.unreadable) ? list.unreadable : []));
  return { items: lists.flatMap(({ items }) => items), ...(unreadable.length === 0 ? {} : { unreadable }) };
}

/** @param tenant absent: of all tenants */
export async function listNamespaces(connection: Connection, tenant?: string): Promise<JsonList> {
  return tenant === undefined ? listOfAll(connection, namespacesPath) : connection.list(namespacesPath(tenant));
}

/** @param tenant absent: of all tenants */
export async function listEndpoints(connection: Connection, tenant?: string): Promise<JsonList> {
  return tenant === undefined ? listOfAll(connection, endpointsPath) : connection.list(endpointsPath(tenant));
}

/** @param tenant absent: of all tenants */
export async function listPeerings(connection: Connection, tenant?: string): Promise<JsonList> {
  return tenant === undefined ? listOfAll(connection, peeringsPath) : connection.list(peeringsPath(tenant));
}

/** @param tenant absent: of all tenants, or of the one whose the namespace is @param namespace absent: of all of them */
export async function listPolicies(connection: Connection, tenant?: string, namespace?: string): Promise<JsonList> {
  if (namespace !== undefined)
    return connection.list(policiesPath(tenant ?? (await ownerOf(connection, namespace)), namespace));
  return tenant === undefined ? listOfAll(connection, tenantPoliciesPath) : connection.list(tenantPoliciesPath(tenant));
}

/** The tenant that has claimed a namespace. @throws CliFailure (not found) */
export async function ownerOf(connection: Connection, namespace: string): Promise<string> {
  const { items } = await connection.list(TENANTS);
  const owner = items.find(({ namespaces }) => Array.isArray(namespaces) && namespaces.includes(namespace));
  if (owner === undefined) throw new CliFailure(EXIT.notFound, `namespace ${JSON.stringify(namespace)} does not exist`);
  return String(owner.name);
}

/**
 * An endpoint by its id, its name or the beginning (12 digits or more) of its container's id.
 * @returns the one object, or a list where several have the name
 * @throws CliFailure (not found)
 */
export async function findEndpoints(connection: Connection, tenant: string | undefined, name: string): Promise<Json> {
  if (tenant !== undefined && /^[0-9a-f]{12}$/.test(name)) {
    const found = await connection.find(endpointPath(tenant, name));
    if (isJson(found?.body)) return found.body;
  }
  const { items } = await listEndpoints(connection, tenant);
  const isContainer = (id: unknown) => name.length >= 12 && typeof id === 'string' && id.startsWith(name);
  const found = items.filter(
    ({ id, name: own, containerId }) => id === name || own === name || isContainer(containerId),
  );
  const [only, ...more] = found;
  if (only === undefined) throw new CliFailure(EXIT.notFound, `endpoint ${JSON.stringify(name)} does not exist`);
  return more.length === 0 ? only : { items: found };
}
