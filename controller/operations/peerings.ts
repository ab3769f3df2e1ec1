/**
 * Peerings: what one tenant asks of another, in force only while the other asks the same. Each request is a record of its own, so
 * neither tenant can speak for the other.
 */
import type { Change } from '../enforcement/change.ts';
import { Conflict, NotFound } from '../errors.ts';
import { type Peering, peerings } from '../model/kinds/peering.ts';
import { tenants } from '../model/kinds/tenant.ts';
import type { PeeringPair } from '../model/peering.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Guard, Revision, Store } from '../store/store.ts';
import { listPage, type Page, type PageRequest, type Source } from './paging.ts';
import type { Registry } from './registry.ts';
import { checkPrecondition, commitSurely, type Precondition, retryLost, type Stored, toStored } from './stored.ts';
import { getTenant } from './tenants.ts';
import type { Written } from './written.ts';

/** A peering with what only the other side's record tells. */
export interface PeeringState extends Stored<Peering> {
  /** both have asked */
  readonly inForce: boolean;
}

/** @throws NotFound for the tenant, Unavailable */
export async function listPeerings(source: Source, tenant: string, page: PageRequest): Promise<Page<PeeringState>> {
  const { store } = source;
  await getTenant(store, tenant);
  const { items, ...rest } = await listPage(source, peerings, keys.peerings(tenant), page);
  return { ...rest, items: await Promise.all(items.map((stored) => withState(store, stored))) };
}

/** @throws NotFound for the tenant or the peering, Unavailable */
export async function getPeering(store: Store, { tenant, peer }: PeeringPair): Promise<PeeringState> {
  return await withState(store, toStored(peerings, await readPeering(store, { tenant, peer })));
}

async function withState(store: Store, stored: Stored<Peering>): Promise<PeeringState> {
  const { tenant, peer } = stored.record;
  return { ...stored, inForce: await isAsked(store, { tenant: peer, peer: tenant }) };
}

async function isAsked(store: Store, pair: PeeringPair): Promise<boolean> {
  return (await findAsked(store, pair)).asks;
}

/** Whether there is a record of it, and whether that can be read: else nodes take it for not asked. */
async function findAsked(store: Store, { tenant, peer }: PeeringPair): Promise<{ isThere: boolean; asks: boolean }> {
  const { entry } = await store.get(keys.peering(tenant, peer));
  return { isThere: entry !== undefined, asks: entry !== undefined && peerings.find(entry) !== undefined };
}

async function readPeering(store: Store, { tenant, peer }: PeeringPair): Promise<Entry> {
  const { entry } = await store.get(keys.peering(tenant, peer));
  if (entry !== undefined) return entry;
  await getTenant(store, tenant);
  throw new NotFound('peering', peer, 'peer');
}

/**
 * Asks; asking again changes nothing. Guarded so that both tenants stay what they are until it is written: one that is deleted
 * meanwhile gets no peering that a later tenant of its name would inherit.
 * @throws NotFound for either tenant, Conflict when one is being deleted, PreconditionFailed, Unavailable
 */
export async function putPeering(
  { store, now }: Registry,
  { tenant, peer }: PeeringPair,
  precondition: Precondition,
): Promise<PeeringState & Written<Peering>> {
  const createdAt = now().toISOString();
  return await retryLost(async () => {
    const key = keys.peering(tenant, peer);
    const [own, theirs, { entry }, other] = await Promise.all([
      readActive(store, tenant, 'tenant'),
      readActive(store, peer, 'peer'),
      store.get(key),
      findAsked(store, { tenant: peer, peer: tenant }),
    ]);
    const inForce = other.asks;
    checkPrecondition(entry, precondition);
    const before = entry && peerings.find(entry);
    if (entry !== undefined && before !== undefined) return written(before, entry.modRevision, inForce, false);
    const record: Peering = { tenant, peer, createdAt };
    const write = { kind: 'put', key, value: peerings.format(record) } as const;
    const guards: Guard[] = [
      ...[own, theirs].map(unchanged),
      entry === undefined ? { kind: 'absent', key } : { kind: 'unchanged', key, modRevision: entry.modRevision },
      otherSide(tenant, peer, other.isThere),
    ];
    const { committed, revision } = await commitSurely(store, guards, [write], write);
    return committed ? written(record, revision, inForce, entry === undefined) : undefined;
  });
}

/**
 * Asks no longer: it is out of force at once, whatever the other side asks.
 * @throws NotFound for the tenant or the peering, PreconditionFailed, Unavailable
 */
export async function deletePeering(
  { store }: Registry,
  { tenant, peer }: PeeringPair,
  precondition: Precondition,
): Promise<Change> {
  return await retryLost(async () => {
    const entry = await readPeering(store, { tenant, peer });
    checkPrecondition(entry, precondition);
    const { key, modRevision } = entry;
    const other = await findAsked(store, { tenant: peer, peer: tenant });
    const guards: Guard[] = [{ kind: 'unchanged', key, modRevision }, otherSide(tenant, peer, other.isThere)];
    const { committed, revision } = await commitSurely(store, guards, [{ kind: 'delete', key }], {
      key,
      value: undefined,
    });
    const wasInForce = other.asks && peerings.find(entry) !== undefined;
    return committed ? changeOf({ tenant, peer }, revision, wasInForce) : undefined;
  });
}

function written(
  record: Peering,
  revision: Revision,
  inForce: boolean,
  created: boolean,
): PeeringState & Written<Peering> {
  return { record, revision, inForce, created, change: changeOf(record, revision, inForce) };
}

/** Where both have asked, nodes of either side have to know what either asks; where not, the other's need not. */
function changeOf({ tenant, peer }: PeeringPair, revision: Revision, inForce: boolean): Change {
  return { tenant, kinds: ['peerings'], revision, holders: inForce ? [tenant, peer] : [tenant] };
}

/** @param field of the request @throws NotFound, Conflict */
async function readActive(store: Store, name: string, field: string): Promise<Entry> {
  const { entry } = await store.get(keys.tenant(name));
  if (entry === undefined) throw new NotFound('tenant', name, field);
  if (tenants.get(entry).phase === 'deleting')
    throw new Conflict(`tenant ${JSON.stringify(name)} is being deleted`, { field, holder: name });
  return entry;
}

function unchanged({ key, modRevision }: Entry): Guard {
  return { kind: 'unchanged', key, modRevision };
}

/** That the other side's record is still there, or still is not: of two that ask at once, the second then knows of the first. */
function otherSide(tenant: string, peer: string, isThere: boolean): Guard {
  return { kind: isThere ? 'present' : 'absent', key: keys.peering(peer, tenant) };
}
