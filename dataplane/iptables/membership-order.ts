/** In which order members of sets come and go: ipset has no transaction over all. Pure. */
import type { IpsetSpec } from '../ipset/member.ts';
import type { Membership } from './memberships.ts';
import { linkSetPlace } from './sets.ts';

/** Is it a set's place in a list? */
export function isEntry({ set }: Membership): boolean {
  return set.type === 'list:set';
}

export function holes({ member }: Membership): number {
  return Number(member.nomatch === true);
}

/** Members to take out before others come in, and after that: of pods that are given something in the same direction. */
export function inTwo(
  removed: readonly Membership[],
  added: readonly Membership[],
): { readonly first: readonly Membership[]; readonly last: readonly Membership[] } {
  const given = new Set(added.flatMap((each) => podOf(each) ?? []));
  const same = new Set(added.map(elementOf));
  // What is a hole now and was a member, or the other way round, is one element of the kernel's.
  const stays = (each: Membership) => given.has(podOf(each) ?? '') && !same.has(elementOf(each));
  const emptied = new Set(removed.filter(stays).map(({ set }) => set.name));
  const isLast = (each: Membership) => (isEntry(each) ? emptied.has(each.member.set ?? '') : stays(each));
  return { first: removed.filter((each) => !isLast(each)), last: removed.filter(isLast) };
}

/** The pod link a member says something of, and in which direction. */
function podOf({ set, member }: Membership): string | undefined {
  const list = linkSetPlace(set.name)?.list;
  if (list === undefined || list === 'overlay') return undefined;
  return `${list.slice(0, list.startsWith('egress') ? 6 : 7)} ${member.link}`;
}

function elementOf({ set, member }: Membership): string {
  return `${set.name} ${member.address} ${member.link}`;
}

/** Those of one set together: they share a message. */
export function bySet(memberships: readonly Membership[]): Membership[] {
  const groups = new Map<IpsetSpec, Membership[]>();
  for (const each of memberships) {
    const group = groups.get(each.set);
    if (group === undefined) groups.set(each.set, [each]);
    else group.push(each);
  }
  return [...groups.values()].flat();
}
