/** What a write has done: the object as it is now, and which nodes have to learn of it. Types only. */
import type { Change } from '../enforcement/change.ts';
import type { Stored } from './stored.ts';

export interface Written<T> extends Stored<T> {
  /** it was not there before */
  readonly created: boolean;
  readonly change: Change;
}
