/** CHECK: is the container still attached as ADD left it, on the host's side and inside? @see CNI spec 1.1.0, section 2, CHECK */
import { Conflict, NotFound } from '../../../controller/errors.ts';
import { podLinkName } from '../../../dataplane/ownership.ts';
import type { AgentContext } from '../context.ts';
import type { EndpointRequest } from '../socket/request.ts';

/** @throws NotFound for a container never added, Conflict naming the first thing that is not as it was */
export async function check(request: EndpointRequest, prevResult: unknown, context: AgentContext): Promise<void> {
  const local = context.journal.endpoints.get(request.id);
  if (local?.phase === 'quarantined') {
    const { ips } = local.endpoint;
    throw new Conflict(`container ${request.containerId} is cut off: ${ips.join(', ')} is another node's; delete it`);
  }
  if (local?.phase !== 'ready') throw new NotFound('container', `${request.containerId}/${request.ifname}`);
  const { endpoint } = local;
  const differs = (what: string) => new Conflict(`${request.ifname} of container ${request.containerId}: ${what}`);
  for (const address of addressesOf(prevResult)) {
    if (!endpoint.ips.some((ip) => address === ip || address.startsWith(`${ip}/`))) {
      throw differs(`prevResult has ${address}, the endpoint has ${endpoint.ips.join(', ')}`);
    }
  }
  const link = podLinkName(endpoint.id);
  if (!context.dataplane.podLinks().includes(link)) throw differs(`its host link ${link} is missing`);
  const view = context.dataplane.viewPod(request.netns, request.ifname);
  if (view === undefined) throw differs('the interface is missing in the container');
  if (!view.up) throw differs('the interface is down in the container');
  if (view.mac !== endpoint.mac) throw differs(`its MAC is ${view.mac}, not ${endpoint.mac}`);
  for (const ip of endpoint.ips)
    if (!view.addresses.includes(ip)) throw differs(`address ${ip} is missing in the container`);
  if (!view.hasDefaultRoute) throw differs('the default route is missing in the container');
  if (!view.knowsGateway) throw differs('the gateway’s neighbour entry is missing in the container');
  const failures = await context.reconciler.settle();
  for (const [key, error] of failures) if (key.includes(link)) throw differs(`${key}: ${error.message}`);
}

/** Addresses of the interface in a sandbox, in whichever version's form. */
function addressesOf(prevResult: unknown): string[] {
  if (typeof prevResult !== 'object' || prevResult === null) return [];
  const { ips } = prevResult as { ips?: unknown };
  if (!Array.isArray(ips)) return [];
  return ips.flatMap((ip: unknown) => {
    const address = typeof ip === 'object' && ip !== null ? (ip as { address?: unknown }).address : undefined;
    return typeof address === 'string' ? [address] : [];
  });
}
