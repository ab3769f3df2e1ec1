/** What everybody in the rule update comparison shares: the operations, the names and addresses, so that all say the same thing. Pure. */
import type { BenchNamespace } from '../namespace.ts';
import type { Subject } from '../sample.ts';

/** What is done, in the order in which it is done: what is added is deleted by the next. */
export const OPERATIONS = {
  add: 'one element added',
  delete: 'one element deleted',
  addEndpoint: 'a whole endpoint added',
  deleteEndpoint: 'a whole endpoint deleted',
  changeIdentity: 'one identity changed',
} as const;

/** One way of updating rules. */
export interface Contestant {
  readonly name: string;
  /** Puts so many rules or elements into an empty namespace. @throws when the machine cannot */
  readonly prepare: (namespace: BenchNamespace, existing: number) => Prepared;
}

export interface Prepared {
  readonly subject: Subject;
  /** to be called before the namespace is closed */
  readonly close: () => void;
}

/** The pod link of the `index`th rule. Rules 0 to n - 1 are there already, rule n comes and goes. */
export function linkOf(index: number): string {
  return `tnp${index.toString(16).padStart(12, '0')}`;
}

/** The address of the `index`th rule, below 2^22. */
export function addressOf(index: number): string {
  return `10.${128 + ((index >> 16) & 63)}.${(index >> 8) & 255}.${index & 255}`;
}
