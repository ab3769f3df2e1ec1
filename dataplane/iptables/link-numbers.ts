/** Which of a list's sets each link's members are in. Pure. */
import { type LinkList, linksPerSet } from './sets.ts';

/** Where links were found in the kernel: set numbers by {@link foundKey}. */
export type FoundNumbers = ReadonlyMap<string, number>;

/** Shares links out among the sets of a list: the first with room takes the next link, and keeps it as long as it has members. */
export class LinkNumbers {
  readonly #found: FoundNumbers;
  readonly #of = new Map<string, { readonly number: number; members: number }>();
  readonly #links = new Map<LinkList, number[]>();

  constructor(found: FoundNumbers) {
    this.#found = found;
  }

  /** For one member more of a link. */
  take(list: LinkList, link: string): number {
    const key = foundKey(list, link);
    const known = this.#of.get(key);
    if (known !== undefined) {
      known.members++;
      return known.number;
    }
    const links = this.#links.get(list) ?? [];
    this.#links.set(list, links);
    const hasRoom = (number: number) => (links[number] ?? 0) < linksPerSet(list);
    let number = this.#found.get(key) ?? 0;
    if (!hasRoom(number)) for (number = 0; !hasRoom(number); ) number++;
    links[number] = (links[number] ?? 0) + 1;
    this.#of.set(key, { number, members: 1 });
    return number;
  }

  /** For one member less. */
  release(list: LinkList, link: string): number {
    const key = foundKey(list, link);
    const known = this.#of.get(key);
    if (known === undefined) return 0;
    known.members--;
    if (known.members > 0) return known.number;
    this.#of.delete(key);
    const links = this.#links.get(list) ?? [];
    links[known.number] = (links[known.number] ?? 1) - 1;
    return known.number;
  }
}

/** Names a link's place in a list. */
export function foundKey(list: LinkList, link: string): string {
  return `${list} ${link}`;
}
