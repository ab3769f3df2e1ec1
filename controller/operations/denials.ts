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
} from '../model/denials.ts';
import { denials } from '../model/kinds/denials.ts';
import { Unreadable } from '../model/kinds/kind.ts';
import { areCounts, traffic } from '../model/kinds/traffic.ts';
import { type Subject, subjects } from '../model/kinds/wanted.ts';
import { keys } from '../store/keys.ts';
import type { Revision, Store } from '../store/store.ts';
import type { Noticed } from './noticed.ts';
import { getTenant } from './tenants.ts';
import type { Wanted } from './wanted.ts';

/** Where it is read, and how nodes are asked. */
export interface Sources {
  readonly store: Store;
  readonly wanted: Wanted;
  readonly noticed: Noticed;
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
  { store, wanted, noticed }: Sources,
  tenant: string,
  filter: DenialFilter,
  limit: number,
): Promise<DenialList> {
  await getTenant(store, tenant);
  await ask(wanted, subjects.denials(tenant));
  const { entries, revision } = await store.list(keys.denials(tenant));
  const found = entries.flatMap((entry) => {
    const said = denials.read(entry);
    noticed.note(entry.key, said);
    const node = denials.place(entry.key)?.node;
    return said instanceof Unreadable || node === undefined ? [] : numberDenials(node, said);
  });
  const matching = found.filter((denial) => matchesDenial(tenant, filter, denial)).sort(compareDenials);
  return { items: matching.reverse().slice(0, limit), revision };
}

/** What every node counted of every tenant. @throws Unavailable */
export async function readTraffic({ store, wanted, noticed }: Sources): Promise<TenantTraffic[]> {
  await ask(wanted, subjects.traffic);
  const { entries } = await store.list(keys.allTraffic);
  return entries.flatMap((entry) => {
    const node = traffic.place(entry.key)?.node;
    const said = traffic.read(entry);
    noticed.note(entry.key, said);
    const told = said instanceof Unreadable ? [] : Object.entries(said.tenants);
    return told.flatMap(([tenant, counts]) =>
      node !== undefined && areCounts(counts) ? [{ tenant, node, allowed: counts.allowed, denied: counts.denied }] : [],
    );
  });
}

/** Waits for what nodes have to tell. A caller that asks again soon finds it told. @throws Unavailable */
async function ask(wanted: Wanted, subject: Subject): Promise<void> {
  const hold = wanted.hold(subject);
  try {
    await hold.answered;
  } finally {
    hold.release();
  }
}
