/**
 * What one tenant asks of another. One that cannot be read has not been asked. Pure.
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf } from './kind.ts';
import { Time } from './shapes.ts';

export const Peering = Type.Object({ tenant: Type.String(), peer: Type.String(), createdAt: Time });
/** `tenant` asks that its endpoints and `peer`'s may talk. In force only while both have asked. */
export type Peering = RecordOf<typeof Peering>;

export const peerings = new Kind({
  name: 'peering',
  prefix: 'peerings/',
  form: names('tenant', 'peer'),
  schema: Peering,
  version: 1,
  acknowledgedAs: 'peerings',
});
