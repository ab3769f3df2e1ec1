/**
 * STATUS: may containers be attached here? Not before the cluster has been seen, while its changes do not arrive, or while the node
 * cannot make itself known; and a network that names its tenant hears what the kernel refuses of that tenant.
 */
import type { Problem } from '../../../controller/model/problems.ts';
import { type AgentRequest, type AgentResponse, CNI_ERROR } from '../../agent-protocol.ts';
import type { AgentContext } from '../context.ts';
import { reachesAllTenants } from '../desired/node-facts.ts';
import { systemAddressOf } from '../desired/world.ts';
import { REGISTRATION } from '../reports/registration.ts';

export function statusOf({ config }: AgentRequest, context: AgentContext): AgentResponse {
  const { book, view, snapshot, facts } = context;
  const deaf = book.find(({ kind, about }) => kind === 'not_followed' && about === view.trouble);
  if (!view.inSync) return notYet('the agent has not yet seen the cluster’s state', deaf);
  if (view.trouble !== undefined) return notYet('changes of the cluster do not arrive at the agent', deaf);
  const unknown = book.find(({ kind, about }) => kind === 'store_refused' && about === REGISTRATION);
  if (unknown !== undefined) return notYet('the node cannot make itself known to the cluster', unknown);
  if (reachesAllTenants(facts().roles) && systemAddressOf(snapshot, facts().name) === undefined)
    return notYet('the node has no address in the system overlay yet');
  const refused = book.find(({ kind, about }) => kind === 'kernel_refused' && about === 'rules');
  if (refused !== undefined) return notYet('the kernel refuses the rules', refused);
  const tenant = config.args?.cni?.tenant ?? config.tenant;
  const ofTenant = book.find((problem) => tenant !== undefined && problem.tenant === tenant);
  return ofTenant === undefined ? { ok: true } : notYet(`something is wrong with tenant ${tenant}`, ofTenant);
}

function notYet(msg: string, problem?: Problem): AgentResponse {
  const details = problem === undefined ? {} : { details: `${problem.about}: ${problem.text}` };
  return { ok: false, error: { code: CNI_ERROR.pluginNotAvailable, msg, ...details } };
}
