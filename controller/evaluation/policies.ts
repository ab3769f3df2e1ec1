/**
 * What the policies of one end say of a connection: open where none isolates it, else allowed by the first rule that matches, else
 * denied, and then which rule came nearest. Policies only add: their order means nothing. Pure.
 */
import type { PolicyPort, PolicyType, Protocol } from '../model/records.ts';
import type { DirectedPolicy, End, EndpointEnd, Rule, WorldIndex } from './world.ts';

/** What is sent. `port` is the destination's; ICMP has none. */
export interface Traffic {
  readonly protocol: Protocol | 'ICMP';
  readonly port?: number;
}

/** One end as its policies see it. */
export interface Side {
  readonly direction: PolicyType;
  readonly self: EndpointEnd;
  readonly other: End;
}

/** A rule of a policy, and what of it matched: `peer` and `port` are indexes, absent where any does. */
export interface Match {
  readonly policy: DirectedPolicy['policy'];
  readonly rule: Rule;
  readonly peer?: number;
  readonly port?: number;
}

/** A rule that would have allowed it but for one thing. */
export interface NearMiss extends Match {
  readonly lacks: 'peer' | 'port';
}

/** @returns `open` where no policy isolates the end, the rule that allows, or undefined: denied */
export function judgePolicies(index: WorldIndex, side: Side, traffic: Traffic): Match | 'open' | undefined {
  const isolating = index.isolating(side.self.endpoint, side.direction);
  if (isolating.length === 0) return 'open';
  const destination = destinationOf(side);
  for (const { policy, rules } of isolating) {
    for (const rule of rules) {
      // Ports first: they are cheaper to compare.
      const port = findPort(rule, destination, traffic);
      if (port === undefined) continue;
      const peer = findPeer(index, policy, rule, side.other);
      if (peer !== undefined) return { policy, rule, ...peer, ...port };
    }
  }
  return undefined;
}

/** Of what was denied: the first rule that knows the other end but not the port, else the first the other way round. */
export function findNearMiss(index: WorldIndex, side: Side, traffic: Traffic): NearMiss | undefined {
  const destination = destinationOf(side);
  let second: NearMiss | undefined;
  for (const { policy, rules } of index.isolating(side.self.endpoint, side.direction)) {
    for (const rule of rules) {
      const peer = findPeer(index, policy, rule, side.other);
      if (peer !== undefined) return { policy, rule, ...peer, lacks: 'port' };
      const port = findPort(rule, destination, traffic);
      if (port !== undefined) second ??= { policy, rule, ...port, lacks: 'peer' };
    }
  }
  return second;
}

function destinationOf({ direction, self, other }: Side): End {
  return direction === 'Ingress' ? self : other;
}

/** @returns which of the rule's peers it is; nothing in it where the rule names none; undefined: no match */
function findPeer(
  index: WorldIndex,
  policy: DirectedPolicy['policy'],
  { peers }: Rule,
  other: End,
): Pick<Match, 'peer'> | undefined {
  if (peers === undefined) return {};
  const peer = peers.findIndex((each) => index.isPeer(policy, each, other));
  return peer < 0 ? undefined : { peer };
}

/** As {@link findPeer}, of ports. */
function findPort({ ports }: Rule, destination: End, traffic: Traffic): Pick<Match, 'port'> | undefined {
  if (ports === undefined) return {};
  const port = ports.findIndex((each) => isPort(each, destination, traffic));
  return port < 0 ? undefined : { port };
}

/** A name means what the destination calls so; addresses beyond the cluster call nothing anything. */
function isPort(wanted: PolicyPort, destination: End, { protocol, port }: Traffic): boolean {
  if (wanted.protocol !== protocol || port === undefined) return false;
  if (wanted.port === undefined) return true;
  if (typeof wanted.port === 'number') return port >= wanted.port && port <= (wanted.endPort ?? wanted.port);
  if (destination.kind !== 'endpoint') return false;
  return destination.endpoint.ports.some(
    (own) => own.name === wanted.port && own.protocol === protocol && own.containerPort === port,
  );
}
