/**
 * What a change of one policy would open and close: the evaluator asked before and after, for each pair of ends that the policy has a
 * say in, at one port of each stretch that the policies of both ends tell apart. Pure.
 */
import type { Endpoint, IpBlock, Policy, PolicyType, Protocol } from '../model/records.ts';
import { selects } from '../model/selector.ts';
import { EndClasses } from './classes.ts';
import { decide, isAllowed } from './decide.ts';
import { type EndView, viewEnd } from './ends.ts';
import { findRepresentatives, type Representative } from './regions.ts';
import { type End, type EndpointEnd, type World, WorldIndex } from './world.ts';

/** A policy written in place of the one of its name, or taken away. */
export type PolicyChange =
  | { readonly kind: 'put'; readonly policy: Policy }
  | { readonly kind: 'delete'; readonly policy: Pick<Policy, 'tenant' | 'namespace' | 'name'> };

/** Ports of one protocol between two ends that would be opened, or closed. */
export interface Flip {
  readonly from: EndView;
  /** beyond the cluster: one address for all of `network` (without one: of all that no policy names) that policies treat alike */
  readonly to: EndView;
  /** `any`: all of them, ICMP included */
  readonly protocol: Protocol | 'ICMP' | 'any';
  /** absent: all of the protocol */
  readonly port?: number;
  /** last of a range that begins with `port` */
  readonly endPort?: number;
  readonly before: boolean;
  readonly after: boolean;
}

export interface Flips {
  readonly flips: readonly Flip[];
  /** there are more, or more pairs than could be looked at */
  readonly truncated: boolean;
}

/**
 * At most so many flips are told of, pairs passed over, pairs evaluated that differ from all before, and networks told apart beyond the
 * cluster: about half a second.
 */
const LIMITS = { flips: 1000, pairs: 1_000_000, evaluated: 10_000, networks: 200 };

const LAST_PORT = 65_535;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

interface Change {
  readonly before: WorldIndex;
  readonly after: WorldIndex;
}

interface Pair {
  readonly from: EndpointEnd;
  readonly to: End;
  readonly representative?: Representative;
}

/** @param world with the tenant, its peers in force, and all that is theirs */
export function computeFlips(world: World, change: PolicyChange, limits = LIMITS): Flips {
  const isSame = (other: Policy) =>
    other.tenant === change.policy.tenant &&
    other.namespace === change.policy.namespace &&
    other.name === change.policy.name;
  const others = world.policies.filter((each) => !isSame(each));
  const written = change.kind === 'put' ? [change.policy] : [];
  const both: Change = {
    before: new WorldIndex(world),
    after: new WorldIndex({ ...world, policies: [...others, ...written] }),
  };
  const classes = new EndClasses([...world.policies, ...written]);
  const evaluated = new Map<string, readonly Turn[]>();
  const flips: Flip[] = [];
  const versions = [...world.policies.filter(isSame), ...written];
  const networks = networksConcerned(both, versions);
  let pairs = 0;
  for (const pair of pairsConcerned(both, versions, networks.slice(0, limits.networks))) {
    const alike = `${classes.of(pair.from)} ${classes.of(pair.to)}`;
    const turns = evaluated.get(alike) ?? turnsOf(both, pair);
    evaluated.set(alike, turns);
    if (flips.length + turns.length > limits.flips) return { flips, truncated: true };
    if (turns.length > 0) flips.push(...formFlips(pair, turns));
    if (++pairs > limits.pairs || evaluated.size > limits.evaluated) return { flips, truncated: true };
  }
  return { flips, truncated: networks.length > limits.networks };
}

function formFlips({ from, to, representative }: Pair, turns: readonly Turn[]): Flip[] {
  const network = representative?.network;
  const ends = { from: viewEnd(from), to: { ...viewEnd(to), ...(network && { network }) } };
  return turns.map((turn) => ({ ...ends, ...turn, before: !turn.after }));
}

/** Those with an end that one of the versions of the policy isolates. */
function* pairsConcerned(
  { before: index }: Change,
  versions: readonly Policy[],
  networks: readonly IpBlock[],
): Generator<Pair> {
  const friends = friendsOf(index, versions);
  const subjects = (direction: PolicyType) => friends.filter((each) => isSubject(versions, each, direction));
  const sources = new Set(subjects('Egress'));
  const beyond = sources.size === 0 ? [] : findRepresentatives(index, networks);
  for (const source of sources) {
    const from = index.endOf(source);
    for (const other of friends) if (other !== source) yield { from, to: index.endOf(other) };
    for (const representative of beyond) yield { from, to: representative.end, representative };
  }
  for (const destination of subjects('Ingress')) {
    const to = index.endOf(destination);
    for (const other of friends)
      if (other !== destination && !sources.has(other)) yield { from: index.endOf(other), to };
  }
}

