/**
 * Whether a connection may begin, and what decides it at each end: the cluster and the tenants first, then the policies of both
 * ends. Written from what policies mean, apart from the agent's compiler, so that each can be held against the other. Answers to
 * what was allowed always pass and are not asked about. Pure.
 */
import { familyOf } from '../../dataplane/address.ts';
import { InvalidInput } from '../errors.ts';
import type { Exception } from '../model/records.ts';
import { judgePolicies, type Match, type Side, type Traffic } from './policies.ts';
import { type End, type EndpointEnd, PROBE_ADDRESS, type WorldIndex } from './world.ts';

/** What decides without looking at a policy. */
export type Fact =
  | { readonly fact: 'self' }
  | { readonly fact: 'ipv6' }
  | { readonly fact: 'tenantMissing'; readonly tenant: string }
  | { readonly fact: 'noPeering'; readonly from: string; readonly to: string }
  | { readonly fact: 'closed'; readonly to: Exclude<End, EndpointEnd> }
  | { readonly fact: 'exception'; readonly exception: Exception; readonly to: Exclude<End, EndpointEnd> }
  | { readonly fact: 'internet'; readonly tenant: string; readonly to: Exclude<End, EndpointEnd> }
  | { readonly fact: 'noInternet'; readonly tenant: string; readonly to: Exclude<End, EndpointEnd> }
  | { readonly fact: 'ownNode'; readonly node: string }
  | { readonly fact: 'gateway' | 'noGateways'; readonly node: string; readonly tenant: string }
  | { readonly fact: 'callsFromElsewhere'; readonly from: Exclude<End, EndpointEnd> };

/** What decides at one end. */
export type Finding = { readonly end: 'source' | 'destination'; readonly allowed: boolean } & (
  | { readonly by: 'fact'; readonly fact: Fact }
  /** `match` absent: no rule of the policies that isolate the end allows it; `open`: none isolates it */
  | { readonly by: 'policies'; readonly side: Side; readonly match?: Match | 'open' }
);

/**
 * Allowed if every finding is. One alone where cluster or tenants decide, which no policy changes; else one of each end.
 * @throws InvalidInput when neither end is an endpoint: between others Tenet decides nothing
 */
export function decide(index: WorldIndex, from: End, to: End, traffic: Traffic): readonly Finding[] {
  if (from.kind === 'endpoint') {
    if (to.kind === 'endpoint') return betweenEndpoints(index, from, to, traffic);
    return outward(index, from, to, traffic);
  }
  if (to.kind === 'endpoint') return [inward(index, from, to)];
  throw new InvalidInput('to', 'neither end is a container: Tenet does not decide this traffic');
}

export function isAllowed(findings: readonly Finding[]): boolean {
  return findings.every(({ allowed }) => allowed);
}

function betweenEndpoints(index: WorldIndex, from: EndpointEnd, to: EndpointEnd, traffic: Traffic): Finding[] {
  if (from.endpoint.id === to.endpoint.id && from.endpoint.tenant === to.endpoint.tenant)
    return [byFact('source', true, { fact: 'self' })];
  const missing = [from, to].find(({ endpoint }) => index.tenant(endpoint.tenant) === undefined);
  if (missing !== undefined)
    return [byFact(missing === from ? 'source' : 'destination', false, tenantMissing(missing))];
  const tenants = { from: from.endpoint.tenant, to: to.endpoint.tenant };
  if (!index.areFriends(tenants.from, tenants.to))
    return [
      byFact(index.asks(tenants.from, tenants.to) ? 'destination' : 'source', false, { fact: 'noPeering', ...tenants }),
    ];
  if (!hasIpv4(from) || !hasIpv4(to)) return [byFact('source', false, { fact: 'ipv6' })];
  return [
    byPolicies(index, { direction: 'Egress', self: from, other: to }, traffic),
    byPolicies(index, { direction: 'Ingress', self: to, other: from }, traffic),
  ];
}

/** From an endpoint to an address that is no endpoint's. */
function outward(index: WorldIndex, from: EndpointEnd, to: Exclude<End, EndpointEnd>, traffic: Traffic): Finding[] {
  const tenant = index.tenant(from.endpoint.tenant);
  if (tenant === undefined) return [byFact('source', false, tenantMissing(from))];
  if (!hasIpv4(from) || !hasIpv4(to)) return [byFact('source', false, { fact: 'ipv6' })];
  // Gateways call and are not called, exception or not: they are known by name, not by being beyond the cluster.
  if (to.kind === 'gateway') return [byFact('destination', false, { fact: 'closed', to })];
  const egress = byPolicies(index, { direction: 'Egress', self: from, other: to }, traffic);
  const exception = index.world.cluster.exceptions.find(
    ({ address, protocol, port }) => address === to.address && protocol === traffic.protocol && port === traffic.port,
  );
  if (exception !== undefined) return [egress, byFact('destination', true, { fact: 'exception', exception, to })];
  if (to.kind !== 'external') return [byFact('destination', false, { fact: 'closed', to })];
  if (!tenant.egress.internet) return [byFact('source', false, { fact: 'noInternet', tenant: tenant.name, to })];
  return [egress, byFact('destination', true, { fact: 'internet', tenant: tenant.name, to })];
}

/** From an address that is no endpoint's to an endpoint: policies have no say in it. */
function inward(index: WorldIndex, from: Exclude<End, EndpointEnd>, to: EndpointEnd): Finding {
  const { endpoint } = to;
  if (!hasIpv4(from) || !hasIpv4(to)) return byFact('destination', false, { fact: 'ipv6' });
  const tenant = index.tenant(endpoint.tenant);
  if (tenant === undefined) return byFact('destination', false, tenantMissing(to));
  const caller = from.kind === 'node' || from.kind === 'gateway' ? from.node : undefined;
  // A node's own probes come from the address that each pod has for its gateway.
  if (caller === endpoint.node || from.address === PROBE_ADDRESS)
    return byFact('destination', true, { fact: 'ownNode', node: endpoint.node });
  if (caller === undefined || !index.isGateway(caller))
    return byFact('destination', false, { fact: 'callsFromElsewhere', from });
  // What a gateway sends to containers arrives from its address in the system overlay, whichever of its addresses is asked about.
  const { gateways } = tenant.ingress;
  const fact: Fact = { fact: gateways ? 'gateway' : 'noGateways', node: caller, tenant: tenant.name };
  return byFact('destination', gateways, fact);
}

function byPolicies(index: WorldIndex, side: Side, traffic: Traffic): Finding {
  const match = judgePolicies(index, side, traffic);
  const end = side.direction === 'Egress' ? 'source' : 'destination';
  return { end, allowed: match !== undefined, by: 'policies', side, ...(match && { match }) };
}

function byFact(end: Finding['end'], allowed: boolean, fact: Fact): Finding {
  return { end, allowed, by: 'fact', fact };
}

function tenantMissing({ endpoint }: EndpointEnd): Fact {
  return { fact: 'tenantMissing', tenant: endpoint.tenant };
}

/** IPv6 from and to containers is dropped at their links. */
function hasIpv4(end: End): boolean {
  const addresses = end.kind === 'endpoint' ? end.addresses : [end.address];
  return addresses.some((address) => familyOf(address) === 4);
}
