/** The agent's only translation of errors into CNI ones; kubelet shows `msg; details` in the pod's events. Pure. */
import { Conflict, Exhausted, InvalidInput, NotFound, QuotaExceeded, Unavailable } from '../../controller/errors.ts';
import { RecordError } from '../../controller/model/kinds/kind.ts';
import { CodecError, InvalidNetns, KernelError } from '../../dataplane/errors.ts';
import { CNI_ERROR, type CniErrorBody } from '../agent-protocol.ts';
import { NotInSync } from './reconcile/loop.ts';

/** @see CNI spec 1.1.0, section 5, "Error" */
export function cniError(error: unknown): CniErrorBody {
  if (error instanceof InvalidInput) {
    const isVariable = error.errors.some(({ field }) => field.startsWith('CNI_') && field !== 'CNI_ARGS');
    if (isVariable) return body(CNI_ERROR.invalidEnvironment, 'invalid environment variable', error);
    return body(CNI_ERROR.invalidConfig, 'invalid configuration', error);
  }
  if (error instanceof NotFound) {
    return body(error.kind === 'container' ? CNI_ERROR.containerUnknown : CNI_ERROR.invalidConfig, 'not found', error);
  }
  if (error instanceof Conflict || error instanceof RecordError)
    return body(CNI_ERROR.tryAgain, 'conflict, try again later', error);
  if (error instanceof Exhausted) return body(CNI_ERROR.exhausted, 'no address left', error);
  if (error instanceof QuotaExceeded) return body(CNI_ERROR.exhausted, 'quota exceeded', error);
  if (error instanceof Unavailable)
    return body(CNI_ERROR.tryAgain, `${error.peer} is unavailable, try again later`, error);
  if (error instanceof NotInSync) return body(CNI_ERROR.tryAgain, 'the agent is not ready, try again later', error);
  if (error instanceof InvalidNetns) return body(CNI_ERROR.invalidEnvironment, 'CNI_NETNS is wrong', error);
  if (error instanceof KernelError) return body(CNI_ERROR.kernel, 'the kernel refused', error);
  if (error instanceof CodecError) return body(CNI_ERROR.codec, 'unreadable kernel message', error);
  return body(CNI_ERROR.internal, 'internal error', error);
}

function body(code: number, msg: string, error: unknown): CniErrorBody {
  return { code, msg, details: error instanceof Error ? error.message : String(error) };
}
