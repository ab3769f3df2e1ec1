/**
 * The one exception of a CNI call that has an answer: code, message, details, as the runtime will read them. Raised wherever the
 * fact is known, by the binary and by the agent. Pure; never prints itself.
 */
import type { CniErrorBody } from './agent-protocol.ts';

/**
 * A CNI call that fails. kubelet shows `msg; details` in the pod's events, so `msg` names the field at fault.
 * @see CNI spec 1.1.0, section 5, "Error"
 */
export class CniError extends Error {
  /** 1..99 the spec's, 100 and above Tenet's; see CNI_ERROR */
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, msg: string, details?: string) {
    super(msg);
    this.code = code;
    this.details = details;
  }

  /** What goes over the agent's socket, or under a `cniVersion` to the runtime. */
  get body(): CniErrorBody {
    const { code, message: msg, details } = this;
    return details === undefined ? { code, msg } : { code, msg, details };
  }
}
