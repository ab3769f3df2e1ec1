/**
 * Labels and named ports of endpoints here that were changed through REST: remembered, for should their records be lost (a node taken
 * for dead and forgotten), they are written anew from what the node remembers.
 */
import { endpoints } from '../../../controller/model/kinds/endpoint.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { AgentContext } from '../context.ts';

/** @param changed keys of the store; without, any may have changed */
export async function rememberChanges(context: AgentContext, changed?: readonly string[]): Promise<void> {
  const { journal, snapshot, log } = context;
  const ids = changed === undefined ? [...journal.endpoints.keys()] : changed.flatMap((key) => idOf(key, journal.node));
  for (const id of ids) {
    const local = journal.endpoints.get(id);
    if (local?.phase !== 'ready') continue;
    const { endpoint } = local;
    const stored = snapshot.endpoint(keys.endpoint(endpoint.tenant, journal.node, id));
    if (stored === undefined || stored.createdAt !== endpoint.createdAt) continue;
    const { labels, ports } = stored;
    if (JSON.stringify([labels, ports]) === JSON.stringify([endpoint.labels, endpoint.ports])) continue;
    try {
      await journal.record({ op: 'endpoint', local: { ...local, endpoint: { ...endpoint, labels, ports } } });
    } catch (error) {
      log.warn({ op: 'relabel', endpoint: id, err: error }, 'changed labels cannot be remembered');
    }
  }
}

function idOf(key: string, node: string): string[] {
  const at = endpoints.place(key);
  return at?.node === node ? [at.id] : [];
}
