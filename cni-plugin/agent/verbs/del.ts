/**
 * DEL, and the undoing of an ADD that failed: rules first, then the link, then every flow of the address, and only then is the
 * address free again. Works from the id alone, for the namespace may be gone and the agent may have forgotten. Idempotent.
 */
import { podLinkName } from '../../../dataplane/ownership.ts';
import type { AgentContext } from '../context.ts';
import type { EndpointRequest } from '../request.ts';

/** How long DEL waits for the store to hear of it; what is owed is paid later. */
const UNPUBLISH_PATIENCE_MS = 300;

export async function del(request: Pick<EndpointRequest, 'id'>, context: AgentContext): Promise<void> {
  await context.locks.run(request.id, () => undo(request.id, context));
}

/** To be called with the endpoint's lock held. */
export async function undo(id: string, context: AgentContext): Promise<void> {
  const { journal, desired, reconciler, dataplane, blocks, publisher, log } = context;
  const local = journal.endpoints.get(id);
  const wasWired = desired.removeEndpoint(id);
  if (wasWired) {
    await reconciler.settle().catch((error: unknown) => {
      // The rules of a link that is gone admit nothing; the loop goes on trying to remove them.
      log.warn({ op: 'DEL', endpoint: id, err: error }, 'rules not removed yet');
    });
  }
  await dataplane.deleteLink(podLinkName(id));
  if (local === undefined) return;
  const { ips } = local.endpoint;
  await dataplane.forgetFlows(ips);
  await journal.record({ op: 'gone', id });
  for (const ip of ips) blocks.release(ip);
  const patience = new Promise<void>((resolve) => setTimeout(resolve, UNPUBLISH_PATIENCE_MS).unref());
  await Promise.race([publisher.unpublish(id), patience]);
}
