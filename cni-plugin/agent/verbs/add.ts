/**
 * ADD: an address, a link, rules; an answer only when all of it is in the kernel. Remembers before it makes anything, so that
 * whatever stops it half-way can be undone, and undoes it itself when it fails.
 */
import { InvalidInput, QuotaExceeded, Unavailable } from '../../../controller/errors.ts';
import { endpoints } from '../../../controller/model/kinds/endpoint.ts';
import type { Endpoint, Tenant } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { hostPrefix, type IpAddress } from '../../../dataplane/address.ts';
import { HOST_END_MAC, POD_GATEWAY, podLinkName } from '../../../dataplane/ownership.ts';
import type { PodLinkItem } from '../../../dataplane/state.ts';
import { netnsIdentity } from '../../../dataplane/system/netns.ts';
import type { CniResult } from '../../agent-protocol.ts';
import type { AgentContext } from '../context.ts';
import { macOfAddress, overlayMtu } from '../desired/node-facts.ts';
import { NotInSync } from '../reconcile/loop.ts';
import type { EndpointRequest } from '../socket/request.ts';
import { undo } from './del.ts';
import { type Ownership, ownershipOf } from './tenancy.ts';

/**
 * @param network name of the network configuration
 * @param signal aborted when the runtime gave up on the call: then everything is undone, for a DEL may come first
 * @throws a DomainError or KernelError; nothing is left behind then
 */
export async function add(
  request: EndpointRequest,
  network: string,
  context: AgentContext,
  signal: AbortSignal,
): Promise<CniResult> {
  if (!context.view.inSync) throw new NotInSync();
  if (netnsIdentity(request.netns) === netnsIdentity('/proc/self/ns/net')) {
    throw new InvalidInput('CNI_NETNS', `${request.netns} is the node's own network namespace`);
  }
  const { tenant, namespace } = await ownershipOf(request, context);
  return context.locks.run(request.id, async () => {
    const same = existing(request, tenant, namespace, context);
    if (same !== undefined) return resultOf(same, request.netns, overlayMtu(context.facts()));
    // An id we know under another guise is a leftover: its container is gone.
    await undo(request.id, context);
    const endpoint = await context.locks.run(`quota ${tenant.name}`, () =>
      reserve(request, network, { tenant, namespace }, context),
    );
    try {
      // It may have been forgotten for want of endpoints, with its policies, until the journal had this one.
      await context.view.need(tenant.name);
      await wire(endpoint, request, context);
      if (signal.aborted) throw new Unavailable('runtime', 'the runtime gave up waiting');
      await context.journal.record({ op: 'ready', id: endpoint.id });
      return resultOf(endpoint, request.netns, overlayMtu(context.facts()));
    } catch (error) {
      await undo(endpoint.id, context);
      throw error;
    }
  });
}

/** The endpoint, if this very container is attached already: a repeated ADD gets the same answer. */
function existing(
  request: EndpointRequest,
  tenant: Tenant,
  namespace: string,
  context: AgentContext,
): Endpoint | undefined {
  const local = context.journal.endpoints.get(request.id);
  if (local?.phase !== 'ready' || !context.desired.hasEndpoint(request.id)) return undefined;
  const { endpoint } = local;
  if (endpoint.tenant !== tenant.name || endpoint.namespace !== namespace) return undefined;
  const view = context.dataplane.viewPod(request.netns, request.ifname);
  const isThere =
    view !== undefined && view.mac === endpoint.mac && endpoint.ips.every((ip) => view.addresses.includes(ip));
  return isThere ? endpoint : undefined;
}

/** Takes addresses and remembers them: a crash from here on finds the endpoint in the journal, still wiring. */
async function reserve(
  request: EndpointRequest,
  network: string,
  { tenant, namespace }: Ownership,
  context: AgentContext,
): Promise<Endpoint> {
  await checkQuota(tenant, context);
  const ips = await allocateInTime(request, tenant, context);
  const endpoint = endpointOf(request, tenant, namespace, ips, context);
  try {
    await context.journal.record({
      op: 'endpoint',
      local: { endpoint, netns: request.netns, network, phase: 'wiring' },
    });
    return endpoint;
  } catch (error) {
    // Not on disk: not to be believed by this process either.
    await context.journal.record({ op: 'gone', id: endpoint.id }).catch(() => undefined);
    for (const ip of ips) context.blocks.release(ip);
    throw error;
  }
}

