/**
 * What a conformance case is: changes to the scene and, after each set of them, the truth. Data and the words to write it with; the
 * scene carries it out, probes.ts asks. Pure.
 */
import type { Labels, Spec } from './policy-input.ts';
import type { Kind } from './truth.ts';

/** Where things are, once they are: addresses are the cluster's to give. */
export interface Places {
  /** address of `namespace/name` */
  ip(name: string): string;
  /** of the tenant, CIDR */
  readonly subnet: string;
}

/** A spec, or one that speaks of addresses. */
export type SpecOf = Spec | ((places: Places) => Spec);

export interface NamedPort {
  readonly name: string;
  readonly containerPort: number;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
}

/** A pod by `namespace/name`. Absent host: the one where the scene had it. */
export interface PodPlan {
  readonly name: string;
  readonly host?: 'node1' | 'node2';
  readonly labels?: Labels;
  readonly ports?: readonly NamedPort[];
}

export type Action =
  | { readonly kind: 'put'; readonly namespace: string; readonly policy: string; readonly spec: SpecOf }
  | { readonly kind: 'drop'; readonly namespace: string; readonly policy: string }
  | { readonly kind: 'label'; readonly pod: string; readonly labels: Labels }
  | { readonly kind: 'ports'; readonly pod: string; readonly ports: readonly NamedPort[] }
  | { readonly kind: 'label-namespace'; readonly namespace: string; readonly labels: Labels }
  | { readonly kind: 'drop-namespace'; readonly namespace: string }
  | { readonly kind: 'attach'; readonly pod: PodPlan }
  | { readonly kind: 'detach'; readonly pod: string }
  | { readonly kind: 'peer'; readonly asks: readonly ('own' | 'peer')[] }
  | { readonly kind: 'unpeer'; readonly takesBack: 'own' | 'peer' }
  | { readonly kind: 'flow'; readonly flow: FlowPlan };

/** A flow that is open before what comes next. Its port is its own, 8000 and up. */
export interface FlowPlan {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp';
}

export interface Step {
  /** in this order */
  readonly actions: readonly Action[];
  /** lines of truth.ts */
  readonly expected: readonly string[];
  /** what has become of flows opened before */
  readonly flows?: Readonly<Record<string, 'runs' | 'silent'>>;
}

export interface Case {
  /** `family/what-it-shows` */
  readonly name: string;
  /** ends that the table has besides the tenant's own pods */
  readonly beside: readonly Exclude<Kind, 'own'>[];
  readonly steps: readonly Step[];
}

/** One step. @param policies each into the namespace before the colon of its name, such as `x:allow-b` */
export function once(
  name: string,
  policies: Readonly<Record<string, SpecOf>>,
  expected: readonly string[],
  ...beside: Case['beside']
): Case {
  const actions = Object.entries(policies).map(([where, spec]) => put(where, spec));
  return { name, beside, steps: [{ actions, expected }] };
}

export function several(name: string, steps: readonly Step[], ...beside: Case['beside']): Case {
  return { name, beside, steps };
}

export function step(actions: readonly Action[], expected: readonly string[], flows?: Step['flows']): Step {
  return { actions, expected, ...(flows && { flows }) };
}

/** @param where `namespace:policy` */
export function put(where: string, spec: SpecOf): Action {
  return { kind: 'put', ...policyName(where), spec };
}

/** @param where `namespace:policy` */
export function drop(where: string): Action {
  return { kind: 'drop', ...policyName(where) };
}

function policyName(where: string): { namespace: string; policy: string } {
  const [namespace = '', policy = ''] = where.split(':');
  if (policy === '') throw new SyntaxError(`not namespace:policy: ${where}`);
  return { namespace, policy };
}

/** All labels the pod then has. */
export const label = (pod: string, labels: Labels): Action => ({ kind: 'label', pod, labels });
/** All named ports the pod then has. */
export const namePorts = (pod: string, ports: readonly NamedPort[]): Action => ({ kind: 'ports', pod, ports });
/** Makes the namespace if it is not there. */
export const labelNamespace = (namespace: string, labels: Labels): Action => ({
  kind: 'label-namespace',
  namespace,
  labels,
});
export const dropNamespace = (namespace: string): Action => ({ kind: 'drop-namespace', namespace });
export const attach = (pod: PodPlan): Action => ({ kind: 'attach', pod });
export const detach = (pod: string): Action => ({ kind: 'detach', pod });
export const askPeering = (...asks: readonly ('own' | 'peer')[]): Action => ({ kind: 'peer', asks });
export const takeBackPeering = (takesBack: 'own' | 'peer'): Action => ({ kind: 'unpeer', takesBack });
/** @param between `x/b > x/a` */
export function openFlow(name: string, between: string, protocol: 'tcp' | 'udp'): Action {
  const [from = '', to = ''] = between.split(' > ');
  return { kind: 'flow', flow: { name, from, to, protocol } };
}
