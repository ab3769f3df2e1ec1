/**
 * What the kernel refused in a pass: whose changes it concerns, for the others' are in force; and what is at fault, once for each link
 * and not for all that stands on it. Pure.
 */

import type { Finding } from '../../../controller/model/problems.ts';
import { SYSTEM_TENANT, SYSTEM_VNI } from '../../../controller/model/records.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import type { Failures } from '../../../dataplane/dataplane.ts';
import type { Change } from '../../../dataplane/diff.ts';
import {
  isOverlayLink,
  isPodLink,
  OVERLAY_LINK_PREFIX,
  overlayLinkName,
  POD_LINK_PREFIX,
} from '../../../dataplane/ownership.ts';
import { type Item, itemKey, itemLink } from '../../../dataplane/state.ts';
import type { Snapshot } from '../watch/snapshot.ts';

export interface Refused {
  /** tenants with a change that may not be in the kernel whole; `all` when it can be any */
  readonly concerned: ReadonlySet<string> | 'all';
  readonly findings: readonly Finding[];
}

/** So many tenants may lag apart from the others; with more all do, for each is named in what the node tells. */
const MOST_APART = 100;

/** @param tenantOf an endpoint of this node, by its id */
export function judgeRefused(
  changes: readonly Change[],
  failures: Failures,
  snapshot: Snapshot,
  tenantOf: (id: string) => string | undefined,
): Refused {
  if (failures.size === 0) return { concerned: new Set(), findings: [] };
  const owners = new Owners(snapshot, tenantOf);
  const items = new Map(changes.map(({ item }) => [itemKey(item), item]));
  const tenants = new Set<string>();
  const faults = new Map<string, Fault>();
  let concernsAll = false;
  for (const [key, error] of failures) {
    const item = items.get(key);
    // The dataplane made the link of this name anew: what stood on it comes with the next pass.
    const link = item === undefined ? key.replace(/^.* /, '') : itemLink(item);
    const owner = owners.of(link, item);
    if (owner === 'all') concernsAll = true;
    else if (owner !== undefined) tenants.add(owner);
    if (item !== undefined) addFault(faults, link ?? key, { key, error, owner, more: 0 });
  }
  for (const tenant of [...tenants]) for (const { name } of snapshot.peersOf(tenant)) tenants.add(name);
  const findings = [...faults.values()].map(findingOf);
  return { concerned: concernsAll ? 'all' : apartFrom(tenants), findings };
}

/** The tenants of which not all is in the kernel; `all` when they are too many to name each. */
export function apartFrom(...sets: readonly ReadonlySet<string>[]): ReadonlySet<string> | 'all' {
  const tenants = new Set(sets.flatMap((each) => [...each]));
  return tenants.size > MOST_APART ? 'all' : tenants;
}

interface Fault {
  readonly key: string;
  readonly error: Error;
  readonly owner: string | undefined;
  /** refused besides, of the same link */
  readonly more: number;
}

/** Of all that is refused on one link the link itself counts, else what comes first by its name: the same at each try. */
function addFault(faults: Map<string, Fault>, place: string, fault: Fault): void {
  const known = faults.get(place);
  if (known === undefined) {
    faults.set(place, fault);
    return;
  }
  const isFirst = fault.key === `link ${place}` || (known.key !== `link ${place}` && fault.key < known.key);
  faults.set(place, { ...(isFirst ? fault : known), more: known.more + 1 });
}

function findingOf({ key, error, owner, more }: Fault): Finding {
  const text = more === 0 ? error.message : `${error.message}; ${more} more on the same link`;
  return owner === undefined || owner === 'all' ? { about: key, text } : { about: key, text, tenant: owner };
}

/** Whose a link is, and what is on it. */
class Owners {
  readonly #snapshot: Snapshot;
  readonly #tenantOf: (id: string) => string | undefined;
  #byLink: ReadonlyMap<string, string> | undefined;
  #byBlock: ReadonlyMap<IpPrefix, string> | undefined;

  constructor(snapshot: Snapshot, tenantOf: (id: string) => string | undefined) {
    this.#snapshot = snapshot;
    this.#tenantOf = tenantOf;
  }

  /** @returns `all` for what packets of any tenant may need; undefined for what is left of a tenant or endpoint that is gone */
  of(link: string | undefined, item: Item | undefined): string | 'all' | undefined {
    if (link === undefined) return 'all';
    if (isPodLink(link)) return this.#tenantOf(link.slice(POD_LINK_PREFIX.length));
    if (!isOverlayLink(link)) return 'all';
    if (link !== overlayLinkName(SYSTEM_VNI)) return this.#ofLink(link);
    // By the system overlay gateways go to tenants' blocks; the rest of it is everybody's.
    return (item?.kind === 'route' ? this.#ofBlock(item.destination) : undefined) ?? 'all';
  }

  #ofLink(link: string): string | undefined {
    this.#byLink ??= new Map(
      [...this.#snapshot.tenants].map(([name, { tenant }]) => [`${OVERLAY_LINK_PREFIX}${tenant.vni}`, name]),
    );
    return this.#byLink.get(link);
  }

  #ofBlock(block: IpPrefix): string | undefined {
    this.#byBlock ??= new Map([...this.#snapshot.allBlocks()].map(({ prefix, tenant }) => [prefix, tenant]));
    const owner = this.#byBlock.get(block);
    return owner === SYSTEM_TENANT ? undefined : owner;
  }
}
