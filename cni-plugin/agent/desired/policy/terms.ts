/**
 * Terms: what policies ask of the other end, each once however many rules ask it. An endpoint's identity is the set of terms it
 * fulfils. Pure.
 */
import type {
  EgressRule,
  IngressRule,
  IpBlock,
  LabelSelector,
  Labels,
  NamedPort,
  PolicyPeer,
  PolicyPort,
  Protocol,
} from '../../../../controller/model/records.ts';
import { selects } from '../../../../controller/model/selector.ts';
import type { KnownPolicy } from '../../watch/snapshot.ts';
import { portsNamed } from './port-ranges.ts';

/** What is asked: to be one of the pods selected, or to have a port of a name. */
export interface Term {
  /** the same for the same question */
  readonly key: string;
  /** whose policy asks: it sees itself and its peers */
  readonly tenant: string;
  /** @returns what the term says of the endpoint, '' for a plain yes; undefined: it does not fulfil it */
  readonly answer: (who: Candidate) => string | undefined;
}

/** An endpoint as terms see it. */
export interface Candidate {
  readonly tenant: string;
  readonly namespace: string;
  /** undefined while the namespace is unknown: then nothing selects it by its labels */
  readonly namespaceLabels: Labels | undefined;
  readonly labels: Labels;
  readonly ports: readonly NamedPort[];
}

/** A rule of a policy, its selectors as keys of terms. */
export interface CompiledRule {
  /** no peers are named: anybody, at any address */
  readonly anybody: boolean;
  readonly terms: readonly string[];
  readonly blocks: readonly IpBlock[];
  readonly ports: readonly PolicyPort[] | undefined;
}

export interface CompiledPolicy {
  readonly podSelector: LabelSelector;
  /** undefined: the direction is not restricted by this policy */
  readonly ingress: readonly CompiledRule[] | undefined;
  readonly egress: readonly CompiledRule[] | undefined;
  readonly terms: readonly Term[];
}

export function compilePolicy(tenant: string, { namespace, spec }: KnownPolicy): CompiledPolicy {
  const terms: Term[] = [];
  const compile = (
    peers: readonly PolicyPeer[] | undefined,
    ports: readonly PolicyPort[] | undefined,
  ): CompiledRule => {
    const selectors = (peers ?? []).filter(({ ipBlock }) => ipBlock === undefined);
    const own = selectors.map((peer) => podTerm(tenant, namespace, peer));
    terms.push(...own);
    return {
      anybody: peers === undefined || peers.length === 0,
      terms: own.map(({ key }) => key),
      blocks: (peers ?? []).flatMap(({ ipBlock }) => (ipBlock === undefined ? [] : [ipBlock])),
      ports: ports === undefined || ports.length === 0 ? undefined : ports,
    };
  };
  const ingress = (spec.ingress ?? []).map(({ from, ports }: IngressRule) => compile(from, ports));
  const egress = (spec.egress ?? []).map(({ to, ports }: EgressRule) => {
    for (const { protocol, port } of ports ?? []) {
      if (typeof port === 'string') terms.push(portTerm(tenant, port, protocol));
    }
    return compile(to, ports);
  });
  return {
    podSelector: spec.podSelector,
    ingress: spec.policyTypes.includes('Ingress') ? ingress : undefined,
    egress: spec.policyTypes.includes('Egress') ? egress : undefined,
    terms,
  };
}

/** Pods of the policy's own namespace, unless namespaces are selected: then of these, peers' included. */
function podTerm(tenant: string, namespace: string, { podSelector, namespaceSelector }: PolicyPeer): Term {
  const isSelected = ({ labels }: Candidate) => podSelector === undefined || selects(podSelector, labels);
  if (namespaceSelector === undefined) {
    const isNear = (who: Candidate) => who.tenant === tenant && who.namespace === namespace;
    return {
      key: JSON.stringify([tenant, namespace, podSelector]),
      tenant,
      answer: (who) => (isNear(who) && isSelected(who) ? '' : undefined),
    };
  }
  const isThere = ({ namespaceLabels: labels }: Candidate) =>
    labels !== undefined && selects(namespaceSelector, labels);
  return {
    key: JSON.stringify([tenant, namespaceSelector, podSelector ?? null]),
    tenant,
    answer: (who) => (isThere(who) && isSelected(who) ? '' : undefined),
  };
}

/** A named port of a call is the destination's own. */
function portTerm(tenant: string, name: string, protocol: Protocol): Term {
  return {
    key: portTermKey(tenant, name, protocol),
    tenant,
    answer: ({ ports }) =>
      portsNamed(ports, name, protocol)
        .sort((a, b) => a - b)
        .join() || undefined,
  };
}

export function portTermKey(tenant: string, name: string, protocol: Protocol): string {
  return JSON.stringify([tenant, protocol, name, 'port']);
}
