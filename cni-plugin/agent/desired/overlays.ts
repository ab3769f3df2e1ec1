/**
 * Overlay links and the way to other nodes' blocks: one VXLAN link per tenant with an endpoint here, the system overlay on
 * every node. A remote block costs one route and one identity; a remote node one neighbour and one FDB entry. Pure.
 */
import { type Block, type Node, SYSTEM_TENANT, SYSTEM_VNI, type Tenant } from '../../../controller/model/records.ts';
import { type IpAddress, type IpPrefix, parseIp, prefixBase } from '../../../dataplane/address.ts';
import { overlayLinkName, POD_GATEWAY } from '../../../dataplane/ownership.ts';
import type { Item } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { type NodeFacts, overlayMac, overlayMtu, reachesAllTenants, VXLAN_PORT } from './node-facts.ts';

/** Of the default policy: a tenant's endpoints cannot be told apart, so all share one identity, the tenant's VNI. */
export function identityOf(tenant: Tenant): number {
  return tenant.vni;
}

/**
 * @param localTenants those with an endpoint here
 * @param ownBlocks this node's, which the snapshot may not have seen yet
 */
export function* overlayItems(
  snapshot: Snapshot,
  facts: NodeFacts,
  localTenants: ReadonlySet<string>,
  ownBlocks: readonly Block[],
): Generator<Item> {
  for (const block of ownBlocks) {
    const tenant = snapshot.tenant(block.tenant);
    if (tenant !== undefined && localTenants.has(tenant.name)) yield blockIdentity(block, tenant);
  }
  const systemAddress = reachesAllTenants(facts.roles) ? systemAddressOf(snapshot, facts.name) : undefined;
  yield* systemOverlay(snapshot, facts, systemAddress);
  for (const name of localTenants) {
    const tenant = snapshot.tenant(name);
    if (tenant !== undefined) yield* tenantOverlay(tenant, snapshot, facts, systemAddress);
  }
  if (systemAddress === undefined) return;
  for (const { tenant } of snapshot.tenants.values()) {
    if (tenant.name === SYSTEM_TENANT) continue;
    // Answers to a gateway always come by the system overlay.
    yield { kind: 'element', collection: 'overlaySource', fields: [overlayLinkName(SYSTEM_VNI), identityOf(tenant)] };
    if (!localTenants.has(tenant.name)) yield* gatewayReach(tenant, snapshot, facts, systemAddress);
  }
}

/** The address a node has claimed in the system overlay. */
export function systemAddressOf(snapshot: Snapshot, node: string): IpAddress | undefined {
  for (const block of snapshot.blocksOf(SYSTEM_TENANT)) if (block.node === node) return prefixBase(block.prefix);
  return undefined;
}

function* systemOverlay(snapshot: Snapshot, facts: NodeFacts, systemAddress: IpAddress | undefined): Generator<Item> {
  const link = overlayLinkName(SYSTEM_VNI);
  yield overlayLink(SYSTEM_VNI, facts);
  yield { kind: 'address', link, address: parseIp(POD_GATEWAY) };
  if (systemAddress !== undefined) yield { kind: 'address', link, address: systemAddress };
  yield { kind: 'element', collection: 'overlaySource', fields: [link, SYSTEM_VNI] };
  for (const block of snapshot.blocksOf(SYSTEM_TENANT)) {
    const address = prefixBase(block.prefix);
    yield { kind: 'element', collection: 'identity', fields: [address], value: SYSTEM_VNI };
    yield* wayTo(block, link, snapshot, facts, undefined);
  }
}

function* tenantOverlay(
  tenant: Tenant,
  snapshot: Snapshot,
  facts: NodeFacts,
  systemAddress: IpAddress | undefined,
): Generator<Item> {
  const link = overlayLinkName(tenant.vni);
  yield overlayLink(tenant.vni, facts);
  yield { kind: 'element', collection: 'overlaySource', fields: [link, identityOf(tenant)] };
  // A node that is both gateway and compute has one route a block and sends as a gateway over the tenant's own overlay.
  if (tenant.ingress.gateways) yield { kind: 'element', collection: 'overlaySource', fields: [link, SYSTEM_VNI] };
  for (const block of snapshot.blocksOf(tenant.name)) {
    yield blockIdentity(block, tenant);
    yield* wayTo(block, link, snapshot, facts, systemAddress);
  }
}

function* gatewayReach(tenant: Tenant, snapshot: Snapshot, facts: NodeFacts, source: IpAddress): Generator<Item> {
  const link = overlayLinkName(SYSTEM_VNI);
  for (const block of snapshot.blocksOf(tenant.name)) {
    yield blockIdentity(block, tenant);
    yield* wayTo(block, link, snapshot, facts, source);
  }
}

function blockIdentity(block: Block, tenant: Tenant): Item {
  const fields = [prefixBase(block.prefix)];
  return { kind: 'element', collection: 'block', fields, value: identityOf(tenant) };
}

function overlayLink(vni: number, facts: NodeFacts): Item {
  const { link, address } = facts.underlay;
  return {
    kind: 'overlayLink',
    name: overlayLinkName(vni),
    vni,
    local: address,
    port: VXLAN_PORT,
    underlay: link,
    mac: overlayMac(address),
    mtu: overlayMtu(facts),
    up: true,
  };
}

/** Route, neighbour and FDB entry towards another node's block; nothing for our own, or while its node is unknown. */
function* wayTo(
  block: Block,
  link: string,
  snapshot: Snapshot,
  facts: NodeFacts,
  source: IpAddress | undefined,
): Generator<Item> {
  if (block.node === facts.name) return;
  const node = snapshot.nodes.get(block.node);
  if (node === undefined) return;
  yield* nextHop(node, link);
  yield route(block.prefix, node.underlay, link, source);
}

function* nextHop(node: Node, link: string): Generator<Item> {
  const mac = overlayMac(node.underlay);
  yield { kind: 'neighbour', link, address: node.underlay, mac };
  yield { kind: 'fdb', link, mac, remote: node.underlay };
}

function route(destination: IpPrefix, gateway: IpAddress, link: string, source: IpAddress | undefined): Item {
  const base = { kind: 'route', type: 'unicast', destination, link, gateway } as const;
  return source === undefined ? base : { ...base, source };
}
