/**
 * Endpoints as REST sees them: agents write them, people read them and may change their labels and named ports.
 */
import type { Change } from '../enforcement/change.ts';
import { NotFound } from '../errors.ts';
import { type EndpointFilter, matchesFilter } from '../model/endpoint.ts';
import { type Endpoint, endpoints } from '../model/kinds/endpoint.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Revision, Store } from '../store/store.ts';
import { listPage, type Page, type PageRequest, type Source } from './paging.ts';
import { checkPrecondition, commitSurely, type Precondition, retryLost, type Stored, toStored } from './stored.ts';
import { getTenant } from './tenants.ts';
import type { Written } from './written.ts';

/** @throws NotFound for the tenant, Unavailable */
export async function listEndpoints(
  source: Source,
  tenant: string,
  filter: EndpointFilter,
  page: PageRequest,
): Promise<Page<Stored<Endpoint>>> {
  await getTenant(source.store, tenant);
  const prefix = filter.node === undefined ? keys.endpoints(tenant) : keys.nodeEndpoints(tenant, filter.node);
  const isWanted = filter.namespace === undefined ? undefined : (each: Endpoint) => matchesFilter(each, filter);
  return await listPage(source, endpoints, prefix, page, isWanted);
}

/** @throws NotFound, Unavailable */
export async function getEndpoint(store: Store, tenant: string, id: string): Promise<Stored<Endpoint>> {
  return toStored(endpoints, await readEndpoint(store, tenant, id));
}

/** Its key names the node, which a caller need not know. */
async function readEndpoint(store: Store, tenant: string, id: string): Promise<Entry> {
  const { entries } = await store.list(keys.endpoints(tenant));
  const found = entries.find(({ key }) => endpoints.place(key)?.id === id);
  if (found !== undefined) return found;
  await getTenant(store, tenant);
  throw new NotFound('endpoint', id);
}

/** What of an endpoint can be changed. */
export type EndpointChange = Partial<Pick<Endpoint, 'labels' | 'ports'>>;

/** @throws NotFound, PreconditionFailed, Unavailable */
export async function changeEndpoint(
  store: Store,
  tenant: string,
  id: string,
  change: EndpointChange,
  precondition: Precondition,
): Promise<Written<Endpoint>> {
  return await retryLost(async () => {
    const entry = await readEndpoint(store, tenant, id);
    checkPrecondition(entry, precondition);
    const { key, modRevision } = entry;
    const record: Endpoint = { ...endpoints.get(entry), ...change };
    const value = endpoints.format(record);
    if (value === entry.value) return written(record, modRevision);
    const { committed, revision } = await commitSurely(
      store,
      [{ kind: 'unchanged', key, modRevision }],
      [{ kind: 'put', key, value }],
      { key, value },
    );
    return committed ? written(record, revision) : undefined;
  });
}

/** Policies select endpoints by their labels and find ports by their names: those of the tenant, and those of its peers. */
function written(record: Endpoint, revision: Revision): Written<Endpoint> {
  const { tenant } = record;
  const change: Change = { tenant, kinds: ['endpoints'], revision, holders: [tenant], withPeers: true };
  return { record, revision, created: false, change };
}
