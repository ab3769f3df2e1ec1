/**
 * Findings in words: for programs, which policy and which part of it; for people, a sentence. Decides nothing. Pure.
 */
import type { Policy } from '../model/records.ts';
import type { Fact, Finding } from './decide.ts';
import { formatEnd } from './ends.ts';
import { findNearMiss, type Match, type NearMiss, type Side, type Traffic } from './policies.ts';
import type { End, WorldIndex } from './world.ts';

/** A policy of the tenant whose end is spoken of. */
export interface PolicyReference {
  readonly namespace: string;
  readonly name: string;
}

/** Part of a policy. */
export interface RuleReference {
  readonly policy: PolicyReference;
  /** the rule, with its peer where it names some: `spec.egress[0]`, `spec.egress[0].to[1]` */
  readonly rule: string;
  /** its port where it names some: `spec.egress[0].ports[0]` */
  readonly ports?: string;
}

/** What decides at one end. */
export interface Because extends Partial<RuleReference> {
  readonly end: 'source' | 'destination';
  readonly decision: 'allowed' | 'denied';
  /**
   * - policy: a rule allows it (`policy`, `rule`, `ports`), or policies isolate the end (`isolatedBy`) and no rule of them allows it
   * - default: no policy isolates the end
   * - tenant: what the tenants say of peerings, the internet and gateways
   * - exception: the cluster's, for every tenant
   * - platform: a rule of the platform, whatever tenants and policies allow
   */
  readonly kind: 'policy' | 'default' | 'tenant' | 'exception' | 'platform';
  /** policies that isolate the end in this direction, where it is denied */
  readonly isolatedBy?: readonly PolicyReference[];
  /** of what was denied: a rule that would allow it with another port, else one with another peer */
  readonly nearest?: RuleReference & { readonly lacks: 'peer' | 'port' };
  /** a sentence for people; may change */
  readonly reason: string;
}

/** @param ends source and destination */
export function explain(index: WorldIndex, finding: Finding, ends: readonly [End, End], traffic: Traffic): Because {
  const { end, allowed } = finding;
  const head = { end, decision: allowed ? 'allowed' : 'denied' } as const;
  if (finding.by === 'fact') return { ...head, ...sayFact(index, finding.fact, ends) };
  const { side, match } = finding;
  if (match === undefined) return { ...head, kind: 'policy', ...sayDenial(index, side, traffic) };
  if (match === 'open') {
    const reason = `no policy isolates ${formatEnd(side.self)} for ${side.direction.toLowerCase()}: all that its tenant allows passes`;
    return { ...head, kind: 'default', reason };
  }
  const reference = refer(match);
  return { ...head, kind: 'policy', ...reference, reason: `${formatReference(reference)} allows it` };
}

function sayDenial(
  index: WorldIndex,
  side: Side,
  traffic: Traffic,
): Pick<Because, 'isolatedBy' | 'nearest' | 'reason'> {
  const isolatedBy = index.isolating(side.self.endpoint, side.direction).map(({ policy }) => referTo(policy));
  const names = isolatedBy.map(formatPolicy);
  const [who, whose] =
    names.length === 1
      ? [`policy ${names[0]} isolates`, 'no rule of it']
      : [`policies ${joinAnd(names)} isolate`, 'no rule of theirs'];
  const denial = `${who} ${formatEnd(side.self)} for ${side.direction.toLowerCase()}, and ${whose} allows this`;
  const miss = findNearMiss(index, side, traffic);
  if (miss === undefined) return { isolatedBy, reason: denial };
  const nearest = { ...refer(miss), lacks: miss.lacks };
  return { isolatedBy, nearest, reason: `${denial}; ${sayMiss(miss, side, traffic)}` };
}

function sayMiss(miss: NearMiss, { direction, other }: Side, traffic: Traffic): string {
  const what = formatReference(refer(miss));
  const peer = `${direction === 'Ingress' ? 'from' : 'to'} ${formatEnd(other)}`;
  const [has, lacks] =
    miss.lacks === 'peer' ? [formatTraffic(traffic), peer] : [`calls ${peer}`, formatTraffic(traffic)];
  return `nearest is ${what}, which allows ${has} but not ${lacks}`;
}

