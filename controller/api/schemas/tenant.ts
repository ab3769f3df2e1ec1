/**
 * Tenants on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { Tenant } from '../../model/records.ts';
import type { Stored } from '../../operations/stored.ts';
import { Cidr, Labels, Revision } from './common.ts';
import { EnforcementField } from './enforcement.ts';

const STRICT = { additionalProperties: false } as const;
const count = (description: string) => Type.Integer({ minimum: 0, maximum: 1_000_000_000, description });
const nullable = <T extends 'boolean' | 'integer' | 'string'>(type: T, options: object = {}) => ({
  ...options,
  type: [type, 'null'],
});

const Quota = Type.Object(
  {
    endpoints: Type.Optional(count('at most this many containers')),
    policies: Type.Optional(count('at most this many policies')),
    subnets: Type.Optional(count('at most this many subnets')),
  },
  { ...STRICT, description: 'an absent field sets no limit' },
);

const internet = Type.Boolean({ description: 'whether containers may reach beyond the cluster; true by default' });
const gateways = Type.Boolean({ description: 'whether gateways may reach the containers; true by default' });
const Names = Type.Array(Type.String({ examples: ['blue-test'] }), { maxItems: 30 });
const length = Type.Integer({ minimum: 0, maximum: 128, examples: [22] });

export const TenantBody = Type.Object(
  {
    name: Type.String({ description: 'an RFC 1123 label; "system" is reserved', examples: ['blue'] }),
    namespaces: Type.Optional({
      ...Names,
      description: "namespaces besides the one with the tenant's name",
    } as typeof Names),
    subnetPrefixLength: Type.Optional({
      ...length,
      description:
        "prefix length of the subnet that the controller allocates; the cluster's default if absent; not with `subnets`",
    } as typeof length),
    subnets: Type.Optional(
      Type.Array(Cidr, { minItems: 1, maxItems: 8, description: 'exactly these subnets of the pool' }),
    ),
    labels: Type.Optional(Labels),
    quota: Type.Optional(Quota),
    egress: Type.Optional(Type.Object({ internet: Type.Optional(internet) }, STRICT)),
    ingress: Type.Optional(Type.Object({ gateways: Type.Optional(gateways) }, STRICT)),
  },
  {
    ...STRICT,
    examples: [{ name: 'blue', namespaces: ['blue-test'], quota: { endpoints: 100 }, egress: { internet: false } }],
  },
);

/** Merge patches have null where a value is to be taken away; TypeBox has no type of two kinds, so the type is given by hand. */
const PatchedLabels = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  additionalProperties: nullable('string'),
});
const PatchedQuota = Type.Unsafe<Record<'endpoints' | 'policies' | 'subnets', number | null> | null>({
  type: ['object', 'null'],
  properties: Object.fromEntries(
    ['endpoints', 'policies', 'subnets'].map((name) => [
      name,
      nullable('integer', { minimum: 0, maximum: 1_000_000_000 }),
    ]),
  ),
  ...STRICT,
});
const patchedFlag = <Name extends string>(name: Name) =>
  Type.Unsafe<{ [key in Name]?: boolean | null } | null>({
    type: ['object', 'null'],
    properties: { [name]: nullable('boolean') },
    ...STRICT,
  });

export const TenantPatchBody = Type.Object(
  {
    labels: Type.Optional(PatchedLabels),
    quota: Type.Optional(PatchedQuota),
    egress: Type.Optional(patchedFlag('internet')),
    ingress: Type.Optional(patchedFlag('gateways')),
  },
  {
    ...STRICT,
    description: 'JSON merge patch (RFC 7396): absent fields stay as they are, null removes a field',
    examples: [{ labels: { plan: 'gold', trial: null }, quota: { endpoints: 200 } }],
  },
);

export const SubnetBody = Type.Object(
  {
    prefixLength: Type.Optional({ ...length, description: "the cluster's default if absent" } as typeof length),
    family: Type.Optional(
      Type.Unsafe<4 | 6>({
        type: 'integer',
        enum: [4, 6],
        description: 'which pool to allocate from; IPv4 by default, if there is one',
      }),
    ),
    cidr: Type.Optional(Cidr),
  },
  { ...STRICT, examples: [{ prefixLength: 22 }, { cidr: '10.128.8.0/22' }] },
);

export const TenantView = Type.Object(
  {
    name: Type.String(),
    vni: Type.Integer({ description: 'VXLAN network identifier', examples: [4711] }),
    subnets: Type.Array(Cidr),
    namespaces: Type.Array(Type.String()),
    labels: Labels,
    quota: Quota,
    egress: Type.Object({ internet }),
    ingress: Type.Object({ gateways }),
    phase: Type.String({
      enum: ['active', 'deleting'],
      description: '`deleting`: the tenant is deleted once nodes have returned its blocks',
    }),
    createdAt: Type.String({ format: 'date-time' }),
    endpoints: Type.Integer({ description: 'number of its containers; not covered by the ETag' }),
    revision: Revision,
    status: EnforcementField,
  },
  { $id: 'Tenant' },
);

export const DeletingView = Type.Object(
  {
    tenant: Type.String(),
    phase: Type.String({ enum: ['deleting', 'deleted'], description: '`deleted`: only nodes of `status` lag' }),
    nodes: Type.Array(Type.String(), { description: 'nodes that have not yet returned their blocks' }),
    status: EnforcementField,
  },
  { $id: 'Deleting' },
);

/** @param endpoints how many it has */
export function viewTenant({ record, revision }: Stored<Tenant>, endpoints: number): object {
  const { name, vni, subnets, namespaces, labels, quota, egress, ingress, phase, createdAt } = record;
  const spec = { name, vni, subnets, namespaces, labels, quota, egress, ingress };
  return { ...spec, phase, createdAt, endpoints, revision };
}
