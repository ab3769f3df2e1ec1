/**
 * Reachability on the wire: questions, verdicts, matrices and what a policy would flip. Shapes only. Pure.
 */
import { type Static, type TSchema, Type } from '@fastify/type-provider-typebox';
import { InvalidInput } from '../../errors.ts';
import type { EndName } from '../../evaluation/ends.ts';
import type { Flips } from '../../evaluation/flips.ts';
import type { Traffic } from '../../evaluation/policies.ts';
import type { Endpoint } from '../../model/records.ts';
import type { Answered, MatrixPage } from '../../operations/reachability.ts';
import { reference } from './common.ts';

const Protocol = Type.Unsafe<Traffic['protocol']>({
  type: 'string',
  enum: ['TCP', 'UDP', 'SCTP', 'ICMP'],
  default: 'TCP',
  description: 'TCP unless given',
});
const Port = Type.Integer({
  minimum: 1,
  maximum: 65535,
  description: 'of the destination; required but for ICMP',
  examples: [5432],
});

/** Which fields go together, `endName` judges. */
const EndBody = Type.Object(
  {
    tenant: Type.Optional(Type.String({ maxLength: 63 })),
    namespace: Type.Optional(Type.String({ maxLength: 63 })),
    name: Type.Optional(Type.String({ maxLength: 253, description: "the endpoint's name, or its id" })),
    ip: Type.Optional(Type.String({ maxLength: 45, examples: ['203.0.113.9'] })),
  },
  {
    additionalProperties: false,
    description: 'an endpoint by `tenant`, `namespace` and `name`; or any address, by `ip`',
  },
);

export const QuestionBody = Type.Object(
  { from: EndBody, to: EndBody, protocol: Type.Optional(Protocol), port: Type.Optional(Port) },
  {
    additionalProperties: false,
    examples: [
      {
        from: { tenant: 'blue', namespace: 'shop', name: 'web' },
        to: { tenant: 'blue', namespace: 'shop', name: 'db' },
        port: 5432,
      },
    ],
  },
);

const MATRIX_FIELDS = {
  protocol: Type.Optional(Protocol),
  port: Type.Optional(Port),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, description: 'rows on one page; large tenants get fewer' }),
  ),
  continue: Type.Optional(
    Type.String({ maxLength: 1000, description: "the page before's `continue`: gives what comes after it" }),
  ),
};
export const MatrixQuery = Type.Object(MATRIX_FIELDS, { additionalProperties: false });

const EndView = Type.Object(
  {
    kind: Type.String({
      enum: ['endpoint', 'gateway', 'node', 'platform', 'reserved', 'nobody', 'external'],
      description: 'what has the address; `nobody`: it is in the pools, and free; `external`: it is beyond the cluster',
    }),
    tenant: Type.Optional(Type.String()),
    namespace: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    id: Type.Optional(Type.String()),
    node: Type.Optional(Type.String()),
    ips: Type.Optional(Type.Array(Type.String(), { description: 'of an endpoint: the one asked about, or all' })),
    ip: Type.Optional(Type.String({ description: 'of everything else' })),
    network: Type.Optional(Type.String({ description: 'that the address was known by' })),
  },
  { $id: 'ReachabilityEnd' },
);

const PolicyName = Type.Object({ namespace: Type.String(), name: Type.String() });
const Decision = Type.String({ enum: ['allowed', 'denied'] });
const RULE_FIELDS = {
  rule: Type.String({ description: 'with its peer where it names some', examples: ['spec.egress[0].to[1]'] }),
  ports: Type.Optional(Type.String({ examples: ['spec.egress[0].ports[0]'] })),
};

const BecauseView = Type.Object(
  {
    end: Type.String({ enum: ['source', 'destination'] }),
    decision: Decision,
    kind: Type.String({
      enum: ['policy', 'default', 'tenant', 'exception', 'platform'],
      description: [
        '`policy`: a rule allows it, or policies isolate the end and no rule does; `default`: no policy isolates the end;',
        '`tenant`: peerings, the internet, gateways; `exception`: the cluster’s; `platform`: whatever anybody says',
      ].join(' '),
    }),
    policy: Type.Optional(PolicyName),
    rule: Type.Optional(RULE_FIELDS.rule),
    ports: RULE_FIELDS.ports,
    isolatedBy: Type.Optional(Type.Array(PolicyName, { description: 'where policies deny' })),
    nearest: Type.Optional(
      Type.Object(
        { policy: PolicyName, ...RULE_FIELDS, lacks: Type.String({ enum: ['peer', 'port'] }) },
        { description: 'where policies deny: a rule that would allow it but for one thing' },
      ),
    ),
    reason: Type.String({ description: 'for people; may change' }),
  },
  { $id: 'ReachabilityReason', description: 'what decides at one end' },
);

