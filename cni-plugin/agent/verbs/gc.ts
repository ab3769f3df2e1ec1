/**
 * GC: detach whatever of its network the runtime no longer knows. A list that is absent means unknown, and touches nothing.
 * @see CNI spec 1.1.0, GC
 */
import type { NetworkConfig } from '../../agent-protocol.ts';
import type { AgentContext } from '../context.ts';
import { endpointId } from '../socket/request.ts';
import { del } from './del.ts';

export async function gc(config: NetworkConfig, context: AgentContext): Promise<void> {
  const attachments = config['cni.dev/valid-attachments'];
  if (attachments === undefined) return;
  const valid = new Set((attachments ?? []).map(({ containerID, ifname }) => endpointId(containerID, ifname)));
  // Looked at now: an ADD that begins later is none of this list's business.
  const stale = [...context.journal.endpoints.values()].filter(
    ({ phase, network, endpoint }) =>
      (phase === 'ready' || phase === 'quarantined') && network === config.name && !valid.has(endpoint.id),
  );
  await Promise.all(
    stale.map(async ({ endpoint }) => {
      context.log.info({ op: 'GC', tenant: endpoint.tenant, endpoint: endpoint.id, name: endpoint.name }, 'detaching');
      await del({ id: endpoint.id }, context);
    }),
  );
}
