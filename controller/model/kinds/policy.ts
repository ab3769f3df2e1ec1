/**
 * Policies. One that cannot be read allows nothing to the endpoints of its namespace: it may have been about each of them. What stands
 * in a spec and is not known here makes it unreadable, for a rule that is read in part can allow more than it says. Pure.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf, type StoredText } from './kind.ts';
import { Labels, PortNumber, Prefix, Protocol, Time } from './shapes.ts';

const WHOLE = { additionalProperties: false } as const;

export const SelectorOperator = Type.Enum(['In', 'NotIn', 'Exists', 'DoesNotExist']);
export type SelectorOperator = RecordOf<typeof SelectorOperator>;

export const SelectorRequirement = Type.Object(
  {
    key: Type.String(),
    operator: SelectorOperator,
    /** of In and NotIn, never empty; absent for the others */
    values: Type.Optional(Type.Array(Type.String())),
  },
  WHOLE,
);
export type SelectorRequirement = RecordOf<typeof SelectorRequirement>;

export const LabelSelector = Type.Object(
  { matchLabels: Type.Optional(Labels), matchExpressions: Type.Optional(Type.Array(SelectorRequirement)) },
  WHOLE,
);
/** @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors */
export type LabelSelector = RecordOf<typeof LabelSelector>;

/** A network and holes in it; without host bits. Of either family. */
export const IpBlock = Type.Object({ cidr: Prefix, except: Type.Optional(Type.Array(Prefix)) }, WHOLE);
export type IpBlock = RecordOf<typeof IpBlock>;

/** One that names nothing would be everything. */
export const PolicyPeer = Type.Object(
  {
    podSelector: Type.Optional(LabelSelector),
    namespaceSelector: Type.Optional(LabelSelector),
    ipBlock: Type.Optional(IpBlock),
  },
  { ...WHOLE, minProperties: 1 },
);
/** Either an ipBlock alone, or selectors: pods of the policy's own namespace, of the namespaces selected, or all of these. */
export type PolicyPeer = RecordOf<typeof PolicyPeer>;

export const PolicyPort = Type.Refine(
  Type.Object(
    {
      protocol: Protocol,
      /** number, or name of a port as each destination has it; absent: all of the protocol */
      port: Type.Optional(Type.Union([PortNumber, Type.String()])),
      /** last of a range that begins with a numeric `port` */
      endPort: Type.Optional(PortNumber),
    },
    WHOLE,
  ),
  ({ port, endPort }) => endPort === undefined || typeof port === 'number',
  () => 'must have a number as port where it has endPort',
);
export type PolicyPort = RecordOf<typeof PolicyPort>;

/** Peers and ports are lists that are never empty: absent means any, as in Kubernetes. */
const PolicyPorts = Type.Optional(Type.Array(PolicyPort));
export const IngressRule = Type.Object({ from: Type.Optional(Type.Array(PolicyPeer)), ports: PolicyPorts }, WHOLE);
export type IngressRule = RecordOf<typeof IngressRule>;
export const EgressRule = Type.Object({ to: Type.Optional(Type.Array(PolicyPeer)), ports: PolicyPorts }, WHOLE);
export type EgressRule = RecordOf<typeof EgressRule>;

export const PolicyType = Type.Enum(['Ingress', 'Egress']);
export type PolicyType = RecordOf<typeof PolicyType>;

export const PolicySpec = Type.Object(
  {
    podSelector: LabelSelector,
    /** one that restricts nothing was not written by REST */
    policyTypes: Type.Array(PolicyType, { minItems: 1 }),
    ingress: Type.Optional(Type.Array(IngressRule)),
    egress: Type.Optional(Type.Array(EgressRule)),
  },
  WHOLE,
);
/**
 * `spec` of a Kubernetes NetworkPolicy with its defaults filled in. A direction that is not among `policyTypes` is not restricted,
 * whatever rules are written for it; one that is, without rules, allows nothing.
 */
export type PolicySpec = RecordOf<typeof PolicySpec>;

export const Policy = Type.Object({
  tenant: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  labels: Type.Optional(Labels),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
  spec: PolicySpec,
  createdAt: Time,
});
export type Policy = RecordOf<typeof Policy>;

export const policies = new Kind({
  name: 'policy',
  prefix: 'policies/',
  form: names('tenant', 'namespace', 'name'),
  schema: Policy,
  version: 1,
  acknowledgedAs: 'policies',
});

/** What stands for a policy that cannot be read: it allows nothing to any endpoint of its namespace. */
const NOTHING_ALLOWED: PolicySpec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };

/** @param at where it lies */
export function unreadablePolicy(at: Pick<Policy, 'tenant' | 'namespace' | 'name'>): Policy {
  return { ...at, spec: NOTHING_ALLOWED, createdAt: '' };
}

/** As nodes have it, whether it can be read or not. @returns undefined for a key that is no policy's */
export function policyInForce(entry: StoredText): Policy | undefined {
  const at = policies.place(entry.key);
  return policies.find(entry) ?? (at && unreadablePolicy(at));
}

/** Written with each policy that a tenant with a quota of them makes: none is made while another is counted. */
export const policyTurns = new Kind({
  name: 'policy turn',
  prefix: 'policy-turns/',
  form: names('tenant'),
  schema: Type.Object({ operation: Type.String() }),
  version: 1,
});