/** Exact for this node; two nodes that add at the same moment may exceed the quota by one each. */
async function checkQuota(tenant: Tenant, { store, journal, facts }: AgentContext): Promise<void> {
  const limit = tenant.quota.endpoints;
  if (limit === undefined) return;
  const { entries } = await store.list(keys.endpoints(tenant.name));
  const elsewhere = entries.filter(({ key }) => endpoints.place(key)?.node !== facts().name).length;
  const here = [...journal.endpoints.values()].filter(
    ({ endpoint, phase }) => endpoint.tenant === tenant.name && phase !== 'leaving' && phase !== 'quarantined',
  ).length;
  if (elsewhere + here < limit) return;
  const message = `tenant ${tenant.name} has ${elsewhere + here} endpoints, its quota is ${limit}`;
  throw new QuotaExceeded('quota.endpoints', message);
}

/** If allocation fails, waits for pending DELs and retries once: also for those that end while it is looking for an address. */
async function allocateInTime(request: EndpointRequest, tenant: Tenant, context: AgentContext): Promise<IpAddress[]> {
  const { leaving } = context;
  const before = leaving.ended;
  try {
    return await allocate(request, tenant, context);
  } catch (error) {
    const isAnyPending = await leaving.settled();
    if (!isAnyPending && leaving.ended === before) throw error;
    return await allocate(request, tenant, context);
  }
}

async function allocate(request: EndpointRequest, tenant: Tenant, { blocks }: AgentContext): Promise<IpAddress[]> {
  if (request.wantedIps.length === 0) return [await blocks.allocate(tenant)];
  const taken: IpAddress[] = [];
  try {
    for (const { address, field } of request.wantedIps) taken.push(await blocks.allocateWanted(tenant, address, field));
    return taken;
  } catch (error) {
    for (const address of taken) blocks.release(address);
    throw error;
  }
}

function endpointOf(
  request: EndpointRequest,
  tenant: Tenant,
  namespace: string,
  ips: readonly IpAddress[],
  context: AgentContext,
): Endpoint {
  const [first] = ips;
  return {
    id: request.id,
    tenant: tenant.name,
    namespace,
    name: request.name,
    node: context.facts().name,
    ips,
    mac: request.wantedMac ?? (first === undefined ? HOST_END_MAC : macOfAddress(first)),
    labels: request.labels,
    ports: request.ports,
    containerId: request.containerId,
    ifname: request.ifname,
    createdAt: new Date().toISOString(),
  };
}

async function wire(endpoint: Endpoint, request: EndpointRequest, context: AgentContext): Promise<void> {
  const { dataplane, reconciler, desired, publisher } = context;
  const link = podLinkName(endpoint.id);
  const mtu = overlayMtu(context.facts());
  const published = publisher.publish(endpoint);
  // Awaited below; a refusal that comes before that must not end the process.
  published.catch(() => undefined);
  try {
    dataplane.createPod({
      link,
      netns: request.netns,
      ifname: request.ifname,
      mac: endpoint.mac,
      mtu,
      addresses: endpoint.ips,
    });
    const born: PodLinkItem = { kind: 'podLink', name: link, mtu, up: false };
    reconciler.believe(born);
    desired.setEndpoint(endpoint);
    const failures = await reconciler.settle();
    for (const [key, error] of failures) if (key.includes(link)) throw error;
  } catch (error) {
    // What is undone next must not be published after that.
    await published.catch(() => undefined);
    throw error;
  }
  await published;
}

/** @see CNI spec 1.1.0 section 5: the interface an address belongs to is the container's, number 1 here */
export function resultOf(endpoint: Endpoint, netns: string, mtu: number): CniResult {
  return {
    interfaces: [
      { name: podLinkName(endpoint.id), mac: HOST_END_MAC, mtu },
      { name: endpoint.ifname, mac: endpoint.mac, mtu, sandbox: netns },
    ],
    ips: endpoint.ips.map((ip) => ({ address: hostPrefix(ip), gateway: POD_GATEWAY, interface: 1 })),
    routes: [{ dst: '0.0.0.0/0', gw: POD_GATEWAY }],
    dns: {},
  };
}
