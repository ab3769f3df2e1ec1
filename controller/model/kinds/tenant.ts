/**
 * Tenants. One that cannot be read is to nodes as if it were not there: nothing of it passes, and nothing new attaches to it. Pure.
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf } from './kind.ts';
import { Count, Labels, Prefix, Time } from './shapes.ts';

export const Quota = Type.Object({
  endpoints: Type.Optional(Count),
  policies: Type.Optional(Count),
  subnets: Type.Optional(Count),
});
export type Quota = RecordOf<typeof Quota>;

export const Tenant = Type.Object({
  name: Type.String(),
  /** VXLAN network identifier, 1 for the system tenant, else 2..16777215 */
  vni: Type.Integer({ minimum: 1, maximum: 0xffffff }),
  subnets: Type.Array(Prefix),
  namespaces: Type.Array(Type.String()),
  labels: Labels,
  quota: Quota,
  egress: Type.Object({ internet: Type.Boolean() }),
  ingress: Type.Object({ gateways: Type.Boolean() }),
  /** `deleting`: refuses new endpoints, gone once nodes have given back their blocks */
  phase: Type.Enum(['active', 'deleting']),
  createdAt: Time,
  /** of its creation: tells this very attempt from all others */
  operation: Type.Optional(Type.String()),
});
export type Tenant = RecordOf<typeof Tenant>;

export const tenants = new Kind({
  name: 'tenant',
  prefix: 'tenants/',
  form: names('name'),
  schema: Tenant,
  version: 1,
  acknowledgedAs: 'tenant',
});

/** The system tenant: VNI 1, where gateways and manage nodes live. */
export const SYSTEM_TENANT = 'system';
export const SYSTEM_VNI = 1;
