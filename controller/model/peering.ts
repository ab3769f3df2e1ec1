/**
 * Peerings: which pairs of tenants there can be one between. Pure.
 */
import { collectFaults } from './faults.ts';
import { checkName } from './names.ts';
import { type Peering, SYSTEM_TENANT } from './records.ts';

/** A pair that may be asked for, before it is known whether both tenants exist. */
export type PeeringPair = Pick<Peering, 'tenant' | 'peer'>;

/** @throws InvalidInput for a bad name, a tenant with itself, or the platform's own tenant */
export function parsePeering(tenant: string, peer: string): PeeringPair {
  return collectFaults((fault) => {
    for (const [field, name] of Object.entries({ tenant, peer })) {
      checkName(name, field, fault);
      if (name === SYSTEM_TENANT)
        fault(field, `"${SYSTEM_TENANT}" is the platform's own tenant: no tenant may peer with it`);
    }
    if (tenant === peer) fault('peer', 'is the tenant itself, whose endpoints may talk anyway');
    return { tenant, peer };
  });
}
