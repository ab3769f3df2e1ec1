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
  description: 'TCP by default',
});
const Port = Type.Integer({
  minimum: 1,
  maximum: 65535,
  description: 'destination port; required, but not allowed for ICMP',
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
    description: 'either an endpoint: `tenant`, `namespace` and `name`; or any address: `ip`',
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
    Type.Integer({ minimum: 1, maximum: 1000, description: 'rows on a page; fewer for a large tenant' }),
  ),
  continue: Type.Optional(Type.String({ maxLength: 1000, description: '`continue` of the previous page' })),
};
export const MatrixQuery = Type.Object(MATRIX_FIELDS, { additionalProperties: false });

const EndView = Type.Object(
  {
    kind: Type.String({
      enum: ['endpoint', 'gateway', 'node', 'platform', 'reserved', 'nobody', 'external'],
      description: 'owner of the address; `nobody`: free, in the pools; `external`: beyond the cluster',
    }),
    tenant: Type.Optional(Type.String()),
    namespace: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    id: Type.Optional(Type.String()),
    node: Type.Optional(Type.String()),
    ips: Type.Optional(Type.Array(Type.String(), { description: 'of an endpoint: the address in question, or all' })),
    ip: Type.Optional(Type.String({ description: 'address of any other end' })),
    network: Type.Optional(Type.String({ description: 'the network that matched the address' })),
  },
  { $id: 'ReachabilityEnd' },
);

const PolicyName = Type.Object({ namespace: Type.String(), name: Type.String() });
const Decision = Type.String({ enum: ['allowed', 'denied'] });
const RULE_FIELDS = {
  rule: Type.String({ description: 'its path, with the matching peer if any', examples: ['spec.egress[0].to[1]'] }),
  ports: Type.Optional(Type.String({ examples: ['spec.egress[0].ports[0]'] })),
};

const BecauseView = Type.Object(
  {
    end: Type.String({ enum: ['source', 'destination'] }),
    decision: Decision,
    kind: Type.String({
      enum: ['policy', 'default', 'tenant', 'exception', 'platform'],
      description: [
        '`policy`: a rule allows it, or policies isolate the end and no rule allows it; `default`: no policy isolates the end;',
        '`tenant`: peerings, egress to the internet, ingress from gateways; `exception`: an exception of the cluster;',
        '`platform`: a rule of the platform, whatever tenants and policies allow',
      ].join(' '),
    }),
    policy: Type.Optional(PolicyName),
    rule: Type.Optional(RULE_FIELDS.rule),
    ports: RULE_FIELDS.ports,
    isolatedBy: Type.Optional(Type.Array(PolicyName, { description: 'policies that isolate the end, if they deny' })),
    nearest: Type.Optional(
      Type.Object(
        { policy: PolicyName, ...RULE_FIELDS, lacks: Type.String({ enum: ['peer', 'port'] }) },
        { description: 'if policies deny: a rule that lacks only one thing to allow it' },
      ),
    ),
    reason: Type.String({ description: 'for people; may change' }),
  },
  { $id: 'ReachabilityReason', description: 'the rule, policy or default that decides at one end' },
);

export const VerdictView = Type.Object(
  {
    allowed: Type.Boolean(),
    because: Type.Array(reference(BecauseView), {
      description:
        'one entry if the cluster or a tenant decides regardless of policies, else one for each end; allowed if all allow it',
    }),
    from: reference(EndView),
    to: reference(EndView),
    protocol: Type.String(),
    port: Type.Optional(Type.Integer()),
    revision: Type.Integer({ description: 'the answer includes every write up to this revision of the store' }),
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
    endpoints: Type.Array(MatrixEndpoint, { description: 'all of the tenant’s, ordered by namespace and name' }),
    rows: Type.Array(
      Type.Object({
        from: Type.String({ description: "the caller's id" }),
        allowed: Type.String({
          pattern: '^[01]*$',
          description: 'one character for each of `endpoints`, in their order: `1` if the caller may call it, else `0`',
          examples: ['1101'],
        }),
      }),
    ),
    continue: Type.Optional(Type.String({ description: 'pass it to get more rows; absent on the last page' })),
    revision: Type.Integer(),
  },
  { $id: 'ReachabilityMatrix' },
);

const FlipView = Type.Object(
  {
    from: reference(EndView),
    to: reference(EndView),
    protocol: Type.String({ enum: ['TCP', 'UDP', 'SCTP', 'ICMP', 'any'], description: '`any`: all, at all ports' }),
    port: Type.Optional(Type.Integer({ description: 'absent: all ports' })),
    endPort: Type.Optional(Type.Integer({ description: 'last port of the range that begins with `port`' })),
    before: Type.Boolean(),
    after: Type.Boolean(),
  },
  { $id: 'ReachabilityFlip', description: 'traffic that the change would open or close' },
);

export const PreviewView = Type.Object(
  {
    dryRun: Type.Boolean({ description: 'true: nothing was written' }),
    flips: Type.Array(reference(FlipView)),
    truncated: Type.Boolean({ description: 'true: there are more flips' }),
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
  throw new InvalidInput(field, 'must have either tenant, namespace and name, or only ip');
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
