/**
 * Peerings on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { PeeringState } from '../../operations/peerings.ts';
import { pathName, Revision, TenantParams } from './common.ts';
import { EnforcementField } from './enforcement.ts';

export const PeeringParams = Type.Object({
  ...TenantParams.properties,
  peer: pathName('the other tenant', 'red'),
});

/** A peering has nothing to set; absent is as good as empty. */
export const PeeringBody = Type.Unsafe<object | null | undefined>({
  type: ['object', 'null'],
  properties: {},
  additionalProperties: false,
  description: 'no body, or an empty object',
  examples: [{}],
});

export const PeeringView = Type.Object(
  {
    tenant: Type.String({ description: 'the tenant that asks' }),
    peer: Type.String({ description: 'the other tenant' }),
    inForce: Type.Boolean({ description: 'both tenants ask, so their containers may talk; not covered by the ETag' }),
    createdAt: Type.String({ format: 'date-time' }),
    revision: Revision,
    status: EnforcementField,
  },
  { $id: 'Peering' },
);

export function viewPeering({ record: { tenant, peer, createdAt }, inForce, revision }: PeeringState): object {
  return { tenant, peer, inForce, createdAt, revision };
}
