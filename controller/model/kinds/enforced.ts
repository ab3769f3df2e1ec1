/**
 * What a node's kernel enforces, told by its agent. One that cannot be read says that nothing is enforced there. Pure.
 */
import { Type } from 'typebox';
import { BIRTH } from './history.ts';
import { Kind, names, type RecordOf } from './kind.ts';
import { Count, Time } from './shapes.ts';

/**
 * Revisions up to which a node has everything of one kind in its kernel: of tenants' own records, their namespaces, their
 * peerings, policies and endpoints. Kinds are apart because each is followed by a watch of its own, and nothing orders watches
 * among each other. Of all tenants' policies and endpoints no node speaks: only of those of tenants that run there.
 */
const EnforcedRevisions = Type.Object({
  tenant: Count,
  namespaces: Count,
  peerings: Count,
  policies: Type.Optional(Count),
  endpoints: Type.Optional(Count),
});
export type EnforcedRevisions = RecordOf<typeof EnforcedRevisions>;

export const Enforced = Type.Object({
  /** of the last transaction */
  at: Time,
  /** id of the store's history that the revisions are of */
  history: Type.String(),
  /** of all tenants: gateways and manage nodes, which follow every one */
  all: Type.Optional(EnforcedRevisions),
  /** instead of `all` while the kernel refuses something of these tenants: at most 100 of them */
  allBut: Type.Optional(Type.Object({ ...EnforcedRevisions.properties, tenants: Type.Array(Type.String()) })),
  /** of each tenant the node follows because something of it is here; absent ones are not enforced yet, unless `all` says so */
  tenants: Type.Record(Type.String(), Type.Partial(EnforcedRevisions)),
});
/** What a node's kernel enforces, told by its agent after each change that it has applied. */
export type Enforced = RecordOf<typeof Enforced>;

/** Gone with the node's record; outlives its agent, for so does what is in the kernel. */
export const enforcedBy = new Kind({
  name: 'acknowledgement',
  prefix: 'enforced/',
  form: names('node'),
  schema: Enforced,
  version: 2,
  upgrade: () => ({ history: BIRTH }),
});
