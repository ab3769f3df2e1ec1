/**
 * Who leads the controllers: one key, held by the leader's lease. One that cannot be read is another's. Pure.
 */
import { Type } from 'typebox';
import { Kind, only } from './kind.ts';

export const leaders = new Kind({
  name: 'leader',
  prefix: 'leader',
  form: only,
  schema: Type.Object({
    /** the candidate's name, for people */
    name: Type.String(),
    /** of this attempt alone, to recognise our own key when the answer to its creation was lost */
    attempt: Type.String(),
  }),
  version: 1,
});
