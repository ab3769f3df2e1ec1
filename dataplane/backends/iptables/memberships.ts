/** Members of sets, each there as often as something wants it, and what has changed since the last look. Pure. */
import { formatMember, type IpsetMember, type IpsetSpec } from '../../codecs/ipset/member.ts';

/** One member of one set. */
export interface Membership {
  readonly set: IpsetSpec;
  readonly member: IpsetMember;
}

export class Memberships {
  readonly #members = new Map<string, { readonly membership: Membership; count: number }>();
  readonly #counts = new Map<string, number>();
  /** what was so before the changes that are being gathered */
  readonly #touched = new Map<string, { readonly membership: Membership; readonly was: boolean }>();

  *all(): Generator<Membership> {
    for (const { membership } of this.#members.values()) yield membership;
  }

  /** @param key {@link membershipKey} */
  has(key: string): boolean {
    return this.#members.has(key);
  }

  /** How many members a set has. */
  count(set: string): number {
    return this.#counts.get(set) ?? 0;
  }

  /** Names of sets with members. */
  filledSets(): string[] {
    return [...this.#counts].flatMap(([name, count]) => (count > 0 ? [name] : []));
  }

  /** What changed since the last call: members to take out, and to put in. */
  takeChanges(): { readonly removed: readonly Membership[]; readonly added: readonly Membership[] } {
    const removed: Membership[] = [];
    const added: Membership[] = [];
    for (const [key, { membership, was }] of this.#touched) {
      const is = this.#members.has(key);
      if (was && !is) removed.push(membership);
      else if (is && !was) added.push(membership);
    }
    this.#touched.clear();
    return { removed, added };
  }

  add(set: IpsetSpec, member: IpsetMember): void {
    const membership = { set, member };
    const key = membershipKey(membership);
    const known = this.#members.get(key);
    this.#touch(key, membership, known !== undefined);
    if (known !== undefined) known.count++;
    else {
      this.#members.set(key, { membership, count: 1 });
      this.#counts.set(set.name, this.count(set.name) + 1);
    }
  }

  drop(set: IpsetSpec, member: IpsetMember): void {
    const key = membershipKey({ set, member });
    const known = this.#members.get(key);
    if (known === undefined) return;
    this.#touch(key, known.membership, true);
    known.count--;
    if (known.count > 0) return;
    this.#members.delete(key);
    this.#counts.set(set.name, this.count(set.name) - 1);
  }

  #touch(key: string, membership: Membership, was: boolean): void {
    if (!this.#touched.has(key)) this.#touched.set(key, { membership, was });
  }
}

/** Names a member of a set. */
export function membershipKey({ set, member }: Membership): string {
  return `${set.name} ${formatMember(member)}`;
}
