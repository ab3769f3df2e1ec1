/**
 * An endpoint whose place is another's by now: cut off for good and told of, but its container is not ours to take down. It stays in the
 * journal until its DEL, so its link is known and closed: a pod link that no rule knows passes nothing.
 */
import type { AgentContext } from '../context.ts';
import type { LocalEndpoint } from './journal.ts';

/** To be called with the endpoint's lock held. What the kernel refuses to remove the reconciler goes on removing. */
export async function quarantine(id: string, context: AgentContext): Promise<void> {
  const { journal, desired, reconciler, publisher, dataplane, blocks, log } = context;
  const local = journal.endpoints.get(id);
  if (local?.phase !== 'ready') return;
  const { tenant, ips } = local.endpoint;
  log.error({ op: 'quarantine', tenant, endpoint: id }, 'cutting off: its address is not this node’s any more');
  tellOfQuarantine(local, context);
  desired.removeEndpoint(id);
  const remembered = journal.record({ op: 'quarantined', id });
  for (const ip of ips) blocks.release(ip);
  try {
    await reconciler.settle();
    await dataplane.forgetFlows(ips);
  } catch (error) {
    log.warn({ op: 'quarantine', endpoint: id, err: error }, 'not all removed yet');
  }
  await remembered;
  await publisher.unpublish(id);
}

/** Also at start: the book forgets with the process. */
export function tellOfQuarantine({ endpoint }: LocalEndpoint, { book }: AgentContext): void {
  const { id, tenant, namespace, name, ips, containerId } = endpoint;
  const text = `${namespace}/${name} (container ${containerId}) is cut off: ${ips.join(', ')} is not this node’s any more`;
  book.note('place_taken', { about: id, tenant, text });
}
