/**
 * Do the records of a backup fit each other? Claims keep two tenants from one VNI, subnet or namespace while a cluster runs; a file that
 * was written by hand, or put together of two, is held to the same before it becomes a cluster. Pure.
 */
import { claimant, namespaceClaims, subnetClaims, vniClaims } from './kinds/claim.ts';
import { tenants } from './kinds/tenant.ts';
import { PrefixSet } from './prefix-set.ts';

/**
 * @param records values by key, all readable
 * @param leftOut keys of what could not be read when the backup was made
 * @returns the first that does not fit, for people; undefined: all do
 */
export function findContradiction(
  records: ReadonlyMap<string, string>,
  leftOut: ReadonlySet<string>,
): string | undefined {
  const subnets = new PrefixSet();
  for (const [key, value] of records) {
    const subnet = subnetClaims.place(key)?.subnet;
    const other = subnet && subnets.overlapping(subnet);
    if (other !== undefined) return `subnets ${subnet} and ${other} overlap`;
    if (subnet !== undefined) subnets.add(subnet);
    const tenant = tenants.place(key) && tenants.find({ key, value });
    if (tenant === undefined) continue;
    const holder = (claim: string) => claimant({ key: claim, value: records.get(claim) ?? '' });
    const numbers = [
      { what: `VNI ${tenant.vni}`, claim: vniClaims.key({ vni: tenant.vni }) },
      ...tenant.subnets.map((each) => ({ what: `subnet ${each}`, claim: subnetClaims.key({ subnet: each }) })),
      ...tenant.namespaces.map((each) => ({
        what: `namespace ${each}`,
        claim: namespaceClaims.key({ namespace: each }),
      })),
    ];
    const wrong = numbers.find(({ claim }) => holder(claim) !== tenant.name && !leftOut.has(claim));
    if (wrong === undefined) continue;
    const owner = holder(wrong.claim);
    const whose = owner === undefined ? 'no tenant’s' : `tenant ${owner}’s`;
    return `tenant ${tenant.name} has ${wrong.what}, which by its claim is ${whose}`;
  }
  return undefined;
}
