/** Chooses where isolation is enforced, and keeps the backend that does not at hand: what it left in the kernel has to go. */

import { Ipset } from '../codecs/ipset/ipset.ts';
import { Nftables } from '../codecs/nftables/nftables.ts';
import type { Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import { ERRNO, isErrno } from '../errors.ts';
import type { NetlinkConnection } from '../netlink/connection.ts';
import { type LoadedProgram, loadClassifier } from '../system/bpf.ts';
import { Xtables, type XtablesVariant } from '../system/xtables.ts';
import { admissionProgram } from './iptables/admission.ts';
import { IptablesIsolation } from './iptables/iptables-isolation.ts';
import type { BackendName, IsolationBackend } from './isolation-backend.ts';
import { NftablesIsolation } from './nftables/nftables-isolation.ts';

/** What the agent is asked for. */
export interface BackendChoice {
  readonly backend: BackendName | 'auto';
  /** of the programs, should iptables be the backend */
  readonly iptables?: XtablesVariant;
}

export interface ChosenBackend {
  readonly backend: IsolationBackend;
  /** for the log */
  readonly why: string;
  /** those that must not have anything in the kernel any more, once this one enforces */
  readonly others: readonly Pick<IsolationBackend, 'exists' | 'remove' | 'close'>[];
}

export interface BackendParts {
  /** NETLINK_NETFILTER */
  readonly filter: NetlinkConnection;
  readonly rtnetlink: Rtnetlink;
  /** has anybody but this process changed the nftables table since it was last read back? */
  readonly isTouched: () => boolean;
}

/** @throws KernelError when the kernel, or the host's programs, lack what was asked for */
export function chooseBackend(choice: BackendChoice, { filter, rtnetlink, isTouched }: BackendParts): ChosenBackend {
  const nftables = new Nftables(filter);
  const ipset = new Ipset(filter);
  const lacksNftables = fault(() => nftables.generationId());
  const variant = choice.iptables ?? 'default';
  const lacksIptables = fault(() => checkIptables(ipset, variant));
  const asked = choice.backend === 'auto' ? undefined : 'asked for by --backend';
  if (choice.backend === 'nftables' || (choice.backend === 'auto' && lacksNftables === undefined)) {
    if (lacksNftables !== undefined) throw lacksNftables;
    const others = lacksIptables === undefined ? [new IptablesIsolation(ipset, rtnetlink, { variant })] : [];
    return {
      backend: new NftablesIsolation(nftables, { isTouched }),
      why: asked ?? 'the kernel has nf_tables',
      others,
    };
  }
  if (lacksIptables !== undefined) throw lacksIptables;
  const others = lacksNftables === undefined ? [new NftablesIsolation(nftables, { isTouched })] : [];
  const { admission, lack } = loadAdmission();
  const generation = lacksNftables === undefined ? { generation: () => nftables.generationId() } : {};
  const backend = new IptablesIsolation(ipset, rtnetlink, { variant, admission, ...generation });
  return { backend, why: `${asked ?? `the kernel lacks nf_tables: ${lacksNftables?.message}`}${lack}`, others };
}

/** A kernel that does not load it is guarded by rules alone, and the log says so. */
function loadAdmission(): { readonly admission?: LoadedProgram; readonly lack: string } {
  try {
    return { admission: loadClassifier(admissionProgram()), lack: '' };
  } catch (error) {
    if (!isErrno(error, ERRNO.ENOSYS, ERRNO.EPERM, ERRNO.EACCES, ERRNO.EINVAL)) throw error;
    return { lack: `; what others accept ahead of our rules is not stopped at containers’ links: ${error.message}` };
  }
}

/** @throws KernelError */
function checkIptables(ipset: Ipset, variant: XtablesVariant): number {
  new Xtables(4, variant).variant();
  return ipset.protocol;
}

/** @returns why something cannot be used */
function fault(attempt: () => unknown): Error | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (isErrno(error, ERRNO.EINVAL, ERRNO.EOPNOTSUPP, ERRNO.ENOENT)) return error;
    throw error;
  }
}