function isSubject(versions: readonly Policy[], endpoint: Endpoint, direction: PolicyType): boolean {
  return versions.some(
    ({ tenant, namespace, spec }) =>
      tenant === endpoint.tenant &&
      namespace === endpoint.namespace &&
      spec.policyTypes.includes(direction) &&
      selects(spec.podSelector, endpoint.labels),
  );
}

/** Endpoints of the policy's tenant and of its peers. */
function friendsOf(index: WorldIndex, [owner]: readonly Policy[]): Endpoint[] {
  if (owner === undefined) return [];
  return index.world.endpoints.filter(({ tenant }) => index.areFriends(owner.tenant, tenant));
}

/** Networks by which policies tell addresses apart that the subjects may call. */
function networksConcerned({ before, after }: Change, versions: readonly Policy[]): IpBlock[] {
  const sources = friendsOf(before, versions).filter((each) => isSubject(versions, each, 'Egress'));
  const policies = new Set(
    sources.flatMap((each) => [...before.isolating(each, 'Egress'), ...after.isolating(each, 'Egress')]),
  );
  const peers = [...policies].flatMap(({ rules }) => rules.flatMap((rule) => rule.peers ?? []));
  const blocks = peers.flatMap(({ ipBlock }) => ipBlock ?? []);
  return [...new Map(blocks.map((block) => [JSON.stringify(block), block])).values()];
}

/** A flip but for its ends. */
type Turn = Pick<Flip, 'protocol' | 'port' | 'endPort' | 'after'>;

function turnsOf(change: Change, pair: Pair): Turn[] {
  const icmp = turn(change, pair, 'ICMP');
  const byProtocol = PROTOCOLS.map((protocol) => ({ protocol, ranges: rangesOf(change, pair, protocol) }));
  const isAll = byProtocol.every(({ ranges: [first] }) => first?.isWhole === true && first.after === icmp);
  if (icmp !== undefined && isAll) return [{ protocol: 'any', after: icmp }];
  const turns = byProtocol.flatMap(({ protocol, ranges }) =>
    ranges.map(({ first, last, after, isWhole }): Turn => {
      if (isWhole) return { protocol, after };
      return { protocol, after, port: first, ...(last > first ? { endPort: last } : {}) };
    }),
  );
  return icmp === undefined ? turns : [...turns, { protocol: 'ICMP', after: icmp }];
}

/** Ports from `first` to `last` that turn alike. */
interface Range {
  readonly first: number;
  readonly last: number;
  readonly after: boolean;
  readonly isWhole: boolean;
}

function rangesOf(change: Change, pair: Pair, protocol: Protocol): Range[] {
  const starts = edgesOf(change, pair, protocol);
  const ranges: Range[] = [];
  for (const [i, first] of starts.entries()) {
    const after = turn(change, pair, protocol, first);
    if (after === undefined) continue;
    const last = (starts[i + 1] ?? LAST_PORT + 1) - 1;
    const previous = ranges.at(-1);
    const joins = previous !== undefined && previous.last === first - 1 && previous.after === after;
    const begin = joins ? previous.first : first;
    if (joins) ranges.pop();
    ranges.push({ first: begin, last, after, isWhole: begin === 1 && last === LAST_PORT });
  }
  return ranges;
}

/** @returns what it is afterwards; undefined where nothing changes */
function turn({ before, after }: Change, { from, to }: Pair, protocol: Protocol | 'ICMP', port?: number) {
  const traffic = { protocol, ...(port === undefined ? {} : { port }) };
  const was = isAllowed(decide(before, from, to, traffic));
  const is = isAllowed(decide(after, from, to, traffic));
  return was === is ? undefined : is;
}

/** Ports, in order, from which on the policies of either end may say something else than before it. */
function edgesOf({ before, after }: Change, { from, to }: Pair, protocol: Protocol): number[] {
  const edges = new Set([1]);
  const add = (first: number, last = first) => {
    edges.add(first);
    if (last < LAST_PORT) edges.add(last + 1);
  };
  const isolating = [before, after].flatMap((index) => [
    ...index.isolating(from.endpoint, 'Egress'),
    ...(to.kind === 'endpoint' ? index.isolating(to.endpoint, 'Ingress') : []),
  ]);
  const named = to.kind === 'endpoint' ? to.endpoint.ports : [];
  for (const { rules } of isolating)
    for (const { ports = [] } of rules)
      for (const { protocol: other, port, endPort } of ports)
        if (other === protocol && typeof port === 'number') add(port, endPort);
        else if (other === protocol && port !== undefined)
          for (const own of named) if (own.name === port && own.protocol === protocol) add(own.containerPort);
  if (to.kind !== 'endpoint')
    for (const { address, protocol: other, port } of before.world.cluster.exceptions)
      if (address === to.address && other === protocol) add(port);
  return [...edges].sort((a, b) => a - b);
}
