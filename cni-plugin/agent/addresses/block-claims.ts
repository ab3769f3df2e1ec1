/** Who holds a block, and what becomes of its tenant, as the store itself says: snapshots learn of both in no order, and late. */

import { Conflict, Unavailable } from '../../../controller/errors.ts';
import { type Block, blocks } from '../../../controller/model/kinds/block.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Store } from '../../../controller/store/store.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import type { KnownTenant, Snapshot } from '../watch/snapshot.ts';

/** Milliseconds within which the store says who holds a block: an agent that starts waits for it, and ADDs one after the other. */
const HOLDER_MS = 1000;

/** Stands for a holder that its record does not say readably: then the block is held, and whose it was it stays. */
export const UNKNOWN_HOLDER = '?';

/** @returns the node that has claimed the block, or {@link UNKNOWN_HOLDER} @throws Unavailable */
export async function findHolder(store: Store, tenant: string, prefix: IpPrefix): Promise<string | undefined> {
  const key = keys.block(tenant, prefix);
  const { entry } = await store.get(key, { timeoutMs: HOLDER_MS });
  return entry && (blocks.find(entry)?.node ?? UNKNOWN_HOLDER);
}

/**
 * Takes a node's claim of its block away; one that is another's, or gone, stays so.
 * @throws Unavailable, IndeterminateCommit, RecordError
 */
export async function releaseClaim(store: Store, { tenant, prefix, node }: Block): Promise<void> {
  const key = keys.block(tenant, prefix);
  const { entry } = await store.get(key);
  if (entry === undefined || blocks.get(entry).node !== node) return;
  await store.commit([{ kind: 'unchanged', key, modRevision: entry.modRevision }], [{ kind: 'delete', key }]);
}

/** @throws Conflict for a tenant that is going away, or is gone */
export function getActive(snapshot: Snapshot, tenant: string): KnownTenant {
  const known = snapshot.tenants.get(tenant);
  if (known === undefined || known.tenant.phase === 'deleting')
    throw new Conflict(`tenant ${tenant} is being deleted`, { field: 'tenant' });
  return known;
}

/** A store that holds no cluster says nothing of who holds what: it was emptied, or its backup is yet to come. @throws Unavailable */
export async function refuseWithoutCluster(store: Store): Promise<void> {
  const { entry } = await store.get(keys.cluster, { timeoutMs: HOLDER_MS });
  if (entry === undefined) throw new Unavailable('store', 'the store holds no cluster');
}
