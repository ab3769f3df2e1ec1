/**
 * Overlay links and the way to other nodes' blocks: one VXLAN link per tenant with an endpoint here or a peer that has one, the system
 * overlay on every node. A remote block costs one route and one identity; a remote node one neighbour and one FDB entry. A packet goes by
 * the overlay of the tenant it is for, also between peers. Pure.
 */
import { type Block, type Node, SYSTEM_TENANT, SYSTEM_VNI, type Tenant } from '../../../controller/model/records.ts';
import { type IpAddress, type IpPrefix, parseIp, prefixBase } from '../../../dataplane/address.ts';
import { overlayLinkName, POD_GATEWAY } from '../../../dataplane/ownership.ts';
import type { Item } from '../../../dataplane/state.ts';
import { macOfAddress, overlayMtu, reachesAllTenants, VXLAN_PORT } from './node-facts.ts';
import { gatewayAddress, identityOf, isLocal, isReached, type World } from './world.ts';

/** The platform's own overlay, on every node; the ways in it are its blocks'. */
export function* systemItems(world: World): Generator<Item> {
  const link = overlayLinkName(SYSTEM_VNI);
  yield overlayLink(SYSTEM_VNI, world);
  yield { kind: 'address', link, address: parseIp(POD_GATEWAY) };
  const address = gatewayAddress(world);
  if (address !== undefined) yield { kind: 'address', link, address };
  yield mayArrive(link, SYSTEM_VNI);
}

/** A tenant's overlay link, who may arrive on it, and which networks are the tenant's. */
export function* tenantItems(name: string, world: World): Generator<Item> {
  const tenant = world.snapshot.tenant(name);
  if (tenant === undefined || name === SYSTEM_TENANT) return;
  const reached = isReached(world, name);
  const callsAll = gatewayAddress(world) !== undefined;
  const link = overlayLinkName(tenant.vni);
  if (reached) yield overlayLink(tenant.vni, world);
  if (isLocal(world, name)) {
    yield mayArrive(link, identityOf(tenant));
    for (const peer of world.snapshot.peersOf(name)) yield mayArrive(link, identityOf(peer));
    // A node that is both gateway and compute has one route a block and sends as a gateway over the tenant's own overlay.
    if (tenant.ingress.gateways) yield mayArrive(link, SYSTEM_VNI);
  }
  // Answers to a gateway always come by the system overlay.
  if (callsAll) yield mayArrive(overlayLinkName(SYSTEM_VNI), identityOf(tenant));
  if (!reached && !callsAll) return;
  for (const subnet of tenant.subnets) {
    yield { kind: 'element', collection: 'network', fields: [subnet], value: identityOf(tenant) };
  }
}

/** Who the addresses of a block are, and the way there. */
export function* blockItems(block: Block, world: World): Generator<Item> {
  if (block.tenant === SYSTEM_TENANT) {
    const fields = [prefixBase(block.prefix)];
    yield { kind: 'element', collection: 'identity', fields, value: SYSTEM_VNI };
    yield* maySend('vxlanSystem', block, world);
    yield* wayTo(block, overlayLinkName(SYSTEM_VNI), world, undefined);
    return;
  }
  const tenant = world.snapshot.tenant(block.tenant);
  if (tenant === undefined) return;
  const source = gatewayAddress(world);
  const reached = isReached(world, tenant.name);
  if (!reached && source === undefined) return;
  yield blockIdentity(block, tenant);
  yield* maySend('vxlanBlock', block, world);
  yield* wayTo(block, overlayLinkName(reached ? tenant.vni : SYSTEM_VNI), world, source);
}

/** This node's own block, which the snapshot may not have seen yet. */
export function* ownBlockItems(block: Block, world: World): Generator<Item> {
  const tenant = world.snapshot.tenant(block.tenant);
  if (tenant !== undefined && isLocal(world, tenant.name)) yield blockIdentity(block, tenant);
}

function mayArrive(link: string, identity: number): Item {
  return { kind: 'element', collection: 'overlaySource', fields: [link, identity] };
}

/** Another node sends for its own blocks alone; as a gateway if it is one, whatever address it has kept. */
function* maySend(
  collection: 'vxlanBlock' | 'vxlanSystem',
  { node: name, prefix }: Block,
  { facts, snapshot }: World,
): Generator<Item> {
  const node = snapshot.nodes.get(name);
  if (node === undefined || name === facts.name) return;
  if (collection === 'vxlanSystem' && !reachesAllTenants(node.roles)) return;
  yield { kind: 'element', collection, fields: [node.underlay, prefixBase(prefix)] };
}

function blockIdentity(block: Block, tenant: Tenant): Item {
  const fields = [prefixBase(block.prefix)];
  return { kind: 'element', collection: 'block', fields, value: identityOf(tenant) };
}

function overlayLink(vni: number, { facts }: World): Item {
  const { link, address } = facts.underlay;
  return {
    kind: 'overlayLink',
    name: overlayLinkName(vni),
    vni,
    local: address,
    port: VXLAN_PORT,
    underlay: link,
    mac: macOfAddress(address),
    mtu: overlayMtu(facts),
    up: true,
  };
}

/** Route, neighbour and FDB entry towards another node's block; nothing for our own, or while its node is unknown. */
function* wayTo(
  block: Block,
  link: string,
  { facts, snapshot }: World,
  source: IpAddress | undefined,
): Generator<Item> {
  if (block.node === facts.name) return;
  const node = snapshot.nodes.get(block.node);
  if (node === undefined) return;
  yield* nextHop(node, link);
  yield route(block.prefix, node.underlay, link, source);
}

function* nextHop(node: Node, link: string): Generator<Item> {
  const mac = macOfAddress(node.underlay);
  yield { kind: 'neighbour', link, address: node.underlay, mac };
  yield { kind: 'fdb', link, mac, remote: node.underlay };
}

function route(destination: IpPrefix, gateway: IpAddress, link: string, source: IpAddress | undefined): Item {
  const base = { kind: 'route', type: 'unicast', destination, link, gateway } as const;
  return source === undefined ? base : { ...base, source };
}
