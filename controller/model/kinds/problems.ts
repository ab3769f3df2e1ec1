/**
 * What nodes tell of their problems. A record that cannot be read is a problem itself. Pure.
 */
import { Type } from 'typebox';
import { Kind, names } from './kind.ts';
import { Count } from './shapes.ts';

/** Gone with the node's record, and while there is nothing to tell. */
export const problems = new Kind({
  name: 'problems',
  prefix: 'problems/',
  form: names('node'),
  schema: Type.Object({
    /** each is judged by itself: a newer version may know more kinds */
    problems: Type.Array(Type.Unknown()),
    /** so many more there are; absent: none */
    more: Type.Optional(Count),
  }),
  version: 1,
});
