/**
 * Namespaces of tenants. Of one that cannot be read no label is known, and no selector of namespaces selects it. Pure.
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf } from './kind.ts';
import { Labels } from './shapes.ts';

export const Namespace = Type.Object({ tenant: Type.String(), name: Type.String(), labels: Labels });
export type Namespace = RecordOf<typeof Namespace>;

export const namespaces = new Kind({
  name: 'namespace',
  prefix: 'namespaces/',
  form: names('tenant', 'name'),
  schema: Namespace,
  version: 1,
  acknowledgedAs: 'namespaces',
});
