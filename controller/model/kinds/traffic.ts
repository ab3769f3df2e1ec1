/**
 * What nodes counted of tenants' packets, told while a caller asks. Of a record that cannot be read nothing is shown. Pure.
 */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Kind, names, type RecordOf } from './kind.ts';
import { Count, Time } from './shapes.ts';

/** Packets of one tenant. */
const Counts = Type.Object({ allowed: Count, denied: Count });
type Counts = RecordOf<typeof Counts>;

const Traffic = Type.Object({
  /** of this writing */
  at: Time,
  /** each is judged by itself */
  tenants: Type.Record(Type.String(), Type.Unsafe<Counts>(Type.Unknown())),
});
/** Packets of tenants that a node let pass and refused since its agent began. */
export type Traffic = RecordOf<typeof Traffic>;

/** Gone with the node's record. */
export const traffic = new Kind({
  name: 'traffic',
  prefix: 'traffic/',
  form: names('node'),
  schema: Traffic,
  version: 1,
});

const validator = Compile(Counts);

/** Are the counts of one tenant in a record what they should be? */
export function areCounts(value: unknown): value is Counts {
  return validator.Check(value);
}
