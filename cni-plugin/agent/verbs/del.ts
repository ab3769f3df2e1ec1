/**
 * DEL, and the undoing of an ADD that failed: rules first, then the link, then every flow of the address, and only then is the
 * address free again. DEL answers as soon as the container is cut off for good: the kernel takes 20 ms over a link. Works from the id
 * alone, for the namespace may be gone and the agent may have forgotten. Idempotent.
 */
import { podLinkName } from '../../../dataplane/ownership.ts';
import type { AgentContext } from '../context.ts';
import type { EndpointRequest } from '../socket/request.ts';

/** How long DEL waits for the store to hear of it; what is owed is paid later. */
const UNPUBLISH_PATIENCE_MS = 300;

export async function del({ id }: Pick<EndpointRequest, 'id'>, context: AgentContext): Promise<void> {
  const { locks, leaving, log } = context;
  await new Promise<void>((resolve, reject) => {
    const work = async () => {
      const isCertain = await cutOff(id, context);
      const clearing = clearAway(id, context);
      if (!isCertain) return await clearing;
      resolve();
      await leaving.wait(clearing).catch((error: unknown) => {
        log.error({ op: 'DEL', endpoint: id, err: error }, 'not cleared away: the next DEL or start will');
      });
    };
    locks.run(id, work).then(resolve, reject);
  });
}

/** All of it at once. To be called with the endpoint's lock held. */
export async function undo(id: string, context: AgentContext): Promise<void> {
  await cutOff(id, context);
  await clearAway(id, context);
}

/**
 * Nothing passes any more, and the store is told so.
 * @returns whether that is so, and the rest of it in the journal: then it happens even if this process ends here
 */
async function cutOff(id: string, { journal, desired, reconciler, publisher, log }: AgentContext): Promise<boolean> {
  // One that failed before has nothing left to remove from what is wanted, and perhaps rules in the kernel all the same.
  const phase = journal.endpoints.get(id)?.phase;
  let isCutOff = phase !== 'leaving' && phase !== 'quarantined';
  if (desired.removeEndpoint(id)) {
    try {
      if ((await reconciler.settle()).size > 0) isCutOff = false;
    } catch (error) {
      // The rules of a link that is gone admit nothing; the loop goes on trying to remove them.
      log.warn({ op: 'DEL', endpoint: id, err: error }, 'rules not removed yet');
      isCutOff = false;
    }
  }
  if (!journal.endpoints.has(id)) return false;
  const remembered = journal.record({ op: 'leaving', id });
  const patience = new Promise<void>((resolve) => setTimeout(resolve, UNPUBLISH_PATIENCE_MS).unref());
  await Promise.all([remembered, Promise.race([publisher.unpublish(id), patience])]);
  return isCutOff;
}

/** The link goes, then its flows, and the address is free. */
async function clearAway(id: string, { journal, dataplane, blocks, book }: AgentContext): Promise<void> {
  await dataplane.deleteLink(podLinkName(id));
  const local = journal.endpoints.get(id);
  if (local === undefined) return;
  const { ips } = local.endpoint;
  await dataplane.forgetFlows(ips);
  await journal.record({ op: 'gone', id });
  book.solved('place_taken', id);
  const others = [...journal.endpoints.values()].filter(({ phase }) => phase !== 'quarantined');
  // The address of one that was quarantined may have come back here, and be another container's.
  for (const ip of ips) if (!others.some(({ endpoint }) => endpoint.ips.includes(ip))) blocks.release(ip);
}
