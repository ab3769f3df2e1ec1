/** Chooses where isolation is enforced, and keeps the backend that does not at hand: what it left in the kernel has to go. */
import { ERRNO, isErrno } from './errors.ts';
import type { BackendName, IsolationBackend } from './isolation-backend.ts';
import { KernelIsolation } from './kernel-isolation.ts';
import type { NetlinkConnection } from './netlink/connection.ts';
import { Nftables } from './nftables/nftables.ts';

export interface ChosenBackend {
  readonly backend: IsolationBackend;
  /** for the log */
  readonly why: string;
  /** those that must not have anything in the kernel any more, once this one enforces */
  readonly others: readonly IsolationBackend[];
}

export interface BackendParts {
  /** NETLINK_NETFILTER */
  readonly filter: NetlinkConnection;
  /** has anybody but this process changed the nftables table since it was last read back? */
  readonly isTouched: () => boolean;
}

/** @throws KernelError when the kernel lacks what was asked for */
export function chooseBackend(wanted: BackendName | 'auto', { filter, isTouched }: BackendParts): ChosenBackend {
  const nftables = new Nftables(filter);
  const fault = nftablesFault(nftables);
  if (wanted === 'nftables' && fault !== undefined) throw fault;
  const why = wanted === 'auto' ? 'the kernel has nf_tables' : 'asked for by --backend';
  return { backend: new KernelIsolation(nftables, { isTouched }), why, others: [] };
}

/** @returns why nf_tables cannot be used */
function nftablesFault(nftables: Nftables): Error | undefined {
  try {
    nftables.generationId();
    return undefined;
  } catch (error) {
    if (isErrno(error, ERRNO.EINVAL, ERRNO.EOPNOTSUPP)) return error as Error;
    throw error;
  }
}
