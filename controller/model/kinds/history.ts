/**
 * Which history of the store this is: a store that was put back to an older copy goes on from there, and what programs saw after that
 * copy was made never happened in it. The first program that finds this out, or a restore, gives what follows an id of its own. Pure.
 */
import { Type } from 'typebox';
import { Kind, only, type RecordOf } from './kind.ts';
import { Time } from './shapes.ts';

/** Id of the history that a cluster is born with. Only those that follow are unique. */
export const BIRTH = 'birth';

export const History = Type.Object({
  /** {@link BIRTH}, or unique */
  id: Type.String({ minLength: 1 }),
  begunAt: Time,
  /** `birth` of the cluster, `rollback` to an older copy that a program found, `restore` of a backup */
  cause: Type.Union([Type.Literal('birth'), Type.Literal('rollback'), Type.Literal('restore')]),
  /** the controller or node that began it */
  by: Type.String(),
});
/** One that cannot be read is another one than any that was read. */
export type History = RecordOf<typeof History>;

export const histories = new Kind({ name: 'history', prefix: 'history', form: only, schema: History, version: 1 });

export const Recovery = Type.Object({
  /** id of the history that begins with it */
  history: Type.String({ minLength: 1 }),
  begunAt: Time,
  /** `restoring`: a backup is being written, so that what there is is not whole; `claiming`: nodes claim again what they hold */
  phase: Type.Union([Type.Literal('restoring'), Type.Literal('claiming')]),
});
/** There while a history begins: until nodes have claimed again what they hold, no new claim is granted. */
export type Recovery = RecordOf<typeof Recovery>;

export const recoveries = new Kind({ name: 'recovery', prefix: 'recovery', form: only, schema: Recovery, version: 1 });
