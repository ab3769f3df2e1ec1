/** How many connections pods of this node may have at a time: as configured, else shares of the kernel's table. Pure. */

export interface FlowBounds {
  readonly ofPod: number;
  readonly ofTenant: number;
}

/** Shares of the table: others' flows fit in beside what one tenant may have. */
const POD_SHARE = 1 / 8;
const TENANT_SHARE = 1 / 4;
/** What Linux has on a machine with 4 GiB of memory or more. @see net/netfilter/nf_conntrack_core.c, nf_conntrack_init_start */
const USUAL_TABLE = 262_144;
export const LEAST_FLOWS = 256;
export const MOST_FLOWS = 16_777_216;

/**
 * @param configured what the operator wants
 * @param table size of the kernel's table; undefined: the kernel does not say yet
 */
export function flowBounds(configured: Partial<FlowBounds>, table = USUAL_TABLE): FlowBounds {
  const share = (part: number) => Math.min(MOST_FLOWS, Math.max(LEAST_FLOWS, Math.floor(table * part)));
  return { ofPod: configured.ofPod ?? share(POD_SHARE), ofTenant: configured.ofTenant ?? share(TENANT_SHARE) };
}