export const VerdictView = Type.Object(
  {
    allowed: Type.Boolean(),
    because: Type.Array(reference(BecauseView), {
      description:
        'one where cluster or tenants decide whatever policies say, else one for each end; allowed if all of them are',
    }),
    from: reference(EndView),
    to: reference(EndView),
    protocol: Type.String(),
    port: Type.Optional(Type.Integer()),
    revision: Type.Integer({ description: "the store's revision up to which everything written is in the answer" }),
  },
  { $id: 'Reachability' },
);

const MatrixEndpoint = Type.Object({
  id: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  ips: Type.Array(Type.String()),
});

export const MatrixView = Type.Object(
  {
    tenant: Type.String(),
    protocol: Type.String(),
    port: Type.Optional(Type.Integer()),
    endpoints: Type.Array(MatrixEndpoint, { description: 'all of the tenant, by namespace and name' }),
    rows: Type.Array(
      Type.Object({
        from: Type.String({ description: "the caller's id" }),
        allowed: Type.String({
          pattern: '^[01]*$',
          description: 'a character for each of `endpoints`, in their order: `1` where it may be called, else `0`',
          examples: ['1101'],
        }),
      }),
    ),
    continue: Type.Optional(Type.String({ description: 'asks for more rows; absent on the last page' })),
    revision: Type.Integer(),
  },
  { $id: 'ReachabilityMatrix' },
);

const FlipView = Type.Object(
  {
    from: reference(EndView),
    to: reference(EndView),
    protocol: Type.String({ enum: ['TCP', 'UDP', 'SCTP', 'ICMP', 'any'], description: '`any`: all, at all ports' }),
    port: Type.Optional(Type.Integer({ description: 'absent: all' })),
    endPort: Type.Optional(Type.Integer({ description: 'last of a range that begins with `port`' })),
    before: Type.Boolean(),
    after: Type.Boolean(),
  },
  { $id: 'ReachabilityFlip', description: 'would be opened, or closed' },
);

export const PreviewView = Type.Object(
  {
    dryRun: Type.Boolean({ description: 'nothing was written' }),
    flips: Type.Array(reference(FlipView)),
    truncated: Type.Boolean({ description: 'there are more' }),
    revision: Type.Integer(),
  },
  { $id: 'PolicyPreview' },
);

/** Schemas of the document, each under its name. */
export const REACHABILITY_SCHEMAS: readonly TSchema[] = [
  EndView,
  BecauseView,
  VerdictView,
  MatrixView,
  FlipView,
  PreviewView,
];

export function viewPreview({ flips, truncated, revision }: Flips & Answered): object {
  return { dryRun: true, flips, truncated, revision };
}

/** @throws InvalidInput unless it is exactly one of both forms */
export function endName({ ip, ...rest }: Static<typeof EndBody>, field: string): EndName {
  const given = Object.keys(rest);
  if (ip !== undefined && given.length === 0) return { ip };
  const { tenant, namespace, name } = rest;
  if (ip === undefined && tenant !== undefined && namespace !== undefined && name !== undefined)
    return { tenant, namespace, name };
  throw new InvalidInput(field, 'must have tenant, namespace and name, or ip alone');
}

export function trafficOf({
  protocol = 'TCP',
  port,
}: {
  readonly protocol?: Traffic['protocol'];
  readonly port?: number;
}) {
  return { protocol, ...(port === undefined ? {} : { port }) };
}

export function viewMatrix(tenant: string, traffic: Traffic, { endpoints, rows, next, revision }: MatrixPage): object {
  return {
    tenant,
    ...traffic,
    endpoints: endpoints.map(({ id, namespace, name, ips }: Endpoint) => ({ id, namespace, name, ips })),
    rows: rows.map(({ from, allowed }) => ({ from: from.id, allowed })),
    ...(next === undefined ? {} : { continue: Buffer.from(next).toString('base64url') }),
    revision,
  };
}
