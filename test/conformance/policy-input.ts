/** Kubernetes' NetworkPolicy spec as people write it, defaults left out, and short words for its parts. Pure. */

export type Labels = Readonly<Record<string, string>>;

export interface Selector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface PortInput {
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly port?: number | string;
  readonly endPort?: number;
}

export interface Spec {
  readonly podSelector: Selector;
  readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
  readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports?: readonly PortInput[] }[];
  readonly egress?: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly PortInput[] }[];
}

/** Selects everything that there is to select. */
export const ALL: Selector = {};

/** Pods of the scene by their label `pod`; several: any of them. */
export function pod(...names: readonly string[]): Selector {
  return byLabel('pod', names);
}

/** Namespaces of the scene by their label `ns`; several: any of them. */
export function ns(...names: readonly string[]): Selector {
  return byLabel('ns', names);
}

function byLabel(key: string, values: readonly string[]): Selector {
  const [only] = values;
  if (values.length === 1 && only !== undefined) return { matchLabels: { [key]: only } };
  return { matchExpressions: [{ key, operator: 'In', values }] };
}

/** One requirement. */
export function where(
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  ...values: readonly string[]
): Selector {
  return { matchExpressions: [{ key, operator, ...(values.length > 0 && { values }) }] };
}

export const fromPods = (podSelector: Selector): Peer => ({ podSelector });
export const fromNamespaces = (namespaceSelector: Selector): Peer => ({ namespaceSelector });
/** Both at once: these pods of these namespaces. */
export const both = (namespaceSelector: Selector, podSelector: Selector): Peer => ({ namespaceSelector, podSelector });
export const block = (cidr: string, ...except: readonly string[]): Peer => ({
  ipBlock: { cidr, ...(except.length > 0 && { except }) },
});

/** Ingress policy: these peers, by these ports; without peers everybody, without ports all. */
export function into(podSelector: Selector, from: readonly Peer[] = [], ports: readonly PortInput[] = []): Spec {
  const rule = { ...(from.length > 0 && { from }), ...(ports.length > 0 && { ports }) };
  return { podSelector, policyTypes: ['Ingress'], ingress: [rule] };
}

/** Egress policy: to these peers, by these ports; without peers anybody, without ports all. */
export function outOf(podSelector: Selector, to: readonly Peer[] = [], ports: readonly PortInput[] = []): Spec {
  const rule = { ...(to.length > 0 && { to }), ...(ports.length > 0 && { ports }) };
  return { podSelector, policyTypes: ['Egress'], egress: [rule] };
}

export const denyIngress = (podSelector: Selector): Spec => ({ podSelector, policyTypes: ['Ingress'] });
export const denyEgress = (podSelector: Selector): Spec => ({ podSelector, policyTypes: ['Egress'] });

export const tcp = (port?: number | string, endPort?: number): PortInput => portInput('TCP', port, endPort);
export const udp = (port?: number | string, endPort?: number): PortInput => portInput('UDP', port, endPort);
export const sctp = (port?: number | string, endPort?: number): PortInput => portInput('SCTP', port, endPort);

function portInput(protocol: 'TCP' | 'UDP' | 'SCTP', port?: number | string, endPort?: number): PortInput {
  return { protocol, ...(port !== undefined && { port }), ...(endPort !== undefined && { endPort }) };
}
