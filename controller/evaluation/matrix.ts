/**
 * Which of a tenant's endpoints may call which, for one protocol and port. Pure.
 */
import type { Endpoint } from '../model/records.ts';
import { decide, isAllowed } from './decide.ts';
import type { Traffic } from './policies.ts';
import type { WorldIndex } from './world.ts';

/** @returns a character for each of `to`: `1` where `from` may call it, else `0` */
export function evaluateRow(index: WorldIndex, from: Endpoint, to: readonly Endpoint[], traffic: Traffic): string {
  const source = index.endOf(from);
  let row = '';
  for (const each of to) row += isAllowed(decide(index, source, index.endOf(each), traffic)) ? '1' : '0';
  return row;
}

/** By namespace, name and id, as people look for them. */
export function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return sortKey(a) < sortKey(b) ? -1 : 1;
}

/** Unique; names have no slash. */
export function sortKey({ namespace, name, id }: Endpoint): string {
  return `${namespace}/${name}/${id}`;
}
