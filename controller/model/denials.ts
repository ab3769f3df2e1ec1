/**
 * What nodes say of packets they refused: numbered, filtered, and which of it is new since the last time they said something. Pure.
 */
import { type Denial, type DenialEnd, type Denials, isDenial } from './kinds/denials.ts';

/** A denial and what tells it from every other of its tenant's: the node, and how many of the tenant's it counted before. */
export interface NumberedDenial extends Denial {
  readonly node: string;
  /** begins again at 1 with the node's agent */
  readonly sequence: number;
}

/** Which denials are wanted; absent: any. */
export interface DenialFilter {
  /** that either end is in, of the tenant whose denials they are */
  readonly namespace?: string;
  readonly direction?: Denial['direction'];
  /** at or after this time, milliseconds */
  readonly sinceMs?: number;
}

/** What a node said since it said something last. */
export interface News {
  /** oldest first */
  readonly fresh: readonly NumberedDenial[];
  /** how many more it refused, of which nothing is known any longer */
  readonly missed: number;
}

/** Oldest first. What is no denial is left out, the others keep their numbers. */
export function numberDenials(node: string, { sequence, denials }: Denials): NumberedDenial[] {
  const first = sequence - denials.length + 1;
  return denials.map((denial, index) => ({ ...denial, node, sequence: first + index })).filter(isDenial);
}

/**
 * @param before what the node said the last time; undefined: nothing
 * A count that went back, or began at another time, is another count: all it has is new that was refused after it was asked for.
 */
export function computeNews(node: string, before: Denials | undefined, now: Denials): News {
  const goesOn = before?.started === now.started && before.sequence <= now.sequence;
  const seen = goesOn ? before.sequence : (now.unasked ?? 0);
  const fresh = numberDenials(node, now).filter(({ sequence }) => sequence > seen);
  return { fresh, missed: Math.max(0, now.sequence - seen - fresh.length) };
}

/** How far a reader has come: of each node, by name, the number of the last denial taken. The node heard last comes last. */
export type Position = ReadonlyMap<string, number>;

/** Of so many nodes at most, the latest heard: it is sent in a header. */
const MOST_NODES = 200;

/** Such as `node2/7,node1/3`: the node heard last comes first. Of more than 200 nodes the others are left out. */
export function formatPosition(position: Position): string {
  const heard = [...position].reverse().slice(0, MOST_NODES);
  return heard.map(([node, sequence]) => `${node}/${sequence}`).join();
}

/** @returns undefined for what formatPosition() does not make */
export function parsePosition(text: string): Position | undefined {
  const position = new Map<string, number>();
  for (const part of text.split(',').reverse()) {
    const found = /^(?<node>[a-z0-9][-a-z0-9.]{0,252})\/(?<sequence>\d{1,15})$/.exec(part.trim())?.groups;
    if (found?.node === undefined) return undefined;
    position.set(found.node, Number(found.sequence));
  }
  return position;
}

/** What a reader who has come so far has not taken of what a node says; of a node it has not heard of, all since it was asked. */
export function computeNewsAfter(node: string, position: Position, now: Denials): News {
  const sequence = position.get(node);
  return computeNews(node, sequence === undefined ? undefined : { ...now, sequence }, now);
}

export function matchesDenial(tenant: string, filter: DenialFilter, denial: Denial): boolean {
  const { namespace, direction, sinceMs } = filter;
  if (direction !== undefined && denial.direction !== direction) return false;
  if (sinceMs !== undefined && Date.parse(denial.at) < sinceMs) return false;
  const isThere = (end: DenialEnd) => end.namespace === namespace && (end.tenant ?? tenant) === tenant;
  return namespace === undefined || isThere(denial.from) || isThere(denial.to);
}

/** By time, then by node and number, so that the order does not depend on who tells. */
export function compareDenials(a: NumberedDenial, b: NumberedDenial): number {
  return (
    Date.parse(a.at) - Date.parse(b.at) || (a.node === b.node ? a.sequence - b.sequence : a.node < b.node ? -1 : 1)
  );
}
