/** What members of sets say of pods, and which of them speak of the same addresses. Pure. */
import type { IpAddress, IpPrefix } from '../../address.ts';
import { PORT_SET } from '../../state.ts';
import type { Membership } from './memberships.ts';
import { linkSetPlace } from './sets.ts';

export type Direction = 'egress' | 'ingress';

/** What a member says of one pod link in one direction. */
export interface Claim {
  readonly membership: Membership;
  readonly direction: Direction;
  readonly pod: string;
  /** `all`, `p`, `hosts`: pairs; `n`, `a`: networks; `some`: may be allowed what these say, without which no pod is */
  readonly kind: 'all' | 'p' | 'hosts' | 'n' | 'a' | 'some';
  readonly portSet: number;
  readonly from: number;
  readonly to: number;
  readonly isHole: boolean;
}

/** @returns undefined for a member that says nothing of a pod */
export function claimOf(membership: Membership): Claim | undefined {
  const { set, member } = membership;
  const list = linkSetPlace(set.name)?.list;
  if (list === undefined || list === 'overlay' || member.address === undefined) return undefined;
  const [direction = '', what = 'all'] = list.split('-');
  const [, kind = '', number = String(PORT_SET.all)] = /^(all|some|hosts|[pna])(\d*)$/.exec(what) ?? [];
  return {
    membership,
    direction: direction as Direction,
    pod: `${direction} ${member.link}`,
    kind: kind as Claim['kind'],
    portSet: Number(number || PORT_SET.all),
    ...rangeOf(member.address),
    isHole: member.nomatch === true,
  };
}

/** Claims by pod and prefix, which either hold each other or have nothing in common. */
export class Claims {
  readonly #pods = new Map<string, Claim[]>();

  constructor(claims: readonly Claim[]) {
    for (const claim of claims) {
      const known = this.#pods.get(claim.pod);
      if (known === undefined) this.#pods.set(claim.pod, [claim]);
      else known.push(claim);
    }
    // Those that begin at the same address: the larger first.
    for (const all of this.#pods.values()) all.sort((a, b) => a.from - b.from || b.to - a.to);
  }

  /** Those of the same pod whose prefix holds all of this one's. */
  around(claim: Claim): Claim[] {
    return this.over(claim).filter(({ from, to }) => from <= claim.from && to >= claim.to);
  }

  /** Those of the same pod that have addresses in common with this one. */
  over({ pod, from, to }: Claim): Claim[] {
    const all = this.#pods.get(pod);
    if (all === undefined) return [];
    const found: Claim[] = [];
    for (let bits = 0; bits < 32; bits++) {
      const size = 2 ** (32 - bits);
      const base = Math.floor(from / size) * size;
      if (base + size - 1 <= to) break;
      for (let at = firstFrom(all, base, base + size - 1); ; at++) {
        const each = all[at];
        if (each === undefined || each.from !== base || each.to !== base + size - 1) break;
        found.push(each);
      }
    }
    for (let at = firstFrom(all, from, to); at < all.length; at++) {
      const each = all[at];
      if (each === undefined || each.from > to) break;
      found.push(each);
    }
    return found;
  }
}

/** Where claims begin that do not sort before this range. */
function firstFrom(all: readonly Claim[], from: number, to: number): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { from: at = 0, to: end = 0 } = all[middle] ?? {};
    if (at < from || (at === from && end > to)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rangeOf(prefix: IpPrefix | IpAddress): { readonly from: number; readonly to: number } {
  const [address = '', bits = '32'] = prefix.split('/');
  const size = 2 ** (32 - Number(bits));
  const number = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const from = Math.floor(number / size) * size;
  return { from, to: from + size - 1 };
}
