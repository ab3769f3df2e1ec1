/**
 * Policies on the wire: Kubernetes' NetworkPolicy. Shapes only, and for the document and the answers: what is sent, the model judges
 * alone, so that faults have Kubernetes' paths. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import { POLICY_API_VERSION, POLICY_KIND } from '../../model/policy.ts';
import type { Policy } from '../../model/records.ts';
import type { Stored } from '../../operations/stored.ts';
import { reference } from './common.ts';
import { EnforcementField } from './enforcement.ts';
import { NamespaceParams } from './namespace.ts';

export const PolicyParams = Type.Object({
  ...NamespaceParams.properties,
  policy: Type.String({
    pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$',
    maxLength: 253,
    description: "the policy's name",
    examples: ['web-from-shop'],
  }),
});

const texts = (description: string) => Type.Record(Type.String(), Type.String(), { description });
const oneOf = (choices: readonly string[]) => Type.String({ enum: [...choices] });

const LabelSelector = Type.Object(
  {
    matchLabels: Type.Optional(texts('the labels must have all of these')),
    matchExpressions: Type.Optional(
      Type.Array(
        Type.Object({
          key: Type.String(),
          operator: oneOf(['In', 'NotIn', 'Exists', 'DoesNotExist']),
          values: Type.Optional(Type.Array(Type.String(), { description: 'for In and NotIn only; required there' })),
        }),
        { description: 'the labels must meet all of these too' },
      ),
    ),
  },
  { $id: 'LabelSelector', description: 'an empty selector selects everything', additionalProperties: false },
);

const NetworkPolicyPeer = Type.Object(
  {
    podSelector: Type.Optional(reference(LabelSelector)),
    namespaceSelector: Type.Optional(reference(LabelSelector)),
    ipBlock: Type.Optional(
      Type.Object({
        cidr: Type.String({ examples: ['203.0.113.0/24'] }),
        except: Type.Optional(Type.Array(Type.String(), { description: 'parts of `cidr` to leave out' })),
      }),
    ),
  },
  {
    $id: 'NetworkPolicyPeer',
    description:
      'either endpoints by their labels, in the policy’s namespace or in those that `namespaceSelector` selects, ' +
      'of the tenant and of its peers; or only `ipBlock`',
  },
);

const NetworkPolicyPort = Type.Object(
  {
    protocol: Type.Optional(Type.String({ enum: ['TCP', 'UDP', 'SCTP'], default: 'TCP' })),
    port: Type.Optional(
      Type.Unsafe<number | string>({
        type: ['integer', 'string'],
        description: 'a number, or a port name that each destination resolves by itself; absent: all ports',
        examples: [443, 'https'],
      }),
    ),
    endPort: Type.Optional(Type.Integer({ description: 'last port of the range that begins with `port`' })),
  },
  { $id: 'NetworkPolicyPort' },
);

const peers = Type.Optional(Type.Array(reference(NetworkPolicyPeer), { description: 'absent or empty: any peer' }));
const ports = Type.Optional(Type.Array(reference(NetworkPolicyPort), { description: 'absent or empty: any port' }));

export const NetworkPolicySpec = Type.Object(
  {
    podSelector: Type.Optional(reference(LabelSelector)),
    policyTypes: Type.Optional(
      Type.Array(oneOf(['Ingress', 'Egress']), {
        description: 'directions that the policy restricts; by default Ingress, and Egress if it has egress rules',
      }),
    ),
    ingress: Type.Optional(Type.Array(Type.Object({ from: peers, ports }))),
    egress: Type.Optional(Type.Array(Type.Object({ to: peers, ports }))),
  },
  {
    $id: 'NetworkPolicySpec',
    description: 'the spec of networking.k8s.io/v1',
    examples: [
      {
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }], ports: [{ port: 8080 }] }],
      },
    ],
  },
);

const PolicyMetadata = Type.Object({
  name: Type.Optional(Type.String({ description: 'as in the path' })),
  namespace: Type.Optional(Type.String({ description: 'as in the path' })),
  labels: Type.Optional(texts('keys and values follow the Kubernetes rules; at most 64 labels')),
  annotations: Type.Optional(texts('stored, not used')),
  creationTimestamp: Type.Optional(Type.String({ format: 'date-time' })),
  resourceVersion: Type.Optional(Type.String({ description: 'the revision' })),
});

export const PolicyView = Type.Object(
  {
    apiVersion: Type.Optional(Type.String({ enum: [POLICY_API_VERSION] })),
    kind: Type.Optional(Type.String({ enum: [POLICY_KIND] })),
    metadata: Type.Optional(PolicyMetadata),
    spec: Type.Optional(reference(NetworkPolicySpec)),
    tenant: Type.Optional(Type.String()),
    revision: Type.Optional(
      Type.Integer({ description: 'revision of the last change; in quotes it is the ETag', examples: [42] }),
    ),
    status: EnforcementField,
  },
  {
    $id: 'NetworkPolicy',
    description:
      'networking.k8s.io/v1. Answers have all fields. In requests, fields that only a server sets are ignored, ' +
      'so the output of `kubectl get` can be sent as it is.',
  },
);

/** Schemas of the document, each under its name. */
export const POLICY_SCHEMAS = [LabelSelector, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec, PolicyView];

export const PolicyBody = Type.Unsafe<unknown>({ anyOf: [reference(PolicyView), reference(NetworkPolicySpec)] });

export function viewPolicy({ record, revision }: Stored<Policy>): object {
  const { tenant, namespace, name, labels, annotations, spec, createdAt } = record;
  const metadata = {
    name,
    namespace,
    creationTimestamp: createdAt,
    resourceVersion: String(revision),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { apiVersion: POLICY_API_VERSION, kind: POLICY_KIND, metadata, spec, tenant, revision };
}