function sayFact(index: WorldIndex, fact: Fact, [from, to]: readonly [End, End]): Pick<Because, 'kind' | 'reason'> {
  const platform = (reason: string) => ({ kind: 'platform', reason }) as const;
  const tenant = (reason: string) => ({ kind: 'tenant', reason }) as const;
  switch (fact.fact) {
    case 'self':
      return platform('a container always reaches itself');
    case 'ipv6':
      return platform('IPv6 from and to containers is dropped');
    case 'tenantMissing':
      return tenant(`tenant ${fact.tenant} does not exist: nothing is open to its containers`);
    case 'noPeering':
      return tenant(sayNoPeering(index, fact));
    case 'closed':
      return platform(`${sayWhere(fact.to)}, which is closed to containers`);
    case 'exception': {
      const { name, address, protocol, port } = fact.exception;
      return {
        kind: 'exception',
        reason: `the cluster's exception ${name} opens ${address}, ${protocol} ${port}, to every tenant's containers`,
      };
    }
    case 'internet':
      return tenant(`${sayWhere(fact.to)}, and tenant ${fact.tenant} may go there (egress.internet)`);
    case 'noInternet':
      return tenant(`${sayWhere(fact.to)}, and tenant ${fact.tenant} may not go there (egress.internet is false)`);
    case 'ownNode':
      return platform(`node ${fact.node} always reaches its own containers`);
    case 'gateway':
      return tenant(`gateway ${fact.node} reaches every tenant's containers, whatever policies say`);
    case 'noGateways':
      return tenant(`tenant ${fact.tenant} forbids gateways (ingress.gateways is false)`);
    case 'callsFromElsewhere':
      return platform(`${sayWhere(from)}: only containers, gateways and its own node call ${formatEnd(to)}`);
  }
}

function sayNoPeering(index: WorldIndex, { from, to }: Extract<Fact, { fact: 'noPeering' }>): string {
  const asking = [
    [from, to],
    [to, from],
  ].filter(([one = '', other = '']) => index.asks(one, other));
  const [asked] = asking;
  const who = asked === undefined ? 'neither has asked for it' : `${asked[0]} has asked for it, ${asked[1]} has not`;
  return `tenants ${from} and ${to} have no peering in force: ${who}`;
}

/** What an address is. */
function sayWhere(end: End): string {
  switch (end.kind) {
    case 'endpoint':
      return `${formatEnd(end)} is a container`;
    case 'gateway':
      return `${end.address} is gateway ${end.node}'s`;
    case 'node':
      return `${end.address} is node ${end.node}'s`;
    case 'platform':
      return `${end.address} is in the platform's network ${end.network}`;
    case 'reserved':
      return `${end.address} is in the reserved network ${end.network}`;
    case 'nobody':
      return `${end.address} is in the pool ${end.network}, and not assigned`;
    case 'external':
      return `${end.address} is beyond the cluster`;
  }
}

function refer({ policy, rule, peer, port }: Match): RuleReference {
  return {
    policy: referTo(policy),
    rule: peer === undefined ? rule.path : `${rule.path}.${rule.peerField}[${peer}]`,
    ...(port === undefined ? {} : { ports: `${rule.path}.ports[${port}]` }),
  };
}

function referTo({ namespace, name }: Policy): PolicyReference {
  return { namespace, name };
}

function formatPolicy({ namespace, name }: PolicyReference): string {
  return `${namespace}/${name}`;
}

function formatReference({ policy, rule, ports }: RuleReference): string {
  return `policy ${formatPolicy(policy)}, ${rule}${ports === undefined ? '' : ` and ${ports.slice(ports.lastIndexOf('.') + 1)}`}`;
}

function formatTraffic({ protocol, port }: Traffic): string {
  return port === undefined ? protocol : `${protocol} ${port}`;
}

/** At most five by name. */
function joinAnd(names: readonly string[]): string {
  const shown = names.length > 5 ? [...names.slice(0, 4), `${names.length - 4} more`] : names;
  return `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}
