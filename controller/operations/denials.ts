/**
 * Packets of a tenant that nodes refused, as REST lists them, and the counts that nodes keep: agents are asked, and what they have
 * written is read once.
 * Callers that follow denials take denial-feeds.ts.
 */
import {
  compareDenials,
  type DenialFilter,
  matchesDenial,
  type NumberedDenial,
  numberDenials,
  readDenials,
} from '../model/denials.ts';
import type { Denials, Traffic } from '../model/records.ts';
import { keys, subjects } from '../store/keys.ts';
import { parseRecord, RecordError } from '../store/records.ts';
import type { Entry, Revision, Store } from '../store/store.ts';
import { getTenant } from './tenants.ts';
import type { Wanted } from './wanted.ts';

/** Where it is read, and how nodes are asked. */
export interface Sources {
  readonly store: Store;
  readonly wanted: Wanted;
}

/** The latest of all nodes, newest first. */
export interface DenialList {
  readonly items: readonly NumberedDenial[];
  readonly revision: Revision;
}

/** Packets of one tenant on one node, since its agent began. */
export interface TenantTraffic {
  readonly tenant: string;
  readonly node: string;
  readonly allowed: number;
  readonly denied: number;
}

/** @throws NotFound for the tenant, Unavailable */
export async function listDenials(
  { store, wanted }: Sources,
  tenant: string,
  filter: DenialFilter,
  limit: number,
): Promise<DenialList> {
  await getTenant(store, tenant);
  await ask(wanted, subjects.denials(tenant));
  const { entries, revision } = await store.list(keys.denials(tenant));
  const found = entries.flatMap((entry) => {
    const said = parseDenials(entry);
    return said === undefined ? [] : numberDenials(denialsNode(entry.key), said);
  });
  const matching = found.filter((denial) => matchesDenial(tenant, filter, denial)).sort(compareDenials);
  return { items: matching.reverse().slice(0, limit), revision };
}

/** @returns undefined for a record that cannot be read: the others are worth seeing all the same */
export function parseDenials({ key, value }: Entry): Denials | undefined {
  return readLeniently(() => readDenials(parseRecord(key, value)));
}

/** The node in the key of its denials. */
export function denialsNode(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

/** What every node counted of every tenant. @throws Unavailable */
export async function readTraffic({ store, wanted }: Sources): Promise<TenantTraffic[]> {
  await ask(wanted, subjects.traffic);
  const { entries } = await store.list(keys.allTraffic);
  return entries.flatMap(({ key, value }) => {
    const node = key.slice(keys.allTraffic.length);
    const tenants = readLeniently(() => parseRecord<Traffic>(key, value).tenants) ?? {};
    return Object.entries(tenants)
      .map(([tenant, counts]) => ({ tenant, node, allowed: Number(counts?.allowed), denied: Number(counts?.denied) }))
      .filter(({ allowed, denied }) => allowed >= 0 && denied >= 0);
  });
}

/** Waits for what nodes have to tell. A caller that asks again soon finds it told. @throws Unavailable */
async function ask(wanted: Wanted, subject: string): Promise<void> {
  const hold = wanted.hold(subject);
  try {
    await hold.answered;
  } finally {
    hold.release();
  }
}

function readLeniently<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RecordError) return undefined;
    throw error;
  }
}
