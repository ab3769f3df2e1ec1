/** Which of a list's sets each link's members are in. Pure. */
import type { IpAddress, IpPrefix } from '../../address.ts';
import { countsLongestPrefix, type LinkList, linksPerSet } from './sets.ts';

/** Networks, and single addresses. */
const KINDS = 2;

/** Where links were found in the kernel: set numbers by {@link foundKey}. */
export type FoundNumbers = ReadonlyMap<string, number>;

/**
 * Shares links out among the sets of a list: the first with room takes the next link, and keeps it as long as it has members. A link's
 * single addresses are in a set of odd number, its networks in one of even number: an address that one link has alone would hide the
 * network around it from all others of the set.
 * @see net/netfilter/ipset/ip_set_hash_gen.h, mtype_test_cidrs
 */
export class LinkNumbers {
  readonly #found: FoundNumbers;
  readonly #of = new Map<string, { readonly number: number; members: number }>();
  readonly #links = new Map<LinkList, number[]>();

  constructor(found: FoundNumbers) {
    this.#found = found;
  }

  /** For one member more of a link. */
  take(list: LinkList, link: string, prefix: IpPrefix): number {
    const kind = kindOf(list, prefix);
    const key = foundKey(list, link, prefix);
    const known = this.#of.get(key);
    if (known !== undefined) {
      known.members++;
      return known.number;
    }
    const links = this.#links.get(list) ?? [];
    this.#links.set(list, links);
    const hasRoom = (number: number) => number % KINDS === kind && (links[number] ?? 0) < linksPerSet(list);
    let number = this.#found.get(key) ?? kind;
    if (!hasRoom(number)) for (number = kind; !hasRoom(number); ) number += KINDS;
    links[number] = (links[number] ?? 0) + 1;
    this.#of.set(key, { number, members: 1 });
    return number;
  }

  /** For one member less. */
  release(list: LinkList, link: string, prefix: IpPrefix): number {
    const key = foundKey(list, link, prefix);
    const known = this.#of.get(key);
    if (known === undefined) return kindOf(list, prefix);
    known.members--;
    if (known.members > 0) return known.number;
    this.#of.delete(key);
    const links = this.#links.get(list) ?? [];
    links[known.number] = (links[known.number] ?? 1) - 1;
    return known.number;
  }
}

/** Names the place in a list of a link's networks, or of its single addresses. */
export function foundKey(list: LinkList, link: string, prefix: IpPrefix | IpAddress): string {
  return `${list} ${kindOf(list, prefix)} ${link}`;
}

function kindOf(list: LinkList, prefix: IpPrefix | IpAddress): 0 | 1 {
  const isSingle = !prefix.includes('/') || prefix.endsWith('/32');
  return isSingle && !countsLongestPrefix(list) ? 1 : 0;
}
