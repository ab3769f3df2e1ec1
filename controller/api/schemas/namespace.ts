/**
 * Namespaces on the wire. Shapes only. Pure.
 */
import { Type } from '@fastify/type-provider-typebox';
import type { Namespace } from '../../model/records.ts';
import type { Stored } from '../../operations/stored.ts';
import { Labels, pathName, Revision, TenantParams } from './common.ts';
import { EnforcementField } from './enforcement.ts';

export const NamespaceParams = Type.Object({
  ...TenantParams.properties,
  namespace: pathName("the namespace's name", 'blue-test'),
});

export const NamespaceBody = Type.Object(
  { labels: Type.Optional(Labels) },
  { additionalProperties: false, examples: [{ labels: { stage: 'test' } }] },
);

export const NamespaceView = Type.Object(
  { tenant: Type.String(), name: Type.String(), labels: Labels, revision: Revision, status: EnforcementField },
  { $id: 'Namespace', description: 'the labels always include `kubernetes.io/metadata.name`' },
);

export function viewNamespace({ record: { tenant, name, labels }, revision }: Stored<Namespace>): object {
  return { tenant, name, labels, revision };
}
