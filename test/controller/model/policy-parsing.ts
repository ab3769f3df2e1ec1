/** A policy's body as it is parsed: what tests of policies stand on. Pure. */
import { InvalidInput } from '../../../controller/errors.ts';
import { parsePolicy } from '../../../controller/model/policy.ts';

export const parse = (body: unknown) => parsePolicy('blue', 'shop', 'web', body);
export const specOf = (body: unknown) => parse(body).spec;

/** Paths of what is at fault, in order. */
export function faultsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors.map(({ field }) => field);
    throw error;
  }
  return [];
}
